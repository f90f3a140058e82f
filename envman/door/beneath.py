"""Files of others, read beneath their folder: no link leads out of it, whatever is changed meanwhile."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct

OPENAT2 = 437
"""The number of the system call, on every architecture of Linux since 5.6."""

RESOLVE_NO_MAGICLINKS, RESOLVE_BENEATH = 0x02, 0x08
AGAIN = 100
"""How often a file is opened again whose path is being changed."""

FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
"""No pipe or device is waited for."""


class Reader:
    """Who has to be allowed to read a file: a user and groups, by their numbers."""

    __slots__ = ("groups", "user")

    def __init__(self, user: int, groups: frozenset[int]) -> None:
        self.user = user
        self.groups = groups

    def may_read(self, file: os.stat_result) -> bool:
        """Whether the file's mode lets it; lists of access rights are not looked at."""
        if not self.user:
            return True
        if file.st_uid == self.user:
            return bool(file.st_mode & stat.S_IRUSR)
        return bool(file.st_mode & (stat.S_IRGRP if file.st_gid in self.groups else stat.S_IROTH))


def open_beneath(folder: str, path: str, reader: Reader | None = None) -> int:
    """A descriptor of a regular file, by its path relative to a folder.

    Raises OSError where it can't be opened, lies elsewhere, is none, or is not for the reader.
    """
    root = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = _resolved(root, path)
    finally:
        os.close(root)
    status = os.fstat(found)
    if stat.S_ISREG(status.st_mode) and (reader is None or reader.may_read(status)):
        return found
    os.close(found)
    raise PermissionError(errno.EACCES, "is no file that may be read", path)


def _resolved(root: int, path: str) -> int:
    for _ in range(AGAIN):
        how = struct.pack("QQQ", FLAGS, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)
        found = int(_LIBC.syscall(OPENAT2, root, os.fsencode(path), how, len(how)))
        if found >= 0:
            return found
        number = ctypes.get_errno()
        if number in {errno.ENOSYS, errno.EPERM}:  # an older kernel, or a sandbox that knows it not
            return _walked(root, path)
        if number != errno.EAGAIN:
            break
    raise OSError(number, os.strerror(number), path)


def _walked(root: int, path: str) -> int:
    """The same, step by step, where no link is followed at all."""
    *folders, name = [part for part in path.split("/") if part not in {"", "."}] or [""]
    if ".." in {*folders, name} or path.startswith("/"):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
    at = os.dup(root)
    try:
        for part in folders:
            below = os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
            os.close(at)
            at = below
        return os.open(name, FLAGS | os.O_NOFOLLOW, dir_fd=at)
    finally:
        os.close(at)


_LIBC = ctypes.CDLL(None, use_errno=True)
