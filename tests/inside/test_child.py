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

from envman.inside.protocol import CHILD, CHILD_DESCRIPTORS, RUN
from envman.inside.protocol import LOG_DESCRIPTOR as LOG
from tests.stand_in import MODULES, write_modules

INSIDE = Path(RUN).parent
NAMES = ["envman", "capacity", "typer", *(file.stem for file in INSIDE.glob("[a-z]*.py"))]

SUPERVISOR = '''\
"""A stand-in for Airflow's module: it tells over its sockets what it was given."""
import importlib
import importlib.util
import json
import os
import signal
import sys

python_importer = importlib.import_module(os.environ.get("IMPORTER", "airflow.dag_processing.importers.python_importer"))

from airflow.models import crypto
from airflow.sdk import crypto as sdk_crypto

made_before = crypto.get_fernet
closed = []


def refused(function):
    try:
        return function()
    except Exception as error:
        return str(error)


def _make_process_nondumpable():
    closed.append(True)


def _fork_main(requests, stdout, stderr, log_descriptor, target):
    names = sys.argv[1:]
    sys.path += os.environ.get("BUNDLE", "").split()
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
        "command": sys.argv[0],
        "main": sorted(vars(sys.modules["__main__"])),
        "quit_ends_it": signal.getsignal(signal.SIGQUIT) is signal.SIG_DFL,
        "fernet": [refused(crypto.get_fernet), refused(sdk_crypto.get_fernet), made_before()],
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


PLACES = ("airflow.dag_processing.importers.python_importer", "airflow.sdk.importers.python_importer")
"""Where Airflow has that module: before 3.4, and since."""


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    supervisor, older, newer = "sdk.execution_time.supervisor", *PLACES
    modules = {**MODULES, f"airflow.{supervisor}": SUPERVISOR, older: IMPORTER, newer: IMPORTER}
    write_modules(tmp_path, modules)
    return tmp_path


def child(stand_in: Path, entry: str, *shared: str, **variables: str) -> tuple[dict[str, Any], list[bytes]]:
    """Start the child as the component does; what it told, and what came over its other descriptors."""
    pairs = [socketpair() for _ in range(4)]
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-S", RUN, CHILD, entry, "bundle_a", *shared, *NAMES],
        {"PATH": os.environ["PATH"], "PYTHONPATH": str(stand_in), **variables},
        file_actions=[
            (os.POSIX_SPAWN_DUP2, theirs.fileno(), number)
            for (_, theirs), number in zip(pairs, CHILD_DESCRIPTORS[:4], strict=True)
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


@pytest.mark.parametrize("place", PLACES)
def test_a_memory_fault_ends_the_child_whatever_airflow_sets(stand_in: Path, place: str) -> None:
    told, _ = child(stand_in, "parse", IMPORTER=place)
    assert told["faults_end_it"] is True
    assert told["alarms_are_handled"] is True


def test_an_airflow_that_has_its_importer_elsewhere_is_no_error(stand_in: Path) -> None:
    """The handler is a nuisance, not a reason to run nothing."""
    elsewhere = "airflow.elsewhere"
    write_modules(stand_in, {elsewhere: IMPORTER})
    for place in PLACES:
        stand_in.joinpath(*place.split(".")).with_suffix(".py").unlink()
    told, _ = child(stand_in, "parse", IMPORTER=elsewhere)
    assert told["faults_end_it"] is False


@pytest.mark.parametrize("variables", [{}, {"PYTHONSAFEPATH": "1"}])
def test_nothing_of_envman_is_importable_in_a_teams_interpreter(
    stand_in: Path, variables: dict[str, str]
) -> None:
    told, _ = child(stand_in, "parse", **variables)
    assert told["found"] == []
    assert told["loaded"] == []
    assert str(stand_in) in told["path"]
    assert str(INSIDE) not in told["path"]


@pytest.mark.parametrize("entry", ["parse", "task", "triggers", "callback"])
def test_a_bundles_shared_folders_are_found_and_are_no_arguments(
    stand_in: Path, tmp_path: Path, entry: str
) -> None:
    (tmp_path / "repository/dags").mkdir(parents=True)
    (tmp_path / "repository/capacity").mkdir()
    told, _ = child(stand_in, entry, "--shared=../capacity", BUNDLE=f"{tmp_path}/repository/dags")
    assert told["found"] == ["capacity"]


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


def test_dags_code_sees_the_command_that_it_would_see_in_a_fork(stand_in: Path) -> None:
    told, _ = child(stand_in, "task")
    assert told["command"].endswith("/bin/airflow")
    assert not {"load", "Beside", "FOLDER"} & set(told["main"])
    assert told["quit_ends_it"] is False


def test_who_asks_for_the_key_that_is_not_here_is_told_so(stand_in: Path) -> None:
    """Null encryption, which Airflow has for nobody's key, would store a team's secret as it is."""
    told, _ = child(stand_in, "task")
    *asked, made_before = told["fernet"]
    assert all("The Fernet key stays in Airflow's components" in one for one in asked)
    assert made_before == "a key"
