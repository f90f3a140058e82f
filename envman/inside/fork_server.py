"""An environment's fork server, in the team's interpreter.

    python run.py fork_server env_a 4f1d5ab06a92 '{"preload": ["pandas"], ...}'

It imports what every workload needs once, and then forks a child for each workload that a component hands
it. A component connects to the listening socket at LISTEN_DESCRIPTOR, sends one line of JSON, and with it the
descriptors that the child is to have (see `protocol.py`). The answers are lines, too: the child's process
ID, and later its exit status. The connection is the component's hold on the child: where it ends, the child
ends. Where this server ends, its children end.
"""

from __future__ import annotations

import collections
import contextlib
import gc
import json
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from envman.inside import child as child_process
from envman.inside import plugins, shared_modules, taken_credentials, workload
from envman.inside.descendants import children_of, descendants, kill_family
from envman.inside.peers import stranger
from envman.inside.protocol import (
    BACKLOG,
    END,
    ENDED,
    LISTEN_DESCRIPTOR,
    RUN,
    STATUS,
    STATUS_VERSION,
)
from envman.inside.server_process import leave_the_component, linked_generation, reserve_descriptors

if TYPE_CHECKING:
    from envman.inside.protocol import ServerSettings, StatusReport, WorkloadRequest

START_LIMIT = 120
"""Seconds that all imports may take together."""

RECEIVE_LIMIT = 5.0
"""Seconds that a component may take to send its request."""

ROUND = 2.0
"""Seconds between two looks at what workloads have left behind, and at whether this server is wanted."""

IDLE_ROUND = 30.0
"""The same where it has had none for so many seconds: hundreds of idle servers would take a processor."""

PR_SET_DUMPABLE = 4

FAILED = 3
"""The exit code of a server that can't start; its standard error says why."""


class ForkedChild:
    """A child and the component that has asked for it."""

    __slots__ = ("connection", "entry", "name", "pid", "started", "status")

    def __init__(self, pid: int, connection: socket.socket, entry: str, name: str) -> None:
        self.pid = pid
        self.connection: socket.socket | None = connection
        self.entry = entry
        self.name = name
        self.started = time.time()
        self.status: int | None = None


class ForkServer:
    """Takes requests, forks, and reports what became of the children."""

    def __init__(self, environment: str, generation: str, settings: ServerSettings, score: int) -> None:
        self._score = score
        self._own_score = os.pread(score, 16, 0)
        self._environment = environment
        self._generation = generation
        self._settings = settings
        self._listener = socket.socket(fileno=LISTEN_DESCRIPTOR)
        self._selector = selectors.DefaultSelector()
        self._woken, self._wake = socket.socketpair()
        self._children: dict[int, ForkedChild] = {}
        self._own = {*descendants(os.getpid())}
        """What the preloaded modules have started."""
        self._started = time.time()
        self._idle_since = time.monotonic()
        self._recent: collections.deque[float] = collections.deque()
        self._workloads = 0
        self._crashes = 0
        self._is_in_the_way = False

    def serve(self) -> str:
        """Serve until nobody wants this server any more; returns why."""
        self._listener.listen(BACKLOG)  # whoever connects now sees this process, no longer who has started it
        for one in (self._listener, self._woken, self._wake):
            one.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._woken, selectors.EVENT_READ, self._drain)
        while True:
            for key, _ in self._selector.select(self._pause()):
                key.data(key.fileobj)
            self._look_after_children()
            if reason := self._unwanted():
                return reason

    def _pause(self) -> float:
        """Seconds until the next look, if nothing happens before."""
        idle = time.monotonic() - self._idle_since
        if self._children or self._own or idle < IDLE_ROUND:
            return min(ROUND, self._settings["idle"])
        return min(IDLE_ROUND, max(ROUND, self._settings["idle"] - idle))

    def _drain(self, woken: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            while woken.recv(4096):
                pass

    # requests

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            return
        except OSError as error:  # no descriptor is free: it waits in the queue until one is
            say(f"a connection could not be taken: {error}")
            time.sleep(0.1)
            return
        connection.settimeout(RECEIVE_LIMIT)
        descriptors: list[int] = []
        try:
            if refusal := stranger(connection, self._settings["owner"], RUN):
                answer(connection, {"refused": refusal})
                connection.close()
                return
            request, descriptors = received(connection)
            if request.get("ask") == STATUS:
                answer(connection, self._status())
                connection.close()
                return
            if request.get("ask") == END:
                self._is_in_the_way = True
                connection.close()
                return
            if has_left(connection):  # while this server started: its child runs elsewhere by now
                connection.close()
                return
            self._fork(connection, checked(request, descriptors), descriptors)
        except ConnectionError:  # it only wanted this server to be there
            connection.close()
        except (OSError, ValueError, RecursionError) as error:
            say(f"a request could not be read: {error}")
            connection.close()
        finally:
            for one in descriptors:
                os.close(one)

    def _fork(self, connection: socket.socket, request: WorkloadRequest, descriptors: list[int]) -> None:
        entry, name = request["entry"], request["name"]
        server = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        os.pwrite(self._score, b"500", 0)
        try:
            pid = os.fork()
        finally:
            os.pwrite(self._score, self._own_score, 0)
        if pid == 0:
            try:
                self._let_go(connection)
                workload.take_over(request, descriptors, server)
                if request["credentials"]:
                    taken_credentials.take()
                shared_modules.trace()
                child_process.become(entry, request["component"], request["shared"])
            except BaseException:  # noqa: BLE001  # whatever it is: never back into the server's loop
                import traceback

                traceback.print_exc()
            finally:
                os._exit(124)
        if entry == "task":
            with contextlib.suppress(OSError):  # as Airflow does: the group is there once the start is told
                os.setpgid(pid, pid)
        self._workloads += 1
        self._recent.append(time.monotonic())
        self._forget_the_old()
        child = self._children[pid] = ForkedChild(pid, connection, entry, name)
        self._selector.register(connection, selectors.EVENT_READ, lambda _: self._hang_up(child))
        answer(connection, {"pid": pid})

    def _let_go(self, connection: socket.socket) -> None:
        """In a child: close what is the server's alone."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for child in self._children.values():
            if child.connection is not None:
                child.connection.close()
        for one in (connection, self._selector, self._listener, self._woken, self._wake):
            one.close()
        os.close(self._score)

    def _forget_the_old(self) -> None:
        """Keep the workloads of the last minute: nobody may ever ask, and a server may live for months."""
        while self._recent and self._recent[0] < time.monotonic() - 60:
            self._recent.popleft()

    def _status(self) -> StatusReport:
        self._forget_the_old()
        return {
            "version": STATUS_VERSION,
            "environment": self._environment,
            "generation": self._generation,
            "root": self._settings["root"],
            "pid": os.getpid(),
            "started": self._started,
            "preload": self._settings["preload"],
            "budget": self._settings["budget"],
            "workloads": self._workloads,
            "last_minute": len(self._recent),
            "crashes": self._crashes,
            "idle": 0.0 if self._children else time.monotonic() - self._idle_since,
            "idle_limit": self._settings["idle"],
            "children": [
                {"pid": child.pid, "kind": child.entry, "name": child.name, "started": child.started}
                for child in self._children.values()
                if child.status is None
            ],
        }

    # children

    def _look_after_children(self) -> None:
        for child in list(self._children.values()):
            if child.status is None:
                ended = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if ended is None:
                    continue
                exited = ended.si_code == os.CLD_EXITED
                child.status = ended.si_status if exited else -ended.si_status
                if child.connection is not None:  # else it was this server that has killed it
                    self._crashes += child.status < 0 and -child.status not in {signal.SIGTERM, signal.SIGINT}
                    answer(child.connection, {"status": child.status})
            if child.connection is None:  # until then its number is not given to another process
                os.waitpid(child.pid, 0)
                del self._children[child.pid]
                self._idle_since = time.monotonic()
        self._end_what_is_left()

    def _end_what_is_left(self) -> None:
        """End what workloads that have ended have left behind, whatever session it is in."""
        if self._own:
            own = {one for pid in self._own for one in (pid, *descendants(pid))}
            self._own = own & {*descendants(os.getpid())}
        for pid in children_of(os.getpid()):
            if pid in self._children:
                continue
            if pid not in self._own:
                kill_family(pid)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)

    def _hang_up(self, child: ForkedChild) -> None:
        """The component has seen the end, or has ended itself and takes the child with it."""
        connection, child.connection = child.connection, None
        if connection is not None:
            self._selector.unregister(connection)
            connection.close()
        if child.status is None:
            kill_family(child.pid)

    def _unwanted(self) -> str:
        if self._children:
            self._is_in_the_way = False
            return ""
        if self._is_in_the_way:
            return "others need its memory"
        if linked_generation(self._settings["link"]) not in {self._generation, None}:
            return "another generation is published"
        if time.monotonic() - self._idle_since > self._settings["idle"]:
            return "idle"
        return ""


def received(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """One request, and the descriptors that came with it."""
    data, descriptors, _, _ = socket.recv_fds(connection, 65536, 16)
    try:
        while not data.endswith(b"\n"):
            more = connection.recv(65536)
            if not more:
                raise ConnectionAbortedError
            data += more
        request = json.loads(data)
        if not isinstance(request, dict):
            raise ValueError("it is no table")  # noqa: TRY004  # as for all that is wrong with one
    except BaseException:
        for one in descriptors:
            os.close(one)
        raise
    return request, descriptors


def checked(request: dict[str, Any], descriptors: list[int]) -> WorkloadRequest:
    """The request; raises ValueError where a child could not start as it is asked to."""
    kinds = {
        **dict.fromkeys(("entry", "name", "folder"), str),
        **dict.fromkeys(("added", "component", "shared"), list),
        "umask": int,
        "credentials": bool,
    }
    wrong = [key for key, kind in kinds.items() if not isinstance(request.get(key), kind)]
    if wrong or request["entry"] not in child_process.ENTRIES:
        raise ValueError(f"not as it has to be: {', '.join(wrong) or 'entry'}")
    if len(descriptors) - request["credentials"] not in {
        4,
        5,
    }:  # too few where the kernel found no free numbers for them
        raise ValueError(f"{len(descriptors)} descriptors came with it")
    return {
        "entry": request["entry"],
        "name": request["name"],
        "umask": request["umask"],
        "folder": request["folder"],
        "added": request["added"],
        "component": request["component"],
        "credentials": request["credentials"],
        "shared": request["shared"],
    }


def say(words: str) -> None:
    """Write a line where whoever has started this server finds it."""
    sys.stderr.write(f"{words}\n")
    sys.stderr.flush()


def has_left(connection: socket.socket) -> bool:
    """Whether the component has closed its end. It sends nothing after its request."""
    connection.setblocking(False)
    try:
        return not connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    finally:
        connection.settimeout(RECEIVE_LIMIT)


def answer(connection: socket.socket, content: Mapping[str, object]) -> None:
    """Send a line; a component that has gone away is found when its connection is read."""
    with contextlib.suppress(OSError):
        connection.sendall(json.dumps(content).encode() + b"\n")


# at the start


def main(words: list[str]) -> NoReturn:
    """Leave the component, and serve an environment's generation with these settings; ends the process."""
    environment, generation, settings = words
    leave_the_component()
    # at once: whoever connects sees that nobody is there, no thread is waited for, no word follows the last
    os._exit(run(environment, generation, json.loads(settings)))


def run(environment: str, generation: str, settings: ServerSettings) -> int:
    """Load, then serve; returns the exit code."""
    signal.alarm(START_LIMIT)
    # Memory runs out: a workload goes, not this server with all others. Children inherit the score that this
    # server has while it forks; once its memory is closed, only root could open the file.
    score = os.open("/proc/self/oom_score_adj", os.O_RDWR)
    workload.prctl(PR_SET_DUMPABLE, 0)
    workload.prctl(workload.PR_SET_CHILD_SUBREAPER, 1)
    reserve_descriptors()
    try:
        shared_modules.load(settings["preload"])
        if problem := plugins.load():
            say(f"plugins: each workload loads them: {problem}")
    except shared_modules.PreloadError as error:
        say(f"preload: {error}")
        return FAILED
    signal.alarm(0)
    gc.collect()
    gc.freeze()
    gc.disable()
    say(f"{ENDED}{ForkServer(environment, generation, settings, score).serve()}")
    return 0
