"""Executors, local and remote: each task and callback runs in its bundle's interpreter.

Airflow picks a coordinator by the task's queue, and falls back to its own interpreter for every queue that
is not configured. `install` puts the bundle's coordinator in the place of that fallback, so that there is no
queue, configured or not, whose Python tasks run in the component's interpreter. Callbacks know no
coordinators; their supervisor is replaced.
"""

from __future__ import annotations

import json
import os
import tempfile
from typing import Any

from airflow.sdk.execution_time import callback_supervisor, coordinator
from airflow.sdk.execution_time.callback_supervisor import CallbackSubprocess
from airflow.sdk.execution_time.coordinator import BaseCoordinator
from airflow.sdk.execution_time.supervisor import ActivitySubprocess
from airflow.serialization.serialized_objects import BaseSerialization

from envman.airflow.interpreters import Interpreter, environments_of, of_bundle, resolve
from envman.airflow.spawn import InBundle, Start
from envman.errors import Problem, ResolveError
from envman.launch.own_component import HOME_VARIABLE

HOME = os.environ.get(HOME_VARIABLE, "")
"""The environment of a worker of one's own, else empty. Such a worker runs as the stock one does, but refuses
tasks of other environments' bundles that have come into its queue."""

STOCK = coordinator._build_python_coordinator()
"""What runs a task in a fork of the worker: right where the worker is in the bundle's environment."""


def is_at_home(bundle: str) -> bool:
    """Whether the bundle's environment is the one that this worker is in."""
    return environments_of([bundle]).get(bundle) == HOME


def stranger(bundle: str) -> Interpreter:
    """Refuse a task of another environment; raises ResolveError."""
    environment = resolve(bundle).environment
    what = f"its environment is '{environment}', this worker is there for '{HOME}' alone"
    remedy = "Look at the task's queue: it is one that only workers of its own environment should serve."
    raise ResolveError(Problem(f"bundle '{bundle}'", what, remedy))


class TaskInBundle(ActivitySubprocess, InBundle):  # type: ignore[misc]
    """One task instance."""


class BundleCoordinator(BaseCoordinator):  # type: ignore[misc]
    """Airflow's coordinator interface: run a task to its end, in the interpreter of its bundle."""

    def execute_task(self, *, bundle_info: Any, **task: Any) -> Any:
        """Run one task; raises what Airflow's API client raises."""
        if HOME and is_at_home(bundle_info.name):
            return STOCK.execute_task(bundle_info=bundle_info, **task)
        start = Start("task", bundle_info.name, stranger if HOME else of_bundle)
        process = TaskInBundle.start(start=start, bundle_info=bundle_info, **task)
        exit_code = process.wait()
        return self.ExecutionResult(exit_code, process.final_state)


class CallbackInBundle(CallbackSubprocess, InBundle):  # type: ignore[misc]
    """One executor callback, such as a deadline's alert."""

    @classmethod
    def start(cls, *, bundle_info: Any, client: Any, logger: Any = None, **call: Any) -> Any:  # type: ignore[override]
        """Start the callback; its arguments go along in a file, since a command line is short and public."""
        if HOME and is_at_home(bundle_info.name):
            return CallbackSubprocess.start(bundle_info=bundle_info, client=client, logger=logger, **call)
        find = stranger if HOME else of_bundle
        with tempfile.TemporaryFile() as stream:
            stream.write(json.dumps(_portable(call | {"bundle_info": bundle_info.model_dump()})).encode())
            stream.seek(0)
            start = Start("callback", bundle_info.name, find, stream.fileno())
            return super().start(bundle_info=bundle_info, client=client, logger=logger, start=start, **call)


CALL = ("id", "callback_path", "callback_kwargs", "dag_rel_path", "bundle_info")


def _portable(call: dict[str, Any]) -> dict[str, Any]:
    """A callback's arguments for another interpreter, its keywords as Airflow's database holds them."""
    chosen = {key: call[key] for key in CALL if key in call}
    chosen["id"] = str(chosen["id"])
    chosen["callback_kwargs"] = BaseSerialization.serialize(chosen["callback_kwargs"])
    chosen["dag_rel_path"] = os.fspath(chosen["dag_rel_path"])
    return chosen


def install() -> None:
    """Make Airflow's executors run tasks and callbacks in their bundles' interpreters."""
    everywhere = BundleCoordinator()
    coordinator._build_python_coordinator = lambda: everywhere
    callback_supervisor.CallbackSubprocess = CallbackInBundle
