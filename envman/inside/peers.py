"""Who is at the other end of a fork server's socket."""

from __future__ import annotations

import os
import socket
import struct

from envman.inside.protocol import FORK_SERVER


def stranger(connection: socket.socket, owner: int, script: str) -> str:
    """Why the other end may not start anything here; empty where it may.

    `owner` is the components' user, `script` the path of `run.py` by which servers are started. The other
    end's user has to be the owner. Where the workloads have that user, too, none of the other end's ancestors
    may be a fork server: what a server's child starts stays below that server (it is their subreaper), and
    its children can't change a server's command line.
    """
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _ = struct.unpack("3i", credentials)
    if uid not in {owner, 0}:
        return f"the user {uid} is not the one of the components"
    if os.getuid() not in {owner, 0}:
        return ""
    return workload(pid, script)


def workload(pid: int, script: str) -> str:
    """Why a process may not speak for a component or a server: it is a workload's, or out of sight.

    Empty where none of its ancestors, nor it itself, is a fork server.
    """
    while pid > 1:
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as stream:
                words = stream.read().split(b"\0")
            with open(f"/proc/{pid}/stat", "rb") as stream:
                parent = int(stream.read().rpartition(b")")[2].split()[1])
        except OSError:
            return "it has ended"
        if [os.fsencode(script), os.fsencode(FORK_SERVER)] in (words[1:3], words[2:4]):
            return "it is a workload itself"
        pid = parent
    return "" if pid == 1 else "it is in another container"
