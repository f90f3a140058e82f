"""What a trigger's runner does beyond Airflow's own: the modules of the bundle can be imported in it.

A runner belongs to one bundle in one version, so the bundle's folder is on its path, as it is on that of the
bundle's tasks.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import sys
from typing import Any

from envman.inside.protocol import CALL_DESCRIPTOR


def triggers() -> None:
    """Run the event loop with the triggers of the bundle that CALL_DESCRIPTOR names."""
    from airflow.jobs import triggerer_job_runner

    with os.fdopen(CALL_DESCRIPTOR, "rb") as stream:
        code = json.load(stream)

    class RunnerOfBundle(triggerer_job_runner.TriggerRunner):  # type: ignore[misc]
        """Creates triggers once the bundle is there."""

        opening: asyncio.Task[None] | None = None
        """The last try to get the bundle."""

        async def create_triggers(self) -> None:
            """Create what is asked for, as soon as the bundle is there or can't be had.

            A bundle may be fetched first. That takes place in a thread, so that the triggers that run go on.
            """
            if not self.to_create:
                return
            if self.opening is None:
                self.opening = asyncio.create_task(asyncio.to_thread(open_bundle, code))
            if not self.opening.done():
                return
            if error := self.opening.exception():
                self.opening = None  # the next triggers try again
                self.log.warning(
                    "The bundle can't be opened; its triggers can't import its modules",
                    bundle=code["bundle"],
                    version=code["version"],
                    reason=f"{type(error).__name__}: {error}",
                )
            await super().create_triggers()

    triggerer_job_runner.TriggerRunner = RunnerOfBundle
    triggerer_job_runner.TriggerRunnerSupervisor.run_in_process()


def open_bundle(code: dict[str, Any]) -> None:
    """Get a bundle's version, keep it from being cleaned up while this process lives, and import from it.

    Raises what the bundle's class raises.
    """
    from airflow.dag_processing.bundles.base import BundleVersionLock
    from airflow.dag_processing.bundles.manager import DagBundlesManager

    manager = DagBundlesManager()
    data = {"version_data": code["data"]} if _takes_data(manager.get_bundle) else {}
    BundleVersionLock(code["bundle"], code["version"]).acquire()
    bundle = manager.get_bundle(code["bundle"], code["version"], **data)
    bundle.initialize()
    if (path := os.fspath(bundle.path)) not in sys.path:
        sys.path.append(path)


def _takes_data(method: Any) -> bool:
    """Whether a bundle is made from what its class keeps about a version: since Airflow 3.4."""
    return "version_data" in inspect.signature(method).parameters
