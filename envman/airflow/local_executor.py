"""The end of a LocalExecutor: each of its processes is told to end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow.executors.local_executor import LocalExecutor


def telling_all(end: Callable[[Any], None]) -> Callable[[Any], None]:
    """Airflow's `end`, with a word to end for each process.

    Airflow has one for each that it still finds alive, while those that have taken a word already go: on a
    busy machine some are left without, and the scheduler waits for them for ever.
    """

    def told(executor: Any) -> None:
        for _ in executor.workers:
            executor.activity_queue.put(None)
        end(executor)

    return told


def install() -> None:
    """Have schedulers end so."""
    LocalExecutor.end = telling_all(LocalExecutor.end)
