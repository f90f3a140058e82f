"""Processes of teams' interpreters that are about to leave this component, and that nobody waits for."""

from __future__ import annotations

import contextlib
import os
import signal
import time

BEGIN_LIMIT = 150.0
"""Seconds that one may take: what packages do as an interpreter starts, in `.pth` files, is a team's code."""

_begun: dict[int, float] = {}


def note(pid: int) -> None:
    """Remember a child of this process, whose end is seen to later."""
    _begun[pid] = time.monotonic() + BEGIN_LIMIT


def look_after() -> None:
    """Take leave of those that have ended, and end those that take too long."""
    for pid, until in list(_begun.items()):
        if time.monotonic() > until:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)  # its number is its own until it is waited for
        try:
            ended, _ = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:  # somebody else has waited for it
            ended = pid
        if ended:
            del _begun[pid]
