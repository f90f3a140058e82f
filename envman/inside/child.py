"""What a team's interpreter runs for one parse, task, callback or trigger loop, or to list its bundle.

    python run.py child parse bundle_a --shared=../common dag-processor --num-runs 1

It takes over where Airflow's supervisor has forked its own interpreter otherwise: descriptors 0, 1 and 2 are
the sockets for requests, standard output and standard error, LOG_DESCRIPTOR is the one for structured logs.
The bundle is for people who read `ps`; then come its shared folders, and the component's own arguments.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from types import FrameType, ModuleType, SimpleNamespace
from typing import Any, NoReturn

from envman.inside.bundle_code import share, taken_from
from envman.inside.dag_files import dag_places
from envman.inside.protocol import CALL_DESCRIPTOR, LOG_DESCRIPTOR
from envman.inside.triggers import triggers

NO_FERNET = (
    "The Fernet key stays in Airflow's components, Dags' code has none. Get a connection or a variable, "
    "which Airflow decrypts; to encrypt something, use cryptography.fernet with a key of the team's own."
)


def parse() -> None:
    """Parse one file, or run its Dags' callbacks."""
    from airflow.dag_processing.processor import _parse_file_entrypoint

    _parse_file_entrypoint()


def task() -> None:
    """Run one task instance."""
    from airflow.sdk.execution_time.supervisor import _subprocess_main

    _subprocess_main()


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


PYTHON_IMPORTERS = (
    "airflow.sdk.importers.python_importer",  # Airflow 3.4
    "airflow.dag_processing.importers.python_importer",
)


def let_it_crash() -> None:
    """Let a memory fault end the process, as it does everywhere else.

    Airflow's importer sets a handler for SIGSEGV that returns into the very instruction that has faulted:
    instead of ending, a crashed process would use a whole processor until somebody's timeout. On an Airflow
    that has the importer elsewhere the handler stays, and that timeout ends the process.
    """

    def all_but_faults(number: int, handler: Any) -> Any:
        return signal.getsignal(number) if number == signal.SIGSEGV else signal.signal(number, handler)

    for name in PYTHON_IMPORTERS:
        with contextlib.suppress(ImportError):
            importer: Any = importlib.import_module(name)
            importer.signal = SimpleNamespace(**{**vars(signal), "signal": all_but_faults})


def send_metrics() -> None:
    """Send metrics where the configuration says so, as a fork of an Airflow component would."""
    from airflow.configuration import conf

    legacy = conf.getboolean("metrics", "legacy_names_on")
    for package in ("airflow", "airflow.sdk"):
        stats = importlib.import_module(f"{package}._shared.observability.metrics.stats")
        utilities = importlib.import_module(f"{package}.observability.metrics.stats_utils")
        stats.initialize(factory=utilities.get_stats_factory(), export_legacy_names=legacy)


def refuse_to_encrypt() -> None:
    """Say that the Fernet key is not here to those who would use it; Airflow would take plain text for a
    secret's, and a secret for plain text.
    """
    if not _has_a_key():
        # modules that have taken Airflow's own by now keep it: a connection that a Dag makes needs no key
        for module in ("airflow.models.crypto", "airflow.sdk.crypto"):
            with contextlib.suppress(ImportError):
                importlib.import_module(module).get_fernet = _no_fernet  # type: ignore[attr-defined]


def _has_a_key() -> bool:
    from airflow.configuration import conf

    return bool(conf.get("core", "fernet_key", fallback=""))


def _no_fernet() -> NoReturn:
    from airflow.exceptions import AirflowException

    raise AirflowException(NO_FERNET)


def look_like_a_fork(component: list[str]) -> None:
    """Have what Dags' code may look at be as in a fork of the component: arguments, `__main__`, SIGQUIT."""
    command = f"{sys.prefix}/bin/airflow"
    sys.argv = [command, *component]
    main = ModuleType("__main__")
    main.__builtins__ = builtins  # type: ignore[attr-defined]
    if os.path.isfile(command):  # where it is not, who spawns a process has nothing to import
        main.__file__ = command
    sys.modules["__main__"] = main
    signal.signal(signal.SIGQUIT, show_stacks)


def show_stacks(number: int, frame: FrameType | None) -> None:
    """Print what each thread does, as Airflow's components do."""
    from airflow.utils.cli import sigquit_handler

    sigquit_handler(number, frame)


def list_files() -> None:
    """Tell the files of a bundle, as `door/listing.py` reads them."""
    import json

    with os.fdopen(CALL_DESCRIPTOR, "rb") as stream:
        call = json.load(stream)
    with os.fdopen(0, "w", encoding="ascii") as told:
        os.walk = partial(os.walk, onerror=partial(_refuse_folder, call["folder"]))
        try:
            if not os.path.isfile(call["folder"]):
                os.scandir(call["folder"]).close()  # where there is none, Airflow finds nothing
            files = dag_places(call["folder"], call["bundle"])
        except Exception as error:  # noqa: BLE001  # an importer of a team's may raise anything
            json.dump({"error": f"{type(error).__name__}: {error}"}, told)
            return
        for path, places in files.items():
            told.write(f"{json.dumps([path, *places])}\n")
        told.write(str(len(files)))


def _refuse_folder(root: str, error: OSError) -> None:
    """Say that a folder can't be read, where Airflow would take it for empty."""
    if error.filename == root or not isinstance(error, FileNotFoundError):  # one that has just gone is none
        raise error


ENTRIES = {"parse": parse, "task": task, "triggers": triggers, "callback": callback, "list": list_files}


def main(words: list[str]) -> None:
    """Run the entry that the first word names; ends the process."""
    entry, _, *rest = words
    shared, component = taken_from(rest)
    lead_group(entry)
    become(entry, component, shared)


def lead_group(entry: str) -> None:
    """Have a task lead a group of its own: Airflow signals a task's whole group."""
    if entry == "task":
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)


def become(entry: str, component: list[str], shared: list[str]) -> None:
    """Become the child that Airflow's supervisor expects; ends the process.

    `component` are the arguments that the component's `airflow` command has, `shared` the bundle's shared
    folders. A fork server may serve several bundles, so they are found in its forks alone.
    """
    if entry == "list":  # it has no supervisor
        list_files()
        os._exit(0)
    from socket import socket

    from airflow.sdk.execution_time.supervisor import _fork_main, _make_process_nondumpable

    _make_process_nondumpable()  # as the supervisors of tasks are; exec has taken it back
    let_it_crash()
    send_metrics()
    refuse_to_encrypt()
    look_like_a_fork(component)
    share(shared)
    requests, stdout, stderr = socket(fileno=0), socket(fileno=1), socket(fileno=2)
    _fork_main(requests, stdout, stderr, LOG_DESCRIPTOR, ENTRIES[entry])
