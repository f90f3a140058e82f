"""The fork servers of this host: ask each for its status, and look at what their processes use."""

from __future__ import annotations

import contextlib
import json
import math
import selectors
import socket
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from envman.inside.protocol import STATUS, STATUS_VERSION
from envman.servers.figures import ProcessTable, Status, Unanswered, Usage, Workload, below, by_parent

if TYPE_CHECKING:
    from envman.inside.protocol import ChildReport, StatusQuestion, StatusReport

_QUESTION: StatusQuestion = {"ask": STATUS}

ANSWER_LIMIT = 5.0
"""Seconds that all servers together may take: one that is just forking answers a moment later."""

LONGEST_ANSWER = 16_000_000


def ask_all(folder: Path, limit: float = ANSWER_LIMIT) -> list[Status | Unanswered]:
    """What the servers say whose sockets stand in a folder, in the order of the sockets' names.

    A socket that a server left behind says nothing. Raises OSError for a folder that can't be read.
    """
    until = time.monotonic() + limit
    found: list[Status | Unanswered] = []
    with selectors.DefaultSelector() as waiting:
        for path in sorted(entry for entry in folder.iterdir() if entry.suffix == ".sock"):
            try:
                if connection := _asked(str(path), limit):
                    waiting.register(connection, selectors.EVENT_READ, _Answer(str(path)))
            except TimeoutError:
                found.append(Unanswered(str(path), "does not answer"))
            except OSError as error:
                found.append(Unanswered(str(path), f"can't be asked: {error.strerror or error}"))
        while waiting.get_map() and (left := until - time.monotonic()) > 0:
            for key, _ in waiting.select(left):
                try:
                    outcome = key.data.read(key.fileobj)
                except ConnectionError:  # it has just ended
                    _close(waiting, key.fileobj)
                    continue
                if outcome is not None:
                    found.append(outcome)
                    _close(waiting, key.fileobj)
        for key in list(waiting.get_map().values()):
            found.append(Unanswered(key.data.path, "does not answer"))
            _close(waiting, key.fileobj)
    return sorted(found, key=lambda answer: answer.socket)


def _asked(path: str, limit: float) -> socket.socket | None:
    """A connection on which the question is asked; None where nobody listens. Raises OSError."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(limit)
    try:
        connection.connect(path)
        with contextlib.suppress(ConnectionError):  # one that refuses may have said so, and hung up, already
            connection.sendall(json.dumps(_QUESTION).encode() + b"\n")
    except (ConnectionError, FileNotFoundError):  # it has ended, and left its socket behind
        connection.close()
        return None
    except OSError:
        connection.close()
        raise
    connection.setblocking(False)
    return connection


def _close(waiting: selectors.BaseSelector, connection: Any) -> None:
    waiting.unregister(connection)
    connection.close()


class _Answer:
    """An answer that comes in pieces."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._data = b""

    def read(self, connection: socket.socket) -> Status | Unanswered | None:
        """The answer, or None while more of it is to come; raises ConnectionError."""
        try:
            more = connection.recv(65536)
        except BlockingIOError:
            return None
        self._data += more
        if self._data.endswith(b"\n"):
            return understood(self.path, self._data)
        if not more or len(self._data) > LONGEST_ANSWER:
            return Unanswered(self.path, "hung up")
        return None


def understood(path: str, answer: bytes) -> Status | Unanswered:
    """A server's answer as a value."""
    try:
        said = json.loads(answer)
        if "refused" in said:
            return Unanswered(path, f"refuses: {_plain(said['refused'])}")
        if said["version"] != STATUS_VERSION:
            return Unanswered(path, f"speaks version {int(said['version'])}, which this envman does not")
        return _status(path, said)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return Unanswered(path, "says what this envman does not understand")


def _status(path: str, said: StatusReport) -> Status:
    """Nothing is what its type says before it was looked at: the server may be another user's."""
    return Status(
        socket=path,
        environment=_plain(said["environment"]),
        generation=_plain(said["generation"]),
        root=_plain(said["root"]),
        pid=int(said["pid"]),
        started=float(said["started"]),
        preload=tuple(_plain(module) for module in said["preload"]),
        budget=int(said["budget"]),
        workloads=int(said["workloads"]),
        last_minute=int(said["last_minute"]),
        crashes=int(said["crashes"]),
        idle=_seconds(said["idle"]),
        idle_limit=_seconds(said["idle_limit"]),
        children=tuple(_child(child) for child in said["children"]),
    )


def _child(said: ChildReport) -> Workload:
    return Workload(int(said["pid"]), _plain(said["kind"]), _plain(said["name"]), float(said["started"]))


def _seconds(number: Any) -> float:
    """Raises ValueError for what is no number that JSON has."""
    if not math.isfinite(found := float(number)):
        raise ValueError(number)
    return found


def _plain(text: Any) -> str:
    """Text that does nothing to a terminal: the folder may be another user's."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))


def look_at(pids: Iterable[int]) -> ProcessTable:
    """What these processes and all below them use now."""
    parents: dict[int, int] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            parents[process.pid] = process.ppid()
    children = by_parent(parents)
    wanted = {one for pid in pids for one in below(children, pid)}
    usage: dict[int, Usage] = {}
    for pid in wanted:
        with contextlib.suppress(psutil.Error):
            usage[pid] = _usage(psutil.Process(pid))
    return ProcessTable(parents, usage)


def _usage(process: psutil.Process) -> Usage:
    """Raises psutil.Error where it has ended."""
    with process.oneshot():
        times = process.cpu_times()
        processor = times.user + times.system + times.children_user + times.children_system
        try:
            pss = process.memory_full_info().pss
        except psutil.AccessDenied:  # a server's memory is closed to all but root
            pss = None
        memory = process.memory_info()
        return Usage(memory.rss, pss, processor, memory.rss - memory.shared)
