"""Who has answered as a fork server, and whether a process is that one's child: the kernel says so."""

from __future__ import annotations

import os
import select
import socket
import struct

from envman.door.breach import BreachError
from envman.inside.peers import workload
from envman.inside.protocol import RUN

CREDENTIALS = struct.Struct("3i")
"""Process, user and group of a sender."""


class Sender:
    """The process that has sent something, and its user."""

    __slots__ = ("pid", "user")

    def __init__(self, pid: int, user: int) -> None:
        self.pid = pid
        self.user = user


def ask_for_senders(connection: socket.socket) -> None:
    """Have the kernel say with all that comes who has sent it."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)


def received_line(connection: socket.socket, limit: int) -> tuple[bytes, Sender | None]:
    """One line, with its sender, and nothing of the next: a child that ends quickly has its status there.

    Empty at the end of the stream, or where there is no whole line within so many bytes. Raises OSError.
    """
    length = connection.recv(limit, socket.MSG_PEEK).find(b"\n") + 1
    if not length:
        return b"", None
    line, ancillary, _, _ = connection.recvmsg(length, socket.CMSG_SPACE(CREDENTIALS.size))
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            pid, user, _ = CREDENTIALS.unpack(data[: CREDENTIALS.size])
            return line, Sender(pid, user)
    return line, None


def check_is_no_workload(sender: Sender) -> None:
    """See that whoever has answered is no child of a fork server. Raises BreachError.

    With one user for all, a workload could put a socket of its own into the place of another environment's.
    """
    if why := workload(_facts(sender.pid).get("PPid", 0), RUN):
        raise BreachError(f"the process {sender.pid} answers: {why}")


def child_of(sender: Sender, pid: int, user: int) -> int:
    """A descriptor of a process (pidfd) that is the sender's child and has this user, as the sender has.

    Raises BreachError where it is not: no signal may ever reach it.
    """
    if sender.user != user:
        raise BreachError(f"the user {sender.user} answers, not {user}")
    try:
        handle = os.pidfd_open(pid)
    except OSError as error:
        raise BreachError(f"it names a process {pid} that is not there: {error.strerror}") from None
    try:
        facts = _facts(pid)
        if facts != {"PPid": sender.pid, "Uid": user}:
            raise BreachError(f"it names a process {pid} that is not its child")
        if (
            select.select([handle], [], [], 0)[0] and _facts(pid) != facts
        ):  # the number may be another's by now
            raise BreachError(f"it names a process {pid} that has gone")
    except BaseException:
        os.close(handle)
        raise
    return handle


def _facts(pid: int) -> dict[str, int]:
    """The parent and the user of a process; a zombie has both. Empty where there is none."""
    found = {}
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as stream:
            for line in stream:
                key, _, rest = line.partition(":")
                if key in {"PPid", "Uid"}:
                    found[key] = int(rest.split()[0])
    except OSError:
        return {}
    return found
