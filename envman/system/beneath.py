"""Files of others, read beneath their folder: no link leads out of it, whatever is changed meanwhile.

On the launch path: it imports nothing of envman.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct

OPENAT2 = 437
"""The number of the system call, on every architecture of Linux since 5.6."""

RESOLVE_NO_MAGICLINKS, RESOLVE_BENEATH, RESOLVE_IN_ROOT = 0x02, 0x08, 0x10
AGAIN = 100
"""How often a file is opened again whose path is being changed."""

FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
"""No pipe or device is waited for."""

FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
MOST_LINKS = 40
"""As many as Linux follows in one path."""


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
    """A descriptor of a regular file, by its path relative to a folder; a link out of it is an error.

    Raises OSError where it can't be opened, lies elsewhere, is none, or is not for the reader.
    """
    found = _opened(folder, path, RESOLVE_BENEATH)
    status = os.fstat(found)
    if stat.S_ISREG(status.st_mode) and (reader is None or reader.may_read(status)):
        return found
    os.close(found)
    raise PermissionError(errno.EACCES, "it is no file that may be read", path)


def folder_beneath(folder: str, path: str) -> int:
    """A descriptor of a folder, by its path relative to another; a link out of that is an error.

    Raises OSError where it can't be opened, lies elsewhere, or is none.
    """
    return _opened(folder, path, RESOLVE_BENEATH, os.O_DIRECTORY)


def read_in_root(root: str, path: str, most: int) -> bytes:
    """A regular file of an unpacked image, up to `most` bytes, as a process with that root would read it.

    Links start at that root, and `..` ends there. Raises OSError, also for a file that is larger.
    """
    descriptor = _opened(root, path, RESOLVE_IN_ROOT)
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise PermissionError(errno.EACCES, "is no regular file", path)
        content = stream.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"is larger than {most} bytes", path)
    return content


def names_in_root(root: str, path: str) -> list[str]:
    """The names in a folder of an unpacked image, sorted; empty where there is no such folder."""
    try:
        descriptor = _opened(root, path, RESOLVE_IN_ROOT, os.O_DIRECTORY)
    except OSError:
        return []
    try:
        return sorted(os.listdir(descriptor))  # noqa: PTH208  # pathlib knows no descriptors
    finally:
        os.close(descriptor)


def place_in_root(root: str, path: str) -> str:
    """A path of an unpacked image with its links followed, as a process with that root would follow them.

    It is relative to the root. What is not there yet stays as it is named. Raises OSError for a path with
    more links than Linux follows.
    """
    folder = os.open(root, FOLDER)
    try:
        return _place(folder, path)
    finally:
        os.close(folder)


def _opened(folder: str, path: str, resolve: int, flags: int = 0) -> int:
    root = os.open(folder, FOLDER)
    try:
        return _resolved(root, path, resolve, FLAGS | flags)
    finally:
        os.close(root)


def _resolved(root: int, path: str, resolve: int, flags: int) -> int:
    for _ in range(AGAIN):
        how = struct.pack("QQQ", flags, 0, resolve | RESOLVE_NO_MAGICLINKS)
        found = int(_LIBC.syscall(OPENAT2, root, os.fsencode(path), how, len(how)))
        if found >= 0:
            return found
        number = ctypes.get_errno()
        if number in {errno.ENOSYS, errno.EPERM}:  # an older kernel, or a sandbox that knows it not
            return _walked(root, path, resolve, flags)
        if number != errno.EAGAIN:
            break
    raise OSError(number, os.strerror(number), path)


def _walked(root: int, path: str, resolve: int, flags: int) -> int:
    """The same, step by step: links are followed beforehand, and one that is new by then is not."""
    place = _place(root, path, may_lead_out=resolve == RESOLVE_IN_ROOT)
    *folders, name = place.split("/") if place else ["."]
    at = os.dup(root)
    try:
        for part in folders:
            below = os.open(part, FOLDER | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = below
        return os.open(name, flags | os.O_NOFOLLOW, dir_fd=at)
    finally:
        os.close(at)


def _place(root: int, path: str, may_lead_out: bool = True) -> str:
    """Where a path leads; one that leads out of the root goes on from there, or is an error."""
    at: list[str] = []
    left, links, leads_out = path.split("/"), 0, path.startswith("/")
    while left:
        part = left.pop(0)
        if leads_out and not may_lead_out:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
        if part == "..":
            leads_out = not at
            at = at[:-1]
        elif part not in {"", "."}:
            try:
                target = os.readlink("/".join([*at, part]), dir_fd=root)
            except OSError:  # no link, or nothing
                at.append(part)
                continue
            links += 1
            if links > MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            leads_out = target.startswith("/")
            at = [] if leads_out else at
            left = [*target.split("/"), *left]
    if leads_out and not may_lead_out:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
    return "/".join(at)


_LIBC = ctypes.CDLL(None, use_errno=True)
