"""The processes below a process, and their end."""

from __future__ import annotations

import contextlib
import os
import signal

MOST_AT_ONCE = 10_000
"""Processes of a family that are looked at in one go."""


def children_of(pid: int) -> list[int]:
    """The processes whose parent it is."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as stream:
                found += [int(word) for word in stream.read().split()]
    return found


def descendants(pid: int) -> list[int]:
    """All processes below it, those that are next to it first, up to MOST_AT_ONCE."""
    below = children_of(pid)
    for child in below:  # which grows meanwhile; a chain may be longer than Python's stack
        if len(below) > MOST_AT_ONCE:
            break
        below += children_of(child)
    return below


def kill_family(pid: int) -> None:
    """Kill a process, and what is below it: each at once when it is found, so that it starts no more."""
    family = [pid]
    for one in family:  # which grows meanwhile
        if len(family) < MOST_AT_ONCE:  # the others come to this server, and are found at its next look
            family += children_of(one)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(one, signal.SIGKILL)
