"""What a team's interpreter starts with: Airflow's own function, its four sockets, and nothing of envman."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from socket import socketpair
from typing import Any

import pytest

import envman
from tests.airflow.stand_in import MODULES, write_modules

SCRIPT = str(Path(envman.__file__).parent / "airflow/child.py")
LOG = 101

SUPERVISOR = '''\
"""A stand-in for Airflow's module: it tells over its sockets what it was given."""
import importlib.util
import json
import os
import signal
import sys

from airflow.dag_processing.importers import python_importer

closed = []


def _make_process_nondumpable():
    closed.append(True)


def _fork_main(requests, stdout, stderr, log_descriptor, target):
    names = ["envman", "capacity", "child", "ends", "worker", "spawn", "tests", "typer"]
    before = signal.getsignal(signal.SIGSEGV)
    python_importer.set_handlers(lambda *_: None)
    told = {
        "faults_end_it": signal.getsignal(signal.SIGSEGV) is before is signal.SIG_DFL,
        "alarms_are_handled": callable(signal.getsignal(signal.SIGALRM)),
        "found": [name for name in names if importlib.util.find_spec(name)],
        "loaded": [name for name in sys.modules if name.split(".")[0] == "envman"],
        "path": sys.path,
        "target": target.__name__,
        "log": log_descriptor,
        "closed_memory": bool(closed),
        "group": os.getpgid(0) == os.getpid(),
    }
    requests.sendall(json.dumps(told).encode())
    stdout.sendall(b"out")
    stderr.sendall(b"err")
    os.write(log_descriptor, b"log")
'''

IMPORTER = '''\
"""A stand-in for the module of Airflow's that sets a handler for memory faults, as Airflow's does."""
import signal


def set_handlers(handler):
    assert signal.Signals.SIGALRM == signal.SIGALRM
    for number in (signal.SIGSEGV, signal.SIGALRM):
        was = signal.signal(number, handler)
        assert was == signal.SIG_DFL
'''


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    supervisor, importer = "sdk.execution_time.supervisor", "dag_processing.importers.python_importer"
    write_modules(tmp_path, {**MODULES, f"airflow.{supervisor}": SUPERVISOR, f"airflow.{importer}": IMPORTER})
    return tmp_path


def child(stand_in: Path, entry: str, **variables: str) -> tuple[dict[str, Any], list[bytes]]:
    """Start the child as the component does; what it told, and what came over its other descriptors."""
    pairs = [socketpair() for _ in range(4)]
    numbers = (0, 1, 2, LOG)
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-S", SCRIPT, entry, str(LOG), "bundle_a"],
        {"PATH": os.environ["PATH"], "PYTHONPATH": str(stand_in), **variables},
        file_actions=[
            (os.POSIX_SPAWN_DUP2, theirs.fileno(), number)
            for (_, theirs), number in zip(pairs, numbers, strict=True)
        ],
    )
    for _, theirs in pairs:
        theirs.close()
    received = []
    for ours, _ in pairs:
        with ours, ours.makefile("rb") as stream:
            received.append(stream.read())
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, received
    return json.loads(received[0]), received[1:]


@pytest.mark.parametrize("entry", ["parse", "task", "triggers", "callback"])
def test_airflows_own_function_gets_the_four_sockets_and_the_entry(stand_in: Path, entry: str) -> None:
    told, others = child(stand_in, entry)
    assert told["target"] == entry
    assert told["log"] == LOG
    assert others == [b"out", b"err", b"log"]


def test_a_memory_fault_ends_the_child_whatever_airflow_sets(stand_in: Path) -> None:
    told, _ = child(stand_in, "parse")
    assert told["faults_end_it"] is True
    assert told["alarms_are_handled"] is True


@pytest.mark.parametrize("variables", [{}, {"PYTHONSAFEPATH": "1"}])
def test_nothing_of_envman_is_importable_in_a_teams_interpreter(
    stand_in: Path, variables: dict[str, str]
) -> None:
    told, _ = child(stand_in, "parse", **variables)
    assert told["found"] == []
    assert told["loaded"] == []
    assert str(stand_in) in told["path"]
    assert str(Path(SCRIPT).parent) not in told["path"]


def test_nothing_else_leaves_the_path(stand_in: Path) -> None:
    bare = subprocess.run(
        [sys.executable, "-S", "-c", "import sys; print(*sys.path[1:], sep='\\n')"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(stand_in)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")[:-1]
    for variables in ({}, {"PYTHONSAFEPATH": "1"}):
        assert child(stand_in, "parse", **variables)[0]["path"] == bare


def test_only_a_task_leads_a_group_of_its_own(stand_in: Path) -> None:
    assert child(stand_in, "task")[0]["group"] is True
    assert child(stand_in, "parse")[0]["group"] is False


@pytest.mark.parametrize("entry", ["parse", "task", "triggers", "callback"])
def test_its_memory_is_closed_to_other_processes_of_its_user(stand_in: Path, entry: str) -> None:
    assert child(stand_in, entry)[0]["closed_memory"] is True
