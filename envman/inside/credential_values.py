"""Credentials as variables of a process, and files of theirs that a `keeper.py` has for it."""

from __future__ import annotations

import ctypes
import fcntl
import os
import sys
from signal import SIGHUP, SIGINT, SIGTERM
from typing import TYPE_CHECKING, Any

from envman.inside.protocol import (
    CALL_DESCRIPTOR,
    CONTENT_ENDS,
    CONTENT_OF_FILE,
    CONTENT_OF_VARIABLE,
    CONTENT_REFUSED,
    HELD_DESCRIPTOR,
    KEEPER,
    LOG_DESCRIPTOR,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

F_ADD_SEALS, ALL_SEALS = 1033, 0xF
MFD_CLOEXEC, MFD_ALLOW_SEALING = 1, 2
LOWEST = 10
"""Above the standard descriptors."""


class CredentialsRefusedError(Exception):
    """Why a workload has no credentials, as a sentence."""


def variables_of(content: bytes) -> dict[str, str]:
    """The variables that are to be set. Files are kept for as long as this process lives.

    Raises CredentialsRefusedError with the component's reason, and where the content is cut short.
    """
    variables: dict[str, str] = {}
    files: dict[str, bytes] = {}
    kind, _, rest = content.partition(b"\0")
    while kind in {CONTENT_OF_VARIABLE, CONTENT_OF_FILE}:
        variable, size, rest = (*rest.split(b"\0", 2), b"", b"")[:3]
        text, rest = rest[: int(size)], rest[int(size) + 1 :]
        if kind == CONTENT_OF_FILE:
            files[variable.decode()] = text
        else:
            variables[variable.decode()] = text.decode()
        kind, _, rest = rest.partition(b"\0")
    if kind != CONTENT_ENDS:
        reason = (
            rest.partition(b"\0")[0].decode() if kind == CONTENT_REFUSED else "Its credentials are cut short."
        )
        raise CredentialsRefusedError(reason)
    if files:
        variables.update(zip(files, kept([*files.values()]), strict=True))
    return variables


def kept(contents: Sequence[bytes]) -> list[str]:
    """Paths of files with these contents, which this process's user alone may read and nobody may write."""
    files = [_sealed(content) for content in contents]
    reading, writing = os.pipe()
    ready = fcntl.fcntl(writing, fcntl.F_DUPFD_CLOEXEC, LOWEST)
    os.close(writing)
    actions: list[Any] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, ready, 1),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        *((os.POSIX_SPAWN_CLOSE, one) for one in (HELD_DESCRIPTOR, LOG_DESCRIPTOR, CALL_DESCRIPTOR)),
    ]
    words = [sys.executable, "-I", "-S", KEEPER, *map(str, (os.getpid(), *files))]
    libraries = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    try:
        # what ends a service or a task tells all its processes; the files are needed until the last of it
        how: dict[str, Any] = {"setsid": True, "setsigmask": [SIGTERM, SIGINT, SIGHUP]}
        pid = os.posix_spawn(sys.executable, words, libraries, file_actions=actions, **how)
        os.close(ready)
        # it has them by now, and is open to its user; not if its program is unreadable, until it says so
        if not os.access(sys.executable, os.R_OK) and not os.read(reading, 1):
            raise CredentialsRefusedError("The process that keeps files of credentials did not start.")
    finally:
        os.close(reading)
        for one in files:
            os.close(one)
    return [f"/proc/{pid}/fd/{one}" for one in files]


def _sealed(content: bytes) -> int:
    """An inheritable descriptor of a file in memory, which is this user's and can't be changed."""
    make = getattr(os, "memfd_create", None) or _memfd_create  # not every Python has it, every kernel does
    file = make("credential", MFD_CLOEXEC | MFD_ALLOW_SEALING)
    with open(file, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fchmod(file, 0o400)
        fcntl.fcntl(file, F_ADD_SEALS, ALL_SEALS)
        return fcntl.fcntl(file, fcntl.F_DUPFD, LOWEST)


def _memfd_create(name: str, flags: int) -> int:
    file: int = ctypes.CDLL(None).memfd_create(name.encode(), flags)
    if file < 0:
        raise OSError("no file in memory can be had")
    return file
