"""The memory that a host's fork servers may have together: idle ones end where others need it.

What counts is what the end of a server gives back: pages that belong to no file (RSS without what is shared,
in /proc/PID/statm, which everybody may read). What workloads use beside is theirs.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
from collections.abc import Iterator
from operator import attrgetter
from statistics import median_low

from envman.airflow.server_peer import CREDENTIALS
from envman.confine.cgroup_files import memory_limits
from envman.inside.protocol import END, FORK_SERVER, RUN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from envman.inside.protocol import EndQuestion

FIRST_SIZE = 100 << 20
"""Bytes that a server is taken to need, where none is there to tell."""

_PAGE = resource.getpagesize()


def bytes_of(budget: str, proc: str = "/proc/self") -> int:
    """A budget in bytes; 0 where there is none. A part (`25%`) is one of this host's memory, or of the least
    that a cgroup leaves to this process, as in a container.
    """
    if not budget.endswith("%"):
        return int(budget or 0)
    host = os.sysconf("SC_PHYS_PAGES") * _PAGE
    return min([host, *memory_limits(proc)]) * int(budget[:-1]) // 100


class RunningServer:
    """A server that listens: its socket, its own memory in bytes, when it was used last, whether it has a
    child.

    A server that is just starting has no memory yet that counts: `memory` is 0.
    """

    __slots__ = ("is_busy", "memory", "path", "used")

    def __init__(self, path: str, memory: int, used: float, is_busy: bool) -> None:
        self.path = path
        self.memory = memory
        self.used = used
        self.is_busy = is_busy


def make_room(folder: str, budget: int) -> None:
    """Have idle servers end, those first that were used least lately, until one more fits.

    It fits nevertheless where all are busy: a workload is worth more than a budget. Nothing here waits: they
    end a moment later, and one that is given a workload before does not.
    """
    servers = [*_listening(folder)]
    sizes = [one.memory for one in servers if one.memory]
    size = median_low(sizes) if sizes else FIRST_SIZE
    excess = sum(one.memory or size for one in servers) + size - budget
    for server in sorted(servers, key=attrgetter("used")):
        if excess <= 0:
            return
        if server.memory and not server.is_busy and _told_to_end(server.path):
            excess -= server.memory


def _listening(folder: str) -> Iterator[RunningServer]:
    for name in os.listdir(folder):
        if not name.endswith(".sock"):
            continue
        path = f"{folder}/{name}"
        with contextlib.suppress(OSError), _connected(path) as connection:
            # that of the last call of listen(2): the server's own, once it has started
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
            pid, _, _ = CREDENTIALS.unpack(credentials)
            used = os.stat(f"{path.removesuffix('.sock')}.lock").st_mtime
            memory, is_busy = _memory_and_work(pid)
            yield RunningServer(path, memory, used, is_busy)


def _memory_and_work(pid: int) -> tuple[int, bool]:
    """The memory of a server's own, and whether it has children; nothing is known of one that is starting."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as stream:
            words = stream.read().split(b"\0")
        if [os.fsencode(RUN), os.fsencode(FORK_SERVER)] not in (words[1:3], words[2:4]):
            return 0, True
        with open(f"/proc/{pid}/statm", encoding="ascii") as stream:
            _, resident, shared, *_ = map(int, stream.read().split())
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as stream:
            return (resident - shared) * _PAGE, bool(stream.read())
    except (OSError, ValueError):
        return 0, True


def _told_to_end(path: str) -> bool:
    """Whether a server could be told that others need its memory."""
    question: EndQuestion = {"ask": END}
    try:
        with _connected(path) as connection:
            connection.sendall(json.dumps(question).encode() + b"\n")
    except OSError:
        return False
    return True


def _connected(path: str) -> socket.socket:
    """A connection to a server. Raises OSError, where its queue is full, too."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.setblocking(False)
    try:
        connection.connect(path)
    except BaseException:
        connection.close()
        raise
    return connection
