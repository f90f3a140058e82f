"""Advisory locks on files below the root: those of builders, and those of whoever lives in a generation.

A builder's lock (flock) is on a file that only builders may open, as whoever can open a file can lock it.

A generation's manifest is everybody's to read, and so it has another kind of lock, which belongs to an open
file description (fcntl(2), F_OFD_SETLK): for a shared one the file has to be open for reading, for an
exclusive one for writing. So whoever may only read can say "somebody lives here", and nothing else.

The kernel gives either up when its last holder ends, however it ends; they work between containers on one
volume, and a child that inherited the descriptor keeps them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from envman.errors import StoreError
from envman.system.waiting import FOR_WORK, LockHeldError, alone

NO_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})
"""What a file system says that has no locks, and a kernel that has none of this kind. Also in
`launch.process`, which doesn't import this module.
"""

_EXCLUSIVE = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
"""`struct flock` of the C library: the whole file, however long."""

_SHARED = bytes(len(_EXCLUSIVE))
"""The same with F_RDLCK."""


@contextlib.contextmanager
def locked(path: str, on_wait: Callable[[], None] | None = None, patience: float = FOR_WORK) -> Iterator[int]:
    """Hold a builder's lock, see `waiting.alone`; raises StoreError where it can't be had."""
    with contextlib.ExitStack() as stack:
        try:
            descriptor = stack.enter_context(alone(path, patience, on_wait))
        except LockHeldError as error:
            raise StoreError(error.problems) from None
        yield descriptor


@contextlib.contextmanager
def try_locked(path: Path) -> Iterator[bool]:
    """Hold a builder's lock if nobody else does; yields whether it is held. The file may be gone: then it is.

    Raises OSError, PermissionError for a user that builds nothing here.
    """
    with _opened(path, os.O_RDONLY) as descriptor:
        yield descriptor is None or _succeeds(lambda: fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB))


@contextlib.contextmanager
def try_emptied(manifest: Path) -> Iterator[bool]:
    """Keep everybody out of a generation if nobody lives there; yields whether that is so.

    On a file system without locks it is not: nobody can say there who lives in it. Raises OSError.
    """
    with _opened(manifest, os.O_RDWR) as descriptor:
        yield descriptor is None or _succeeds(lambda: fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _EXCLUSIVE))


@contextlib.contextmanager
def lived_in(manifest: Path) -> Iterator[None]:
    """Say that somebody needs a generation's files, as a process that runs in it does. Raises OSError, and
    FileNotFoundError where it is gone. On a file system without locks, where nothing is removed, it says
    nothing.
    """
    descriptor = os.open(manifest, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _SHARED)
        except OSError as error:
            if error.errno in {errno.EAGAIN, errno.EACCES}:
                raise FileNotFoundError(errno.ENOENT, "it is being removed", str(manifest)) from None
            if error.errno not in NO_LOCKS:
                raise
        yield
    finally:
        os.close(descriptor)


def why_held(manifest: Path) -> str:
    """Why a generation counts as held; empty where it does not. Takes no lock. Raises OSError."""
    with _opened(manifest, os.O_RDONLY) as descriptor:
        if descriptor is None:
            return ""
        try:
            found = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _EXCLUSIVE)
        except OSError as error:
            if error.errno in NO_LOCKS:
                return "its file system has no locks, which would say whether a process holds it"
            raise
        free = struct.unpack_from("h", found)[0] == fcntl.F_UNLCK
        return "" if free else "a process holds it"


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int | None]:
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _succeeds(take: Callable[[], object]) -> bool:
    try:
        take()
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in NO_LOCKS:
            return False
        raise
    return True
