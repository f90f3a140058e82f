"""Executors, local and remote: each task and callback runs in its bundle's interpreter.

Airflow picks a coordinator by the task's queue, and falls back to its own interpreter for every queue that
is not configured. `install` puts the bundle's coordinator in the place of that choice and of that fallback,
so that there is no queue, configured or not, whose tasks run in the component's interpreter or in another
runtime. Callbacks know no coordinators; their supervisor is replaced.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
from collections.abc import Callable, Collection
from typing import Any

from airflow.sdk.execution_time import callback_supervisor, coordinator
from airflow.sdk.execution_time.callback_supervisor import CallbackSubprocess
from airflow.sdk.execution_time.coordinator import BaseCoordinator, CoordinatorManager
from airflow.sdk.execution_time.supervisor import ActivitySubprocess
from airflow.serialization.serialized_objects import BaseSerialization

from envman.airflow.bundle_interpreter import BundleInterpreter, look, of_bundle
from envman.airflow.checked_requests import CheckedRequests
from envman.airflow.child_start import BundleProcess, Start, call_file
from envman.airflow.other_languages import refused_task, refusing
from envman.door.requests import OwnTask
from envman.errors import EnvmanError, Problem, ResolveError
from envman.launch.own_component import HOME_VARIABLE

HOME = os.environ.get(HOME_VARIABLE, "")
"""The environment of a worker of one's own, else empty. Such a worker runs as the stock one does, but refuses
tasks of other environments' bundles that have come into its queue."""

MOST_PIPES = 64
"""Sockets that a task has at most: its own four, and the logs of processes that it starts."""

STOCK = CoordinatorManager.for_queue
"""How Airflow finds what runs a queue's tasks: right where the worker is in the bundle's environment."""


def finder(bundle: str) -> Callable[[str], BundleInterpreter] | None:
    """How the interpreter of a bundle's workload is found; None where it is this worker's own.

    In a worker of one's own the one look at what is published decides both; a bundle with shared folders gets
    a process of its own there, too, as this worker's do not find them.
    """
    if not HOME:
        return of_bundle
    try:
        snapshot = look()
        environment = snapshot.resolve(bundle).environment
        shares = bool(snapshot.table.shared(bundle))
    except EnvmanError as error:
        return refusing(error)
    if environment == HOME:
        return of_bundle if shares else None
    what = f"its environment is '{environment}', this worker is there for '{HOME}' alone"
    remedy = "Look at the task's queue: it is one that only workers of its own environment should serve."
    return refusing(ResolveError(Problem(f"bundle '{bundle}'", what, remedy)))


class TaskInBundle(CheckedRequests, ActivitySubprocess, BundleProcess):  # type: ignore[misc]
    """One task instance."""

    def own_tasks(self) -> Collection[OwnTask]:
        """The one."""
        return [OwnTask(self.ti)] if self.ti else ()

    def _send_new_log_fd(self, req_id: int) -> None:
        """Give another process of the task's a log: it passes the same door."""
        before = {key.fileobj for key in self.selector.get_map().values()}
        if len(before) > MOST_PIPES:
            raise RuntimeError("too many processes of this task have a log of their own")
        super()._send_new_log_fd(req_id)
        self.check_pipes({key.fileobj for key in self.selector.get_map().values()} - before)


class BundleCoordinator(BaseCoordinator):  # type: ignore[misc]
    """Airflow's coordinator interface: run a task to its end, in the interpreter of its bundle.

    `stock` gives what runs it where this worker is the one of its bundle's environment.
    """

    def __init__(self, queue: str = "", stock: Callable[[], Any] | None = None) -> None:
        self._queue = queue
        self._stock = stock

    def execute_task(self, *, bundle_info: Any, **task: Any) -> Any:
        """Run one task; raises what Airflow's API client raises."""
        find = finder(bundle_info.name)
        if find is None and self._stock:
            return self._stock().execute_task(bundle_info=bundle_info, **task)
        if not HOME and (refusal := refused_task(self._queue)):
            find = refusing(refusal)
        start = Start("task", bundle_info.name, find or of_bundle, version=bundle_info.version)
        with warm_shutdown():
            process = TaskInBundle.start(start=start, bundle_info=bundle_info, **task)
            exit_code = process.wait()
            return self.ExecutionResult(exit_code, process.final_state)


def warm_shutdown() -> contextlib.AbstractContextManager[None]:
    """While inside, a signal to end lets the task finish, where Airflow's own coordinator does that.

    It does since Airflow 3.4, around start and wait. Before, `wait` itself hands such a signal on to the
    task.
    """
    signals = getattr(coordinator, "_warm_shutdown_signals", contextlib.nullcontext)
    around: contextlib.AbstractContextManager[None] = signals()
    return around


def for_queue(manager: Any, queue: str) -> BundleCoordinator:
    """In the place of `CoordinatorManager.for_queue`: the bundle's coordinator, whatever the queue."""
    return BundleCoordinator(queue, (lambda: STOCK(manager, queue)) if HOME else None)


class CallbackInBundle(CheckedRequests, CallbackSubprocess, BundleProcess):  # type: ignore[misc]
    """One executor callback, such as a deadline's alert."""

    @classmethod
    def start(cls, *, bundle_info: Any, client: Any, logger: Any = None, **call: Any) -> Any:  # type: ignore[override]
        """Start the callback; its arguments go along in a file."""
        find = finder(bundle_info.name)
        if find is None:
            return CallbackSubprocess.start(bundle_info=bundle_info, client=client, logger=logger, **call)
        if unknown := sorted(call.keys() & DECLARED - {*CALL}):
            raise TypeError(f"CallbackSubprocess.start: no child gets {', '.join(unknown)} yet")
        content = json.dumps(_portable(call | {"bundle_info": bundle_info.model_dump()})).encode()
        with call_file(content) as descriptor:
            start = Start("callback", bundle_info.name, find, descriptor, bundle_info.version)
            return super().start(bundle_info=bundle_info, client=client, logger=logger, start=start, **call)


DECLARED = frozenset(
    parameter.name
    for parameter in inspect.signature(CallbackSubprocess.start).parameters.values()
    if parameter.kind is parameter.KEYWORD_ONLY
)
"""The keywords that Airflow's method takes for itself: for the call, not for the process."""

CALL = (
    "id",
    "callback_path",
    "callback_kwargs",
    "callback_kwargs_encoding",
    "dag_rel_path",
    "bundle_info",
)
"""Those that are handed to the child; the encoding of the keywords is there since Airflow 3.4."""


def _portable(call: dict[str, Any]) -> dict[str, Any]:
    """A callback's arguments for another interpreter, its keywords as Airflow's database holds them."""
    chosen = {key: call[key] for key in CALL if key in call}
    chosen["id"] = str(chosen["id"])
    chosen["callback_kwargs"] = BaseSerialization.serialize(chosen["callback_kwargs"])
    chosen["dag_rel_path"] = os.fspath(chosen["dag_rel_path"])
    return chosen


def install() -> None:
    """Make Airflow's executors run tasks and callbacks in their bundles' interpreters."""
    CoordinatorManager.for_queue = for_queue
    if not HOME:  # there STOCK may come to it
        coordinator._build_python_coordinator = BundleCoordinator
    callback_supervisor.CallbackSubprocess = CallbackInBundle
