"""A trigger that waits for a moment."""

import asyncio

from airflow.triggers.base import BaseTrigger, TriggerEvent


class Waits(BaseTrigger):
    def serialize(self):
        return ("wait.Waits", {})

    async def run(self):
        await asyncio.sleep(
            3
        )  # Airflow fails a task that runs on before its scheduler saw that it was deferred
        yield TriggerEvent("waited")
