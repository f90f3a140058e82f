"""A script: what a team's interpreter runs for one parse, task, callback or trigger loop.

    python child.py parse 101 bundle_a

It takes over where Airflow's supervisor has forked its own interpreter otherwise: descriptors 0, 1 and 2 are
the sockets for requests, standard output and standard error, the second argument is the number of the one
for structured logs. The third argument is for people who read `ps`. It is one file of its own, so that
nothing of envman becomes importable in a team's interpreter.
"""

import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

CALL_DESCRIPTOR = 102
"""Where a callback's arguments are read from, as JSON in Airflow's own serialization."""


def parse() -> None:
    """Parse one file, or run its Dags' callbacks."""
    from airflow.dag_processing.processor import _parse_file_entrypoint

    _parse_file_entrypoint()


def task() -> None:
    """Run one task instance."""
    from airflow.sdk.execution_time.supervisor import _subprocess_main

    _subprocess_main()


def triggers() -> None:
    """Run the event loop with an environment's triggers."""
    from airflow.jobs.triggerer_job_runner import TriggerRunnerSupervisor

    TriggerRunnerSupervisor.run_in_process()


def callback() -> None:
    """Run one executor callback, by the very function that Airflow would have run in its own fork."""
    import json

    from airflow.executors.workloads.base import BundleInfo
    from airflow.sdk.execution_time.callback_supervisor import CallbackSubprocess
    from airflow.sdk.execution_time.supervisor import WatchedSubprocess
    from airflow.serialization.serialized_objects import BaseSerialization

    with os.fdopen(CALL_DESCRIPTOR, "rb") as stream:
        call = json.load(stream)
    call["bundle_info"] = BundleInfo(**call["bundle_info"])
    call["callback_kwargs"] = BaseSerialization.deserialize(call["callback_kwargs"])

    class Here(WatchedSubprocess):  # type: ignore[misc]  # Airflow is not there when types are checked
        """Runs its target in this process instead of a new one."""

        @classmethod
        def start(cls, *, target: Callable[[], None], **_arguments: object) -> None:
            target()

    class CallbackHere(CallbackSubprocess, Here):  # type: ignore[misc]
        """Airflow's callback, whose `super().start` is the one above."""

    CallbackHere.start(client=None, **call)


def let_it_crash() -> None:
    """Let a memory fault end the process, as it does everywhere else.

    Airflow's importer sets a handler for SIGSEGV that returns into the very instruction that has faulted:
    instead of ending, a crashed process would use a whole processor until somebody's timeout.
    """
    from airflow.dag_processing.importers import python_importer

    def all_but_faults(number: int, handler: Any) -> Any:
        return signal.getsignal(number) if number == signal.SIGSEGV else signal.signal(number, handler)

    python_importer.signal = SimpleNamespace(**{**vars(signal), "signal": all_but_faults})


def send_metrics() -> None:
    """Send metrics where the configuration says so, as a fork of an Airflow component would."""
    from airflow.configuration import conf

    legacy = conf.getboolean("metrics", "legacy_names_on")
    for package in ("airflow", "airflow.sdk"):
        stats = importlib.import_module(f"{package}._shared.observability.metrics.stats")
        utilities = importlib.import_module(f"{package}.observability.metrics.stats_utils")
        stats.initialize(factory=utilities.get_stats_factory(), export_legacy_names=legacy)


ENTRIES = {"parse": parse, "task": task, "triggers": triggers, "callback": callback}


def main(entry: str, log_descriptor: int) -> None:
    """Become the child that Airflow's supervisor expects; ends the process."""
    from socket import socket

    from airflow.sdk.execution_time.supervisor import _fork_main, _make_process_nondumpable

    _make_process_nondumpable()  # as the supervisors of tasks are; exec has taken it back
    let_it_crash()
    send_metrics()
    requests, stdout, stderr = socket(fileno=0), socket(fileno=1), socket(fileno=2)
    _fork_main(requests, stdout, stderr, log_descriptor, ENTRIES[entry])


if __name__ == "__main__":
    if sys.path[0] == __file__.rpartition("/")[0]:  # with PYTHONSAFEPATH it is not there
        del sys.path[0]  # its modules are not the team's business
    if sys.argv[1] == "task":
        with contextlib.suppress(OSError):  # Airflow signals a task's whole group
            os.setpgid(0, 0)
    main(sys.argv[1], int(sys.argv[2]))
