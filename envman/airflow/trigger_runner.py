"""The triggers of a bundle in a version: a child with its own event loop, and this process's side of it."""

from __future__ import annotations

import math
import signal
import time
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import cached_property, partial
from typing import Any, ClassVar

import structlog
from airflow.jobs.triggerer_job_runner import TriggerRunnerSupervisor, messages
from airflow.models.crypto import get_fernet
from cryptography.fernet import InvalidToken
from sqlalchemy.exc import OperationalError

from envman.airflow.bundle_interpreter import acquire_for_bundle
from envman.airflow.bundle_version import BundleVersion
from envman.airflow.checked_requests import CheckedRequests
from envman.airflow.child_start import BundleProcess, Start, call_file
from envman.door.requests import OwnTask, own_reports
from envman.door.rules import SHARED
from envman.resolver.snapshot import Snapshot

log = structlog.get_logger(logger_name="envman.triggerer")

START_LIMIT = 180.0
"""Seconds that a runner may take until it first asks for work."""


class BundleRunner(CheckedRequests, TriggerRunnerSupervisor, BundleProcess):  # type: ignore[misc]
    """A trigger runner in a bundle's interpreter, with the bundle's modules.

    It is never the one that talks to the database about which triggers there are: `BundleRunners` does,
    and hands each runner its share.
    """

    idle_since = math.inf
    rule = SHARED
    answers_itself = True
    shared_client: ClassVar[Any] = None

    @classmethod
    def start(cls, *, bundle: BundleVersion, snapshot: Snapshot, **arguments: Any) -> BundleRunner:  # type: ignore[override]
        """Start the runner of a bundle, in its environment's generation of the snapshot."""
        with call_file(bundle.call()) as descriptor:
            find = partial(acquire_for_bundle, snapshot)
            start = Start("triggers", bundle.name, find, descriptor, bundle.version)
            runner: BundleRunner = super().start(start=start, **arguments)
        return runner

    def make_client(self) -> Any:
        """The way to Airflow's API, one for all runners: it takes seconds to make, and memory."""
        if BundleRunner.shared_client is None:
            BundleRunner.shared_client = super().make_client()
        return BundleRunner.shared_client

    def ended(self) -> bool:
        """Whether the process has ended and all that it wrote was read."""
        unread: list[object] = list(self._open_sockets)
        return self.exit_code() is not None and not unread

    def exit_code(self) -> int | None:
        """The exit status; None while it runs."""
        code: int | None = self._check_subprocess_exit()
        return code

    def stuck(self, prompt_since: float) -> bool:
        """Whether the event loop no longer answers: a trigger blocks it, or it never came up.

        What this process itself has left unread does not count: since `prompt_since` it has read all at once.
        """
        now = time.monotonic()
        if math.isinf(self._last_runner_comms):
            return bool(now - self.start_time > START_LIMIT)
        limit = self.runner_health_check_threshold
        return bool(limit > 0 and now - max(self._last_runner_comms, prompt_since) > limit)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; a process that is gone already is fine."""
        with suppress(self._process.ProcessNotFound):
            self._process.send_signal(number)

    def keep_to(self, triggers: set[int]) -> None:
        """Run these triggers: start those that are new, cancel those that are no longer wanted."""
        self.update_triggers(triggers)

    def build_trigger_workloads(self, new_trigger_ids: set[int], **options: Any) -> list[Any]:
        """The triggers to start, their arguments decrypted here: the runner has no Fernet key.

        One whose arguments can't be decrypted goes along as it is, and fails there as in stock Airflow.
        """
        built: list[Any] = super().build_trigger_workloads(new_trigger_ids, **options)
        for workload in built:
            if workload.ti:
                self._tasks[workload.id] = OwnTask(workload.ti)
            if not workload.encrypted_kwargs.startswith("{"):
                with suppress(InvalidToken):
                    plain = get_fernet().decrypt(workload.encrypted_kwargs.encode())
                    workload.encrypted_kwargs = plain.decode()
        return built

    @cached_property
    def _tasks(self) -> dict[int, OwnTask]:
        """The tasks that wait, by the triggers that this runner was given."""
        return {}

    def own_tasks(self) -> Collection[OwnTask]:
        """The tasks that wait for its triggers."""
        return [task for trigger, task in self._tasks.items() if trigger in self.running_triggers]

    def _handle_request(self, msg: Any, log: Any, req_id: int) -> None:
        if isinstance(msg, messages.TriggerStateChanges):
            foreign = own_reports(msg, self.running_triggers)
            if foreign:
                log.error(
                    "A runner reports about triggers that it does not run", triggers=sorted(foreign)[:10]
                )
        super()._handle_request(msg, log, req_id)

    def known(self) -> set[int]:
        """All triggers that this runner has or is about to get."""
        return {*self.running_triggers, *(workload.id for workload in self.creating_triggers)}

    def settle(self) -> None:
        """Write what its triggers have brought into the database."""
        self._settle(self.events, self.handle_events)
        self._settle(self.failed_triggers, self.handle_failed_triggers)
        for trigger in self._tasks.keys() - self.known():
            del self._tasks[trigger]

    def _settle(self, reported: deque[Any], handle: Callable[[], None]) -> None:
        """Write what was reported; what can't be written is its trigger's failure, and nobody else's."""
        while reported:
            before = [*reported]
            try:
                handle()
            except OperationalError:  # the database's doing: as in stock Airflow
                raise
            except Exception as error:
                culprit = before[len(before) - len(reported) - 1][0]
                log.exception("What a trigger has reported could not be written", trigger=culprit)
                if reported is self.events:
                    self.failed_triggers.append((culprit, [f"{type(error).__name__}: {error}"]))

    def close(self) -> None:
        """Let go of what is left of an ended runner: its sockets and its triggers' logs."""
        for one in list(self._open_sockets):
            with suppress(KeyError, ValueError):
                self.selector.unregister(one)
            one.close()
        self._open_sockets.clear()
        self.stdin.close()
        for log in self.logger_cache.values():
            log.close()
