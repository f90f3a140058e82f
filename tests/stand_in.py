"""A stand-in for Airflow, and for a component: fork servers start in a moment, and their children obey tests.

A child runs the Python that it is sent over its requests. There it has `tell`, which sends a value back, and
`heard`, which waits for the next line.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import json
import os
import select
import signal
import socket
import subprocess
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from envman.inside import shared_modules
from envman.inside.protocol import FORK_SERVER, RUN
from envman.inside.protocol import HELD_DESCRIPTOR as HELD
from envman.inside.protocol import LISTEN_DESCRIPTOR as LISTEN
from tests.interpreters import OWN, interpreter

LIMIT = 120.0
"""Seconds after which whatever a test waits for will not come any more."""

SUPERVISOR = '''\
"""In the place of Airflow's module."""
import contextlib
import json
import os
import sys


def _make_process_nondumpable():
    pass


def _fork_main(requests, stdout, stderr, log_descriptor, target):
    lines = requests.makefile("rb")

    def heard():
        line = lines.readline()
        if not line:
            os._exit(99)
        return json.loads(line)

    def tell(value):
        requests.sendall(json.dumps(value).encode() + b"\\n")

    code = 0
    try:
        exec(compile(heard(), "sent", "exec"), {"heard": heard, "tell": tell, "target": target.__name__})
    except SystemExit as error:
        code = error.code or 0
    os._exit(code)


class ProcessTracker:
    pass


class PsutilTracker(ProcessTracker):
    def __init__(self, process):
        self._process = process
        self.pid = process.pid

    def wait(self, timeout):
        return self._process.wait(timeout)

    def send_signal(self, number):
        self._process.send_signal(number)


class WatchedSubprocess:
    def __init__(self, process):
        self._process = process
        self._exit_code = None
        self._open_sockets = {}

    def _check_subprocess_exit(self, **_):
        if self._exit_code is None:
            with contextlib.suppress(self._process.TimeoutExpired):
                self._exit_code = self._process.wait(timeout=0)
        return self._exit_code
'''
CONFIGURATION = """
class conf:
    @staticmethod
    def getboolean(*_):
        return False

    @staticmethod
    def get(*_, **__):
        return ""
"""
EXCEPTIONS = "class AirflowException(Exception):\n    pass\n"
PLUGINS = "loaded = []\ndef _get_plugins():\n    loaded.append(True)\n"
METRICS = {
    "_shared.observability.metrics.stats": "calls = []\ndef initialize(**given): calls.append(given)\n",
    "observability.metrics.stats_utils": "def get_stats_factory(): return __name__\n",
}
MODULES = {
    **{f"{package}.{name}": text for package in ("airflow", "airflow.sdk") for name, text in METRICS.items()},
    "airflow._shared.observability.traces": "calls = []\nconfigure_otel = calls.append\n",
    "airflow.configuration": CONFIGURATION,
    "airflow.exceptions": EXCEPTIONS,
    "airflow.sdk.exceptions": "class ErrorType:\n    CONNECTION_NOT_FOUND = VARIABLE_NOT_FOUND = API_SERVER_ERROR = 'not found'\n",
    "airflow.sdk.execution_time.comms": "class ErrorResponse: pass\n",
    **dict.fromkeys(("airflow.models.crypto", "airflow.sdk.crypto"), "def get_fernet(): return 'a key'\n"),
    "airflow.dag_processing.importers.python_importer": "import signal\n",
    "airflow.sdk.execution_time.supervisor": SUPERVISOR,
    **dict.fromkeys(("airflow.plugins_manager", "airflow.sdk.plugins_manager"), PLUGINS),
    "setproctitle": "titles = []\nsetproctitle = titles.append\n",
    **dict.fromkeys(shared_modules.AIRFLOW, "import logging\nloaded = True\n"),
}


def write_modules(folder: Path, modules: Mapping[str, str]) -> None:
    """Write modules with the packages that they are in."""
    for name, text in modules.items():
        path = folder.joinpath(*name.split("."))
        path.parent.mkdir(parents=True, exist_ok=True)
        for package in path.parents:
            if package == folder:
                break
            (package / "__init__.py").touch()
        path.with_suffix(".py").write_text(textwrap.dedent(text), encoding="utf-8")


PYTHON = interpreter(OWN)


class Watched:
    """A process whose end can be waited for, whosever child it is."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._handle = os.pidfd_open(pid)

    def has_ended(self, seconds: float = LIMIT) -> bool:
        return bool(select.select([self._handle], [], [], seconds)[0])

    def close(self) -> None:
        os.close(self._handle)


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def descriptors_of(pid: int) -> int:
    """How many descriptors a process has open, without what it is just reading in /proc: a server looks there
    for its children whenever it likes.
    """
    gc.collect()  # what other tests have left would go meanwhile
    count = 0
    for one in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            count += not str(one.readlink()).startswith("/proc/")
    return count


def resident(pid: int) -> int:
    """Resident memory, in KiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


@contextlib.contextmanager
def subreaper() -> Iterator[None]:
    """Let fork servers become this process's children, so that their exit codes can be had."""
    libc = ctypes.CDLL(None)
    libc.prctl(36, 1, 0, 0, 0)
    try:
        yield
    finally:
        libc.prctl(36, 0, 0, 0, 0)


def received_line(connection: socket.socket) -> bytes:
    """One line, and nothing of the next; what there was of it where the other end has closed."""
    line = b""
    with contextlib.suppress(ConnectionResetError):
        while not line.endswith(b"\n"):
            data = connection.recv(4096, socket.MSG_PEEK)
            if not data:
                break
            line += connection.recv(data.find(b"\n") + 1 or len(data))
    return line


class Workload:
    """A child as its component holds it: the connection and the component's ends of its sockets."""

    def __init__(self, server: ForkServer, entry: str, call: bytes | None, **request: Any) -> None:
        pairs = [socket.socketpair() for _ in range(4)]
        self.requests, self.stdout, self.stderr, self.log = (pair[0] for pair in pairs)
        theirs = [pair[1].fileno() for pair in pairs]
        if call is not None:
            reading, writing = os.pipe()
            os.write(writing, call)
            os.close(writing)
            theirs.append(reading)
        whole = {
            "entry": entry,
            "name": "bundle_a",
            "umask": 0o022,
            "folder": "/",
            "added": [],
            "component": [],
            "credentials": False,
            "shared": [],
            **request,
        }
        self.connection = server.connect()
        with contextlib.suppress(BrokenPipeError):  # the answer says why
            socket.send_fds(self.connection, [json.dumps(whole).encode() + b"\n"], theirs)
        for pair in pairs:
            pair[1].close()
            pair[0].settimeout(LIMIT)
        if call is not None:
            os.close(reading)
        self.answer: dict[str, Any] = json.loads(received_line(self.connection) or b"{}")
        self.pid: int = self.answer.get("pid", 0)
        self._told = self.requests.makefile("rb")

    def send(self, value: object) -> None:
        self.requests.sendall(json.dumps(value).encode() + b"\n")

    def run(self, code: str) -> Any:
        """Run code in the child; the first value that it tells."""
        self.send(textwrap.dedent(code))
        return self.told()

    def told(self) -> Any:
        line = self._told.readline()
        assert line, (self.stderr.recv(65536) or b"it ended without a word").decode()
        return json.loads(line)

    def status(self) -> int:
        return int(json.loads(received_line(self.connection))["status"])

    def close(self) -> None:
        self._told.close()
        for one in (self.connection, self.requests, self.stdout, self.stderr, self.log):
            one.close()

    def __enter__(self) -> Workload:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ForkServer:
    """A fork server that was started as a component starts one; the folder holds all that belongs to it."""

    def __init__(
        self,
        folder: Path,
        *,
        python: str = PYTHON,
        modules: Mapping[str, str] | None = None,
        variables: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> None:
        self.folder = folder
        write_modules(folder / "modules", {**MODULES, **(modules or {})})
        self.link = folder / "env_a"
        with contextlib.suppress(FileExistsError):
            self.link.symlink_to(".gen/first")
        self.settings = {
            "root": str(folder),
            "link": str(self.link),
            "preload": [],
            "owner": os.getuid(),
            "idle": 600,
            "budget": 0,
            **settings,
        }
        self.address = str(folder / "socket")
        self.log = folder / "log"
        self.held = folder / "held"
        self.held.touch()
        self._known = set(children_of(os.getpid()))
        self._start(python, variables or {})
        adopted = set(children_of(os.getpid())) - self._known
        assert len(adopted) == 1, f"not one process is left: {adopted}"
        self.pid = adopted.pop()
        self.watched = Watched(self.pid)

    def _start(self, python: str, variables: Mapping[str, str]) -> None:
        words = [python, RUN, FORK_SERVER, "env_a", "first", json.dumps(self.settings)]
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.address)
        listener.listen(4096)
        with (
            listener,
            Path(os.devnull).open("rb") as nothing,
            self.log.open("ab") as log,
            self.held.open() as held,
        ):
            fcntl.flock(held, fcntl.LOCK_SH)
            sources = (nothing, log, log, held, listener)
            copies = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, LISTEN + 1) for one in sources]
            places = zip(copies, (0, 1, 2, HELD, LISTEN), strict=True)
            first = os.posix_spawn(
                python,
                words,
                {
                    "PATH": os.environ["PATH"],
                    "PYTHONPATH": str(self.folder / "modules"),
                    "PYTHONWARNINGS": "error",
                    **variables,
                },
                file_actions=[(os.POSIX_SPAWN_DUP2, source, number) for source, number in places],
            )
            for one in copies:
                os.close(one)
            _, status = os.waitpid(first, 0)
        assert os.waitstatus_to_exitcode(status) == 0, self.words()

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(LIMIT)
        connection.connect(self.address)
        return connection

    def workload(self, entry: str = "parse", call: bytes | None = None, **request: Any) -> Workload:
        made = Workload(self, entry, call, **request)
        assert made.pid, (made.answer, self.words())
        return made

    def status(self) -> dict[str, Any]:
        with self.connect() as connection:
            connection.sendall(b'{"ask": "status"}\n')
            line = received_line(connection)
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(1) == b""  # it has closed its end, too
        assert line, self.words()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def words(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def exit_code(self, seconds: float = LIMIT) -> int:
        """Wait for its end."""
        assert self.watched.has_ended(seconds), self.words()
        _, status = os.waitpid(self.pid, 0)
        self.watched.close()
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def end(self) -> None:
        """End it, and look that nothing of it is left."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            self.exit_code()
        for orphan in set(children_of(os.getpid())) - self._known:
            with contextlib.suppress(ProcessLookupError):
                os.kill(orphan, signal.SIGKILL)
            os.waitpid(orphan, 0)


def component(arguments: Iterable[str], **options: Any) -> subprocess.Popen[str]:
    """Another process that runs Python with these arguments; its first words can be read."""
    return subprocess.Popen([PYTHON, *arguments], text=True, stdout=subprocess.PIPE, **options)
