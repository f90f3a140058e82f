"""Credentials in a team's interpreter, forked by its server or started: who sees them, and what is left of them.

The hand-over is real; Airflow is a stand-in. All processes have one user here, whose neighbours look on.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from envman.inside.protocol import (
    CHILD_DESCRIPTORS,
    CHILD_WITH_CREDENTIALS,
    CREDENTIALS_DESCRIPTOR,
    KEEPER,
    RUN,
    child_descriptors,
)
from envman.launch.credential_reading import packed, refusing
from envman.resolver.credential import FILE, Credential
from tests.interpreters import MINORS, interpreter
from tests.stand_in import LIMIT, MODULES, PYTHON, ForkServer, Watched, subreaper, write_modules
from tests.waiting import until

SECRET = "s3cret-of-the-tests"
FILES_SECRET = "another-s3cret\n"

LOOK = """
import os, stat, subprocess, sys
path = os.environ["TOKEN_FILE"]
status = os.stat(path)
def try_to(change, *arguments):
    try:
        change(*arguments)
        return "done"
    except OSError as error:
        return error.strerror
tell({
    "variable": os.environ["TOKEN"],
    "file": open(path).read(), "file's path": path,
    "mode": stat.S_IMODE(status.st_mode), "is file": stat.S_ISREG(status.st_mode), "uid": status.st_uid,
    "by a program": subprocess.check_output(["cat", path], text=True),
    "by a shell": subprocess.check_output(["sh", "-c", 'cat "$TOKEN_FILE"; printf %s "$TOKEN"'], text=True),
    "write": try_to(open, path, "w"),
    "made writable": (try_to(os.chmod, path, 0o600), try_to(lambda: os.write(os.open(path, os.O_WRONLY), b"x")), os.chmod(path, 0o400))[1],
    "variables at the start": open("/proc/self/environ").read(),
    "keeper": int(path.split("/")[2]),
    "keepers variables": open(f"/proc/{path.split('/')[2]}/environ").read(),
})
heard()
"""


def handed(folder: Path) -> bytes:
    """What a component sends."""
    (folder / "token").write_text(SECRET)
    (folder / "file").write_text(FILES_SECRET)
    credentials = [
        Credential("token", FILE, (str(folder / "token"),), "TOKEN", False),
        Credential("file", FILE, (str(folder / "file"),), "TOKEN_FILE", True),
    ]
    return packed("env_a", credentials)[0]


def send(end: socket.socket, content: bytes) -> None:
    with end, os.fdopen(os.memfd_create("credentials"), "wb") as file:
        file.write(content)
        file.flush()
        with contextlib.suppress(BrokenPipeError):
            socket.send_fds(end, [b"."], [file.fileno()])


class Child:
    """A workload with credentials, as its component has it."""

    def __init__(self, start: Callable[[list[int]], tuple[int, Any]]) -> None:
        pairs = [socket.socketpair() for _ in range(5)]
        self.requests, self.stdout, self.stderr, self.log, self.credentials = (pair[0] for pair in pairs)
        self.pid, self.held = start([pair[1].fileno() for pair in pairs])
        for _, theirs in pairs:
            theirs.close()
        for one in (self.requests, self.stderr, self.log):
            one.settimeout(LIMIT)
        self._told = self.requests.makefile("rb")
        self.watched = Watched(self.pid)
        self.closed = False

    def run(self, code: str) -> Any:
        self.requests.sendall(json.dumps(textwrap.dedent(code)).encode() + b"\n")
        return self.told()

    def told(self) -> Any:
        line = self._told.readline()
        assert line, (self.log.recv(65536), self.stderr.recv(65536))
        return json.loads(line)

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.watched.has_ended()
        self.watched.close()
        self._told.close()
        for one in (self.requests, self.stdout, self.stderr, self.log, self.credentials):
            one.close()
        self.held.close()


class Cold:
    """Starts an interpreter for each workload, as without a fork server."""

    def __init__(self, folder: Path, python: str) -> None:
        write_modules(folder / "modules", MODULES)
        self._python = python
        self._variables = {"PATH": os.environ["PATH"], "PYTHONPATH": str(folder / "modules")}

    def start(self, descriptors: list[int]) -> tuple[int, Any]:
        numbers = child_descriptors(5, True)
        held = [os.dup(one) for one in descriptors]
        places = ", ".join(f"({one}, {number})" for one, number in zip(held, numbers, strict=True))
        words = [RUN, CHILD_WITH_CREDENTIALS, "parse", "bundle_a"]
        # by a process of its own: numbers of this one's descriptors may be among the places
        code = f"import os, sys; [os.dup2(*one) for one in [{places}]]; os.execv(sys.argv[1], sys.argv[1:])"
        process = subprocess.Popen(
            [sys.executable, "-c", code, self._python, *words], env=self._variables, pass_fds=held
        )
        for one in held:
            os.close(one)
        return process.pid, Closing(process)


class Closing:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


class Warm:
    def __init__(self, folder: Path, python: str) -> None:
        self.server = ForkServer(folder, python=python)

    def start(self, descriptors: list[int]) -> tuple[int, Any]:
        request = {"entry": "parse", "name": "bundle_a", "umask": 0o022, "folder": "/", "added": []}
        connection = self.server.connect()
        line = json.dumps({**request, "component": [], "credentials": True, "shared": []}).encode() + b"\n"
        socket.send_fds(connection, [line], descriptors)
        answer = json.loads(connection.makefile().readline())
        assert "pid" in answer, (answer, self.server.words())
        return answer["pid"], connection


Starting = Callable[[], Child]


@pytest.fixture(scope="module", params=[f"{how}-{minor}" for how in ("warm", "cold") for minor in MINORS])
def way(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm | Cold]:
    how, _, minor = request.param.partition("-")
    folder = tmp_path_factory.mktemp("way")
    with subreaper():
        made: Warm | Cold = (Warm if how == "warm" else Cold)(folder, interpreter(minor))
        yield made
        if isinstance(made, Warm):
            made.server.end()


@pytest.fixture
def start(way: Warm | Cold) -> Iterator[Starting]:
    made: list[Child] = []

    def starting() -> Child:
        made.append(Child(way.start))
        return made[-1]

    yield starting
    for one in made:
        one.close()


def test_a_workload_and_its_programs_have_them_and_proc_shows_nothing(
    start: Starting, tmp_path: Path
) -> None:
    child = start()
    send(child.credentials, handed(tmp_path))
    found = child.run(LOOK)
    for place in ("variables at the start", "keepers variables"):
        assert SECRET not in found.pop(place)
    keeper = found.pop("keeper")
    descriptors = Path(found["file's path"]).parent
    until(lambda: len([*descriptors.iterdir()]) == 1, "it has more than the file")
    del found["file's path"]
    assert found == {
        "variable": SECRET,
        "file": FILES_SECRET,
        "mode": 0o400,
        "is file": True,
        "uid": os.getuid(),
        "by a program": FILES_SECRET,
        "by a shell": FILES_SECRET + SECRET,
        # root may open it for writing; nobody changes what is sealed
        "write": "Operation not permitted" if os.getuid() == 0 else "Permission denied",
        "made writable": "Operation not permitted",
    }
    watched = Watched(keeper)
    assert not watched.has_ended(0)
    child.close()
    assert watched.has_ended()
    watched.close()


ENDS: dict[str, Callable[[Child, Warm | Cold], None]] = {
    "it ends": lambda child, _: child.requests.shutdown(socket.SHUT_RDWR),
    "it is killed": lambda child, _: os.kill(child.pid, signal.SIGKILL),
    "its component hangs up": lambda child, _: child.held.close(),
}


@pytest.mark.parametrize("end", ENDS)
def test_whatever_ends_it_ends_what_keeps_its_files(
    start: Starting, way: Warm | Cold, tmp_path: Path, end: str
) -> None:
    child = start()
    send(child.credentials, handed(tmp_path))
    path = Path(child.run("import os; tell(os.environ['TOKEN_FILE']); heard()"))
    keeper = Watched(int(path.parts[2]))
    for number in (
        signal.SIGTERM,
        signal.SIGINT,
        signal.SIGHUP,
    ):  # as a service manager sends to all there is
        os.kill(keeper.pid, number)
    assert path.read_text() == FILES_SECRET
    ENDS[end](child, way)
    assert keeper.has_ended()
    keeper.close()
    assert not path.exists()


def test_a_refusal_is_a_line_of_its_log_and_no_code_of_the_team_runs(start: Starting) -> None:
    child = start()
    send(child.credentials, refusing("environment 'env_a': credential 'token': gone. Put it back."))
    line = json.loads(child.log.makefile("rb").readline())
    assert line == {
        "event": "environment 'env_a': credential 'token': gone. Put it back.",
        "level": "error",
        "logger": "envman",
    }
    assert child.requests.recv(1) == b""


NOTHING: dict[str, Callable[[Child], None]] = {
    "the component ends": lambda child: child.credentials.close(),
    "a message without a file": lambda child: child.credentials.sendall(b"."),
    "a file that is cut short": lambda child: send(child.credentials, b"variable\0TOKEN\09\0half"),
    "a file that is empty": lambda child: send(child.credentials, b""),
    "a kind that is not known": lambda child: send(child.credentials, b"keyring\0TOKEN\01\0x\0end\0"),
    "no number": lambda child: send(child.credentials, b"variable\0TOKEN\0many\0x\0end\0"),
}


@pytest.mark.parametrize("what", NOTHING)
def test_without_credentials_no_code_of_the_team_runs(start: Starting, what: str) -> None:
    child = start()
    NOTHING[what](child)
    assert child.log.makefile("rb").readline()
    assert child.requests.recv(1) == b""


def test_a_neighbour_that_looks_all_the_time_finds_no_variable(start: Starting, tmp_path: Path) -> None:
    """It has the same user."""
    content = handed(tmp_path)
    found: list[str] = []
    pids: list[int] = []
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            for pid in [*pids]:
                found.extend(seen_in(pid))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(3):
            child = start()
            pids.append(child.pid)
            send(child.credentials, content)
            child.run("import os; tell(os.environ['TOKEN']); heard()")
            child.close()
            pids.clear()
    finally:
        over.set()
        thread.join()
    assert found == []


def seen_in(pid: int) -> Iterator[str]:
    with contextlib.suppress(OSError):
        if SECRET in Path(f"/proc/{pid}/environ").read_text(errors="replace"):
            yield "its variables"
    with contextlib.suppress(OSError):
        descriptor = os.open(f"/proc/{pid}/fd/{CREDENTIALS_DESCRIPTOR}", os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as stream:  # to root, it is /dev/null before and after
            if SECRET.encode() in stream.read():
                yield "where they come"


def test_two_hundred_workloads_leave_no_process_and_no_file(tmp_path: Path) -> None:
    content = handed(tmp_path)
    shared = {*Path("/dev/shm").iterdir()}
    with subreaper():
        warm = Warm(tmp_path, PYTHON)
        for _ in range(20):
            children = [Child(warm.start) for _ in range(10)]
            for child in children:
                send(child.credentials, content)
            for child in children:
                assert child.run("import os; tell(open(os.environ['TOKEN_FILE']).read())") == FILES_SECRET
                child.close()
        until(lambda: warm.server.status()["children"] == [], "a child is left")
        until(lambda: not keepers_of(warm.server.pid), "a keeper is left")
        assert {*Path("/dev/shm").iterdir()} <= shared
        warm.server.end()


@pytest.mark.parametrize("killed", ["the workload's server", "the workload"])
def test_who_is_killed_leaves_nothing_that_can_be_read(tmp_path: Path, killed: str) -> None:
    with subreaper():
        warm = Warm(tmp_path, PYTHON)
        child = Child(warm.start)
        send(child.credentials, handed(tmp_path))
        path = Path(child.run("import os; tell(os.environ['TOKEN_FILE']); heard()"))
        assert path.read_text() == FILES_SECRET
        os.kill(child.pid if killed == "the workload" else warm.server.pid, signal.SIGKILL)
        until(lambda: not path.exists(), "it is still there")
        child.close()
        warm.server.end()


def keepers_of(ancestor: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and KEEPER.encode() in (entry / "cmdline").read_bytes():
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                found += [int(entry.name)] if parent == ancestor else []
    return found


def test_what_a_child_has_open_is_what_it_had_without(start: Starting, tmp_path: Path) -> None:
    """No copy of the file in memory, no end of the socket."""
    child = start()
    send(child.credentials, handed(tmp_path))
    found = child.run(
        """
        import os
        tell(sorted(int(one) for one in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{one}")))
        """
    )
    assert CREDENTIALS_DESCRIPTOR not in found
    assert {*found} >= {*CHILD_DESCRIPTORS[:4]}
