"""The components' side of the fork servers: find or start an environment's, and hand it a workload.

A server is there for all processes of a host, container or service that would start the same interpreter with
the same variables.
Its socket, lock and log stand in a folder that only the components' user may enter; their names are a digest
of all that the server was started with, so that whatever changes makes a new server, and the old one ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import struct
import sys
import time

from envman.airflow import begun
from envman.airflow.bundle_interpreter import BundleInterpreter
from envman.airflow.server_budget import bytes_of, make_room
from envman.airflow.server_identity import name_of
from envman.airflow.server_peer import Sender, ask_for_senders, check_is_no_workload, child_of, received_line
from envman.confine.step import Refused, identity
from envman.door.breach import BreachError
from envman.door.server_answer import LONGEST_ANSWER, server_answer
from envman.errors import EnvmanError, Problem
from envman.inside.protocol import BACKLOG, ENDED, FORK_SERVER, LISTEN_DESCRIPTOR, RUN, STATUS
from envman.launch.run_folder import LOCK_LIMIT, locked_within, run_folder
from envman.system.lock_holders import holder_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from envman.airflow.server_child import ServerChild
    from envman.inside.protocol import ServerAnswer, ServerSettings, StatusQuestion, WorkloadRequest

IDLE_LIMIT = 600.0
"""Seconds without a workload after which a server ends whose spec states none (`server-idle`)."""

ANSWER_LIMIT = 150.0
"""Seconds that a component waits for a child; a server that is just starting takes some of them."""

FORGOTTEN_AFTER = 600.0
"""Seconds after which an earlier failure no longer counts."""

LAST_BYTES = 4096
"""Of what a server has written so many are looked at."""

CONNECT_LIMIT = 500_000
"""Microseconds that a place in a server's queue is waited for, which has thousands of them."""

LONGEST_PAUSE = 60.0
"""Seconds between two starts of a server that keeps failing."""


class ServerError(EnvmanError):
    """An environment's fork server can't be had at the moment."""


class ServerClient:
    """An environment's fork server, as it has to be for an interpreter: where it listens and what it logs."""

    def __init__(self, interpreter: BundleInterpreter) -> None:
        self._interpreter = interpreter
        self._runtime = interpreter.runtime
        self.environment = interpreter.runtime.environment
        folder = run_folder()
        self.key = name_of(interpreter.runtime)
        self._socket = f"{folder}/{self.key}.sock"
        self._lock = f"{folder}/{self.key}.lock"
        self._log = f"{folder}/{self.key}.log"
        self._failures = f"{folder}/{self.key}.failures"

    def ask(
        self,
        entry: str,
        name: str,
        descriptors: list[int],
        patience: float | None = None,
        credentials: bool = False,
    ) -> ChildRequest:
        """Ask for a child that gets the descriptors, without waiting for it. Raises ServerError.

        `patience` is how many seconds the answer may take; else it is ANSWER_LIMIT. `credentials`: the last
        descriptor is where they come.
        """
        request: WorkloadRequest = {
            "entry": entry,
            "name": name,
            "umask": _umask(),
            "folder": os.getcwd(),
            "added": [*self._runtime.added],
            "component": sys.argv[1:],
            "credentials": credentials,
            "shared": self._interpreter.shared,
        }
        return ChildRequest(self, json.dumps(request).encode() + b"\n", descriptors, patience or ANSWER_LIMIT)

    def start(self) -> None:
        """Have the server started, without waiting until it is ready."""
        self.started().close()

    def ask_for_status(self, connection: socket.socket) -> None:
        """Ask a server for what it answers once it takes workloads; a server that has ended hangs up."""
        question: StatusQuestion = {"ask": STATUS}
        connection.setblocking(False)
        with contextlib.suppress(OSError):
            connection.sendall(json.dumps(question).encode() + b"\n")

    def connection(self, anew: bool) -> socket.socket:
        """A connection to a server, which is started where none listens; `anew`: where none can be had."""
        begun.look_after()
        with contextlib.suppress(OSError):
            os.utime(self._lock)  # by which it is known who was used last
        try:
            return (None if anew else self.listening()) or self.started()
        except OSError as error:  # of the run folder: full, read-only, a path longer than sockets may have
            raise self.error(f"can't be reached: {error}") from None

    def listening(self) -> socket.socket | None:
        """A connection to the server, if one listens; it may be just starting. Raises ServerError."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        ask_for_senders(connection)
        # not settimeout: a queue that is full for a moment would be an error at once
        limit = struct.pack("ll", 0, CONNECT_LIMIT)
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

    def started(self, waits: bool = True) -> socket.socket:
        """A connection to a server, which is started where none listens. Raises ServerError, OSError.

        Without `waits` it raises BlockingIOError where somebody else is just starting it.
        """
        with open(self._lock, "w", encoding="ascii") as lock:
            if not locked_within(lock.fileno(), LOCK_LIMIT if waits else 0):
                if not waits:
                    raise BlockingIOError(self._lock)
                held = f"{self._lock} has been locked for {LOCK_LIMIT:.0f} s by {holder_text(lock.fileno())}"
                raise self.error(f"can't be started: {held}")
            if connection := self.listening():
                return connection
            self._look_back()
            _sweep(folder := os.path.dirname(self._socket))
            if budget := bytes_of(self._runtime.server_memory):
                make_room(folder, budget)
            self._start(budget)
            connection = self.listening()
        if connection is None:
            raise self.error(self.last_words() or "ended as it was started")
        return connection

    def _start(self, budget: int) -> None:
        """Start the server on a listening socket: requests wait in it until the server is ready."""
        runtime = self._runtime
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        settings: ServerSettings = {
            "root": runtime.root,
            "link": f"{runtime.root}/{runtime.environment}",
            "preload": [*runtime.preload],
            "owner": os.getuid(),
            "idle": runtime.server_idle or IDLE_LIMIT,
            "budget": budget,
        }
        words = [runtime.environment, runtime.generation, json.dumps(settings)]
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        with (
            listener,
            open(os.open(self._log, flags, 0o600), "ab") as log,
            open(os.devnull, "rb") as nothing,
        ):
            listener.bind(self._socket)
            listener.listen(BACKLOG)
            places = [(nothing.fileno(), 0), (log.fileno(), 1), (log.fileno(), 2)]
            places.append((listener.fileno(), LISTEN_DESCRIPTOR))
            try:
                pid = self._interpreter.spawn([RUN, FORK_SERVER, *words], places, seeded=True)
            except OSError as error:
                raise self.error(f"{runtime.python}: can't be started: {error.strerror}") from None
        begun.note(pid)  # it leaves its child behind and ends, in time or not

    def handle_of(self, pid: int, sender: Sender | None) -> int:
        """A pidfd of the child that the server has named. Raises ServerError where it is none of its own."""
        try:
            user = identity(*self._runtime.user).uid if self._runtime.user else os.geteuid()
            if sender is None:
                raise BreachError("nobody has sent its answer")
            check_is_no_workload(sender)
            return child_of(sender, pid, user)
        except (BreachError, Refused) as error:
            raise self.error(f"is not to be trusted: {error}") from None

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
        """The last line that the server wrote, or its end; empty where it wrote none."""
        try:
            with open(self._log, "rb") as stream:
                stream.seek(max(0, os.fstat(stream.fileno()).st_size - LAST_BYTES))
                lines = stream.read(LAST_BYTES).decode(errors="replace").strip().splitlines()
        except FileNotFoundError:
            return ""
        return lines[-1] if lines else ""

    def error(self, what: str) -> ServerError:
        """That the server can't be had, and where what it wrote stands."""
        where = f"environment '{self.environment}': its fork server"
        return ServerError(Problem(where, what, f"What it wrote stands in {self._log}."))


class ChildRequest:
    """A child that a server was asked for. Where ServerError is raised no user code has run.

    `descriptors` are copies of those that the child is to have; they are closed once it has them.
    """

    def __init__(self, server: ServerClient, request: bytes, descriptors: list[int], patience: float) -> None:
        self._server = server
        self._patience = patience
        self._request = request
        self.descriptors = [os.dup(one) for one in descriptors]
        self._attempts = 0
        self._until = 0.0
        self._sender: Sender | None = None
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

    def child(self, seconds: float) -> ServerChild | None:
        """The child, once the server has answered; None where it has not within so many seconds.

        Raises ServerError where it refuses, or has not answered for too long.
        """
        from envman.airflow.server_child import ServerChild  # imports Airflow, which may start after servers

        while (answer := self._answer(seconds)) is not None:
            if "pid" in answer:
                handle = self._handle(answer["pid"])
                self._let_go()
                return ServerChild(self._connection, answer["pid"], handle, self._server.environment)
            self._connection.close()
            if "refused" in answer:
                raise self._server.error(f"refuses this process: {answer['refused']}")
            if self._attempts > 1:
                raise self._server.error(self._server.last_words() or "ended as it was started")
            # a server that has ended at this very moment has forked nothing: once more, with a new one
            self._connection = self._sent()
        return None

    def _handle(self, pid: int) -> int:
        try:
            return self._server.handle_of(pid, self._sender)
        except EnvmanError:
            self._connection.close()
            raise

    def _answer(self, seconds: float) -> ServerAnswer | None:
        left = self._until - time.monotonic()
        try:
            self._connection.settimeout(max(0.0, min(seconds, left)))
            line, self._sender = received_line(self._connection, LONGEST_ANSWER)
            return server_answer(line) if line else {}
        except BreachError as breach:
            self._connection.close()
            raise self._server.error(f"is not to be trusted: {breach}") from None
        except (BlockingIOError, TimeoutError):
            if seconds < left:
                return None
            self._connection.close()
            raise self._server.error(f"gives no answer within {self._patience:.0f} s") from None
        except OSError:
            return {}

    def close(self) -> None:
        """Give up: the server ends the child, or forks none."""
        self._let_go()
        self._connection.close()

    def _let_go(self) -> None:
        while self.descriptors:
            os.close(self.descriptors.pop())


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


def _umask() -> int:
    """The umask, read in a way that leaves it as it is: other threads may be creating files."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as stream:
        for line in stream:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return 0o022
