"""Wait for a lock that somebody else holds, as long as the command is not ended."""

from __future__ import annotations

import fcntl
import os

from envman.system.children import CHILDREN


def take_lock(descriptor: int) -> None:
    """Take a file's lock (flock), alone; raises InterruptedByUserError where the command was ended."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        mine = os.dup(descriptor)  # the thread that waits may outlast whoever has given it up

        def wait() -> None:
            try:
                fcntl.flock(mine, fcntl.LOCK_EX)
            finally:
                os.close(mine)

        CHILDREN.abandonable(wait)
