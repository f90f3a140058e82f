"""The components' side of the fork servers: find or start an environment's, and hand it a workload.

A server is there for all processes of a host, container or service that would start the same interpreter with
the same variables.
Its socket, lock and log stand in a folder that only the components' user may enter; their names are a digest
of all that the server was started with, so that whatever changes makes a new server, and the old one ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import socket
import struct
import time
from pathlib import Path
from typing import Any

from envman.airflow.cgroup_files import COMPONENTS
from envman.airflow.interpreters import Interpreter
from envman.airflow.served import Served
from envman.errors import EnvmanError, Problem
from envman.launch.process import HELD_DESCRIPTOR
from envman.launch.run_folder import run_folder

SERVER = str(Path(__file__).with_name("fork_server.py"))
LISTEN_DESCRIPTOR = HELD_DESCRIPTOR + 3

IDLE_LIMIT = 600.0
"""Seconds without a workload after which a server ends."""

ANSWER_LIMIT = 150.0
"""Seconds that a component waits for a child; a server that is just starting takes some of them."""

FORGOTTEN_AFTER = 600.0
"""Seconds after which an earlier failure no longer counts."""

LONGEST_PAUSE = 60.0
"""Seconds between two starts of a server that keeps failing."""

ENDED = "ended: "
"""What the last line of a server begins with that has ended of its own accord."""


NAMESPACES = ("mnt", "net", "pid", "user", "ipc", "uts")
"""What a child must have of the component that asks for it: its files, its network and so on."""


class ServerError(EnvmanError):
    """An environment's fork server can't be had at the moment."""


class Server:
    """An environment's fork server, as it has to be for an interpreter: where it listens and what it logs."""

    def __init__(self, interpreter: Interpreter) -> None:
        self._interpreter = interpreter
        self.environment = interpreter.environment
        folder = run_folder()
        self.key = _key(interpreter)
        self._socket = f"{folder}/{self.key}.sock"
        self._lock = f"{folder}/{self.key}.lock"
        self._log = f"{folder}/{self.key}.log"
        self._failures = f"{folder}/{self.key}.failures"

    def ask(self, entry: str, name: str, descriptors: list[int], patience: float | None = None) -> Asked:
        """Ask for a child that gets the descriptors, without waiting for it. Raises ServerError.

        `patience` is how many seconds the answer may take; else it is ANSWER_LIMIT.
        """
        request = {
            "entry": entry,
            "name": name,
            "umask": _umask(),
            "folder": os.getcwd(),
            "added": [*self._interpreter.added],
        }
        return Asked(self, json.dumps(request).encode() + b"\n", descriptors, patience or ANSWER_LIMIT)

    def start(self) -> None:
        """Have the server started, without waiting until it is ready."""
        self._started().close()

    def connection(self, anew: bool) -> socket.socket:
        """A connection to a server, which is started where none listens; `anew`: where none can be had."""
        try:
            return (None if anew else self._connected()) or self._started()
        except OSError as error:  # of the run folder: full, read-only, a path longer than sockets may have
            raise self.error(f"can't be reached: {error}") from None

    def _connected(self) -> socket.socket | None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # not settimeout: a queue that is full for a moment would be an error at once
        limit = struct.pack("ll", int(ANSWER_LIMIT), 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        try:
            connection.connect(self._socket)
        except (ConnectionRefusedError, FileNotFoundError):
            connection.close()
            return None
        except OSError as error:
            connection.close()
            raise self.error(f"can't be reached: {error}") from None
        connection.settimeout(ANSWER_LIMIT)
        return connection

    def _started(self) -> socket.socket:
        """A connection to a server, which is started where none listens. Raises ServerError."""
        with open(self._lock, "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if connection := self._connected():
                return connection
            self._look_back()
            _sweep(os.path.dirname(self._socket))
            self._start()
            connection = self._connected()
        if connection is None:
            raise self.error(self.last_words() or "ended as it was started")
        return connection

    def _start(self) -> None:
        """Start the server on a listening socket: requests wait in it until the server is ready."""
        interpreter = self._interpreter
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        settings = {
            "root": interpreter.root,
            "link": f"{interpreter.root}/{interpreter.environment}",
            "preload": interpreter.preload,
            "owner": os.getuid(),
            "idle": IDLE_LIMIT,
        }
        command = [SERVER, interpreter.environment, interpreter.generation, json.dumps(settings)]
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        with (
            listener,
            open(os.open(self._log, flags, 0o600), "ab") as words,
            open(os.devnull, "rb") as nothing,
        ):
            listener.bind(self._socket)
            listener.listen(4096)
            places = [(nothing.fileno(), 0), (words.fileno(), 1), (words.fileno(), 2)]
            places.append((listener.fileno(), LISTEN_DESCRIPTOR))
            try:
                pid = interpreter.spawn(command, places, seeded=True)
            except OSError as error:
                raise self.error(f"{interpreter.python}: can't be started: {error.strerror}") from None
        with contextlib.suppress(ChildProcessError):  # it leaves its child behind and ends at once
            os.waitpid(pid, 0)

    # what became of the one before

    def _look_back(self) -> None:
        """Count an earlier server that ended without a word; raises ServerError while a pause lasts."""
        count, last = self._failed()
        if os.path.exists(self._socket):  # and nobody listens there any more
            if not self.last_words().startswith(ENDED):
                count = count + 1 if time.time() - last < FORGOTTEN_AFTER else 1
                last = time.time()
                self._note(count)
            os.unlink(self._socket)
        wait = last + pause_after(count) - time.time()
        if wait > 0:
            words = self.last_words()
            raise self.error(f"failed {count} times and rests for {wait:.0f} s{words and f'; {words}'}")

    def _failed(self) -> tuple[int, float]:
        """How often it has failed in a row, and when it last did (seconds since the epoch)."""
        try:
            with open(self._failures, encoding="ascii") as stream:
                return int(stream.read() or 0), os.fstat(stream.fileno()).st_mtime
        except (FileNotFoundError, ValueError):
            return 0, 0.0

    def _note(self, failures: int) -> None:
        with open(self._failures, "w", encoding="ascii") as stream:
            stream.write(str(failures))

    def last_words(self) -> str:
        """The last line that the server wrote; empty where it wrote none."""
        try:
            with open(self._log, encoding="utf-8", errors="replace") as stream:
                lines = stream.read().strip().splitlines()
        except FileNotFoundError:
            return ""
        return lines[-1] if lines else ""

    def error(self, what: str) -> ServerError:
        """That the server can't be had, and where what it wrote stands."""
        where = f"environment '{self._interpreter.environment}': its fork server"
        return ServerError(Problem(where, what, f"What it wrote stands in {self._log}."))


class Asked:
    """A child that a server was asked for. Where ServerError is raised no user code has run.

    `descriptors` are copies of those that the child is to have; they are closed once it has them.
    """

    def __init__(self, server: Server, request: bytes, descriptors: list[int], patience: float) -> None:
        self._server = server
        self._patience = patience
        self._request = request
        self.descriptors = [os.dup(one) for one in descriptors]
        self._attempts = 0
        self._until = 0.0
        try:
            self._connection = self._sent()
        except BaseException:
            self._let_go()
            raise

    def _sent(self) -> socket.socket:
        """Send the request; a server that ends meanwhile is seen when its answer is read."""
        connection = self._server.connection(anew=self._attempts > 0)
        self._attempts += 1
        self._until = time.monotonic() + self._patience
        try:
            socket.send_fds(connection, [self._request], self.descriptors)
        except BrokenPipeError:  # a refusal may be there before it is sent
            pass
        except OSError:
            connection.close()
        return connection

    def child(self, seconds: float) -> Served | None:
        """The child, once the server has answered; None where it has not within so many seconds.

        Raises ServerError where it refuses, or has not answered for too long.
        """
        while (answer := self._answer(seconds)) is not None:
            if "pid" in answer:
                self._let_go()
                return Served(self._connection, answer["pid"], self._server.environment)
            self._connection.close()
            if "refused" in answer:
                raise self._server.error(f"refuses this process: {answer['refused']}")
            if self._attempts > 1:
                raise self._server.error(self._server.last_words() or "ended as it was started")
            # a server that has ended at this very moment has forked nothing: once more, with a new one
            self._connection = self._sent()
        return None

    def _answer(self, seconds: float) -> dict[str, Any] | None:
        left = self._until - time.monotonic()
        try:
            self._connection.settimeout(max(0.0, min(seconds, left)))
            answer: dict[str, Any] = json.loads(_line(self._connection) or b"{}")
        except (BlockingIOError, TimeoutError):
            if seconds < left:
                return None
            self._connection.close()
            raise self._server.error(f"gives no answer within {self._patience:.0f} s") from None
        except OSError:
            return {}
        return answer

    def close(self) -> None:
        """Give up: the server ends the child, or forks none."""
        self._let_go()
        self._connection.close()

    def _let_go(self) -> None:
        while self.descriptors:
            os.close(self.descriptors.pop())


def _line(connection: socket.socket) -> bytes:
    """One line, and nothing of the next: a child that ends quickly has its status there, too."""
    length = connection.recv(4096, socket.MSG_PEEK).find(b"\n") + 1
    return connection.recv(length) if length else b""


def pause_after(failures: int) -> float:
    """Seconds until a server that has failed so often in a row is started again."""
    return min(LONGEST_PAUSE, 2.0 ** min(failures - 2, 10)) if failures > 1 else 0.0


def _sweep(folder: str) -> None:
    """Remove what servers have left that ended more than a day ago; nobody starts those again."""
    yesterday = time.time() - 86400
    for name in os.listdir(folder):
        path = f"{folder}/{name.removesuffix('.log')}"
        with contextlib.suppress(OSError):
            if not name.endswith(".log") or os.stat(f"{path}.log").st_mtime > yesterday:
                continue
            with open(f"{path}.lock", "w", encoding="ascii") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_left(f"{path}.sock"):
                    for ending in ("log", "failures", "sock", "lock"):
                        with contextlib.suppress(FileNotFoundError):
                            os.unlink(f"{path}.{ending}")


def _is_left(path: str) -> bool:
    """Whether nobody listens there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return True
    return False


def _key(interpreter: Interpreter) -> str:
    """A name for all servers that would be the same: the digest of everything that they start with."""
    parts = [
        interpreter.root,
        interpreter.environment,
        interpreter.generation,
        sorted(interpreter.variables.items()),
        interpreter.preload,
        interpreter.user,
        interpreter.limits,
        os.stat(SERVER).st_mtime_ns,  # another envman speaks another protocol
        unit("/proc/self/cgroup"),
        [os.readlink(f"/proc/self/ns/{kind}") for kind in NAMESPACES],
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def unit(file: str) -> str:
    """The container or service that a process belongs to, by its file of cgroups; empty where it has none.

    A service that is stopped ends all processes that it has started: servers are not shared between services.
    """
    try:
        with open(file, encoding="utf-8", errors="surrogateescape") as stream:
            lines = stream.read().splitlines()
    except FileNotFoundError:
        return ""
    return "\n".join(line.removesuffix(f"/{COMPONENTS}").rstrip("/") for line in lines)


def _umask() -> int:
    """The umask, read in a way that leaves it as it is: other threads may be creating files."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as stream:
        for line in stream:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return 0o022
