"""What fork servers import beforehand, and what they refuse: each trap in a server that really starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from envman.inside import shared_modules
from tests.interpreters import MINORS, interpreter
from tests.stand_in import ForkServer, descriptors_of, subreaper

THREAD = """
import threading
threading.Thread(target=threading.Event().wait, name="heartbeat").start()
"""
NATIVE_THREAD = """
import ctypes
libc, thread = ctypes.CDLL(None), ctypes.c_ulong()
assert libc.pthread_create(ctypes.byref(thread), None, ctypes.cast(libc.pause, ctypes.c_void_p), None) == 0
"""
NATIVE_THREAD_THAT_ENDS_AT_A_FORK = """
import ctypes, os
libc, thread, posted = ctypes.CDLL(None), ctypes.c_ulong(), ctypes.create_string_buffer(64)
libc.sem_init(posted, 0, 0)
run = ctypes.cast(libc.sem_wait, ctypes.c_void_p)
assert libc.pthread_create(ctypes.byref(thread), None, run, posted) == 0
running = [True]

def stop():
    if running:
        running.clear()
        libc.sem_post(posted)
        libc.pthread_join(thread, None)

os.register_at_fork(before=stop)
"""
SOCKET = "import socket\nkept = socket.socketpair()\n"
FLOCK = "import fcntl\nkept = open(__file__ + '.lock', 'w')\nfcntl.flock(kept, fcntl.LOCK_EX)\n"
RECORD_LOCK = "import fcntl\nkept = open(__file__ + '.lock', 'w')\nfcntl.lockf(kept, fcntl.LOCK_EX)\n"

TRAPS = {
    "thread": (THREAD, "preload: trap starts a thread (heartbeat), which no fork has"),
    "native thread": (NATIVE_THREAD, "preload: trap starts a thread, which no fork has"),
    "socket": (SOCKET, "preload: trap opens a connection, which all forks would share"),
    "flock": (FLOCK, "preload: trap holds a lock on {modules}/trap.py.lock, which all forks would share"),
    "record lock": (RECORD_LOCK, "preload: trap holds a lock on {modules}/trap.py.lock, which all forks"),
    "error": ("raise RuntimeError('no key')", "preload: trap can't be imported: RuntimeError: no key"),
    "exit": ("raise SystemExit(0)", "preload: trap can't be imported: SystemExit: 0"),
    "missing": (
        "import not_there",
        "preload: trap can't be imported: ModuleNotFoundError: No module named 'not_there'",
    ),
    "syntax": ("def", "preload: trap can't be imported: SyntaxError: invalid syntax"),
    "warning": (
        "import warnings\nwarnings.warn('old', DeprecationWarning)",
        "preload: trap can't be imported: DeprecationWarning: old",
    ),
}
FINE = {
    "file": "kept = open(__file__)",
    "lock given back": FLOCK + "fcntl.flock(kept, fcntl.LOCK_UN)\n",
    "socket closed": SOCKET + "for one in kept: one.close()\n",
    "thread that has ended": "import threading\none = threading.Thread(target=int)\none.start()\none.join()\n",
    "thread that ends at a fork": NATIVE_THREAD_THAT_ENDS_AT_A_FORK,
}
Starting = Callable[..., ForkServer]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starting]:
    made: list[ForkServer] = []

    def starting(modules: Mapping[str, str], names: list[str], **more: Any) -> ForkServer:
        made.append(ForkServer(tmp_path, modules=modules, preload=names, **more))
        return made[-1]

    with subreaper():
        yield starting
        for one in made:
            one.end()


def refused(server: ForkServer) -> str:
    """The words of a server that does not start."""
    assert server.exit_code() == 3
    return server.words()


@pytest.mark.parametrize("minor", MINORS)
@pytest.mark.parametrize("what", TRAPS)
def test_what_forks_would_share_is_refused_by_name(start: Starting, minor: str, what: str) -> None:
    code, words = TRAPS[what]
    server = start(
        {"trap": code, "before": "value = 1"}, ["before", "trap", "not_reached"], python=interpreter(minor)
    )
    assert refused(server).splitlines()[-1].startswith(words.format(modules=server.folder / "modules"))


@pytest.mark.parametrize("minor", MINORS)
@pytest.mark.parametrize("what", FINE)
def test_what_forks_can_share_is_not(start: Starting, minor: str, what: str) -> None:
    server = start({"fine": FINE[what]}, ["fine"], python=interpreter(minor))
    with server.workload() as child:
        code = "import os, sys; tell(['fine' in sys.modules, len(os.listdir('/proc/self/task'))])"
        assert child.run(code) == [True, 1]
    assert server.words() == ""


def test_a_module_that_is_not_there_is_named(start: Starting) -> None:
    words = refused(start({}, ["not_there"]))
    assert words == (
        "preload: not_there can't be imported: ModuleNotFoundError: No module named 'not_there'\n"
    )


def test_the_module_that_starts_a_thread_is_named_and_not_the_next(start: Starting) -> None:
    assert "preload: first starts" in refused(start({"first": THREAD, "second": ""}, ["first", "second"]))


def test_airflows_modules_come_first_then_the_specs_in_their_order(start: Starting) -> None:
    names = [*shared_modules.AIRFLOW, *shared_modules.IF_INSTALLED, "team.second", "team.first"]
    note = "import builtins\nbuiltins.order = [*getattr(builtins, 'order', []), __name__]\n"
    server = start(dict.fromkeys(names, note), ["team.second", "team.first"])
    with server.workload() as child:
        assert child.run("import builtins; tell(builtins.order)") == names


COLLECTS = """
import builtins, gc

class Cycle:
    ended = False
    def __del__(self): Cycle.ended = True

one = Cycle()
one.itself, one = one, None
kept = [[] for _ in range(100_000)]
builtins.collected = {**getattr(builtins, "collected", {}), __name__: Cycle.ended}
builtins.frozen = gc.get_freeze_count()
"""


@pytest.mark.parametrize("minor", MINORS)
def test_no_garbage_is_looked_for_among_airflows_modules_but_for_the_specs(
    start: Starting, minor: str
) -> None:
    airflows, team = shared_modules.AIRFLOW[-1], "team.first"
    server = start({airflows: COLLECTS, team: COLLECTS}, [team], python=interpreter(minor))
    with server.workload() as child:
        collected, frozen = child.run("import builtins; tell([builtins.collected, builtins.frozen])")
    assert collected == {airflows: False, team: True}
    assert frozen > 100_000  # and Airflow's are no longer looked at by then


def test_what_airflow_misses_is_named(start: Starting) -> None:
    name = shared_modules.AIRFLOW[0]
    assert refused(start({name: "import gone"}, [])).startswith(f"preload: {name} can't be imported: Mod")


@pytest.mark.parametrize("gone", ["airflow.models.dagwarning", "airflow.models"])
def test_a_module_that_another_airflow_has_elsewhere_is_left_to_the_forks(start: Starting, gone: str) -> None:
    moved = f"raise ModuleNotFoundError('No module named {gone}', name={gone!r})"
    with start({"airflow.models.dagwarning": moved}, []).workload() as child:
        assert child.run("import sys; tell('airflow.models.dagwarning' in sys.modules)") is False


def test_an_interpreter_without_airflow_is_refused(start: Starting) -> None:
    name = shared_modules.AIRFLOW[0]
    words = refused(start({name: "raise ModuleNotFoundError('No module named airflow', name='airflow')"}, []))
    assert words.startswith(f"preload: {name} can't be imported: ModuleNotFoundError")


def test_a_provider_that_is_not_installed_or_broken_is_left_out(start: Starting) -> None:
    server = start(
        {shared_modules.IF_INSTALLED[0]: "import gone", shared_modules.IF_INSTALLED[1]: "value = 1"}, []
    )
    with server.workload() as child:
        loaded = child.run(
            f"import sys; tell([name in sys.modules for name in {shared_modules.IF_INSTALLED!r}])"
        )
    assert loaded == [False, True, *[False] * (len(shared_modules.IF_INSTALLED) - 2)]


def test_a_provider_that_starts_a_thread_is_refused_as_others_are(start: Starting) -> None:
    """Left alone, it would be there at each fork, or be laid to the charge of the next module."""
    name = shared_modules.IF_INSTALLED[0]
    assert refused(start({name: THREAD}, [])).startswith(f"preload: {name} starts a thread (heartbeat)")


def test_a_broken_provider_that_leaves_a_thread_is_refused(start: Starting) -> None:
    name = shared_modules.IF_INSTALLED[0]
    words = refused(start({name: THREAD + "import gone\n"}, []))
    assert words.startswith(f"preload: {name} starts a thread (heartbeat)")


def test_a_lock_on_a_file_that_was_open_before_is_refused(start: Starting) -> None:
    opens = "kept = open(__file__)\n"
    locks = "import fcntl, opens\nfcntl.flock(opens.kept, fcntl.LOCK_EX)\n"
    words = refused(start({"opens": opens, "locks": locks}, ["opens", "locks"]))
    assert words.startswith("preload: locks holds a lock on ")


def test_the_lock_on_the_generation_is_nobodys_fault(start: Starting) -> None:
    """The server has inherited it, and every child is to have it."""
    server = start({}, ["json"])
    assert descriptors_of(server.pid)
    assert server.status()["preload"] == ["json"]
    info = Path(f"/proc/{server.pid}/fdinfo/100").read_text()
    assert "\nlock:" in info
