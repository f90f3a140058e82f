"""Locks of commands (flock): a file that nobody else may open, and patience with whoever holds its lock.

Whoever can open a file, if only for reading, can take its lock and keep it. So a file that is there to be
locked is closed to all but its owner.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from envman.errors import EnvmanError, Problem
from envman.system.children import CHILDREN
from envman.system.lock_holders import holder_text

FOR_MOMENTS = 60.0
"""Seconds to wait for a lock that is held for moments."""

FOR_WORK = 3600.0
"""Seconds to wait for a lock that is held while something is built or downloaded."""


class LockHeldError(EnvmanError):
    """A file's lock can't be had: somebody holds it for too long, or the file system has none."""


@contextlib.contextmanager
def alone(
    path: Path | str, patience: float = FOR_WORK, on_wait: Callable[[], None] | None = None
) -> Iterator[int]:
    """Hold a file's lock, alone; the file is made where it is missing. Yields its descriptor.

    `on_wait` is called once if somebody else holds it. Raises OSError, and as `take_lock` does.
    """
    descriptor = _open(path)
    try:
        take_lock(descriptor, path, patience, on_wait)
        yield descriptor
    finally:
        os.close(descriptor)


def _open(path: Path | str) -> int:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    if os.fstat(descriptor).st_mode & 0o077:
        with contextlib.suppress(PermissionError):  # somebody else's, which they share on purpose
            os.fchmod(descriptor, 0o600)
    return descriptor


def take_lock(
    descriptor: int,
    path: Path | str,
    patience: float = FOR_WORK,
    on_wait: Callable[[], None] | None = None,
) -> None:
    """Take the lock of an open file or folder, alone; `path` is for messages, `patience` in seconds.

    Raises LockHeldError, and InterruptedByUserError where the command was ended meanwhile.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if on_wait:
            on_wait()
        _wait(descriptor, path, patience)
    except OSError as error:
        what = f"can't be locked: {error.strerror}"
        raise LockHeldError(Problem(str(path), what, "Use a file system that has locks (flock).")) from None


def _wait(descriptor: int, path: Path | str, patience: float) -> None:
    mine = os.dup(descriptor)  # the thread that waits may outlast whoever has given it up

    def wait() -> None:
        try:
            fcntl.flock(mine, fcntl.LOCK_EX)
        finally:
            os.close(mine)

    try:
        CHILDREN.abandonable(wait, patience)
    except TimeoutError:
        what = f"has been locked for {patience:.0f} s by {holder_text(descriptor)}"
        remedy = "Wait until that process has ended, or end it; then run this again."
        raise LockHeldError(Problem(str(path), what, remedy)) from None
