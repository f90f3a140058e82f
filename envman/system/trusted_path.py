"""Where a path leads that nobody but root and this process's user could have made lead elsewhere.

As sshd's StrictModes have it, but by each step: a link is followed here, and the folders in which it stands,
and to which it leads, are looked at like those of the path. Who reads or runs a file with more rights than
its owner's has to know that: in a folder of another user's the file is by now perhaps a link to something
that this user may read and that one may not.

On the launch path: it imports nothing of envman.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat

MOST_LINKS = 40
"""As many as Linux follows in one path."""

OF_THE_KERNEL = {0x9FA0: "proc", 0x62656572: "sysfs"}
"""File systems whose files tell of processes and of the machine, by their numbers in statfs(2)."""


def trusted_path(path: str) -> str:
    """The path, which is absolute, with all links followed.

    Raises PermissionError, whose text is what comes behind the path in a sentence, where a folder on the way
    is another user's or may be written by others, and where it ends among the kernel's own files. A folder
    with the sticky bit (/tmp) may hold folders and links of root's and of this user, as nobody else can
    replace these; what it holds else may have been brought there by anybody. Another OSError where the path
    can't be looked at.
    """
    folder, links = "/", 0
    status = os.stat(folder)
    names = path.split("/")[::-1]
    while names:
        name = names.pop()
        if name in {"", "."}:
            continue
        if not stat.S_ISDIR(status.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder)
        if name == "..":  # of a folder with no link in its own path
            folder = os.path.dirname(folder)
            status = os.stat(folder)
            continue
        step, above = os.path.join(folder, name), status
        status = os.lstat(step)
        _check_step(folder, above, status)
        if not stat.S_ISLNK(status.st_mode):
            folder = step
            continue
        links += 1
        if links > MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        target = os.readlink(step)
        names += target.split("/")[::-1]
        folder, status = ("/", os.stat("/")) if target.startswith("/") else (folder, above)
    if kind := OF_THE_KERNEL.get(_file_system(folder)):
        raise PermissionError(errno.EACCES, f"it lies in {kind}, whose files are the kernel's", path)
    return folder


def why_untrusted(status: os.stat_result) -> str:
    """Why somebody else may have changed a file or folder; empty where nobody can have."""
    if status.st_uid not in {0, os.geteuid()}:
        return f"belongs to the user {status.st_uid}, and neither to root nor to this user"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "may be written by others than its owner"
    return ""


def _check_step(folder: str, above: os.stat_result, below: os.stat_result) -> None:
    """Raises PermissionError where somebody else may put another thing in the place of what is below."""
    why = why_untrusted(above)
    if why and above.st_mode & stat.S_ISVTX and above.st_uid in {0, os.geteuid()}:
        if not stat.S_ISREG(below.st_mode) and below.st_uid in {0, os.geteuid()}:
            return
        why = "may be written by others than its owner, who may have brought there what is in it"
    if why:
        raise PermissionError(errno.EACCES, f"the folder {folder} {why}", folder)


def _file_system(path: str) -> int:
    """The number of its kind."""
    answer = ctypes.create_string_buffer(1024)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.statfs(os.fsencode(path), answer):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)
    return ctypes.c_uint.from_buffer(answer).value  # where it is a longer one, the rest of it is 0
