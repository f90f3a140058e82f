"""Run a command where the kernel has no locks, as on a file system without them: by a filter of system calls.

    python no_locks.py ERROR COMMAND...      ERROR is a name, such as ENOLCK

The filter (seccomp(2)) answers flock(2), and fcntl(2) with F_OFD_SETLK or F_OFD_GETLK, by that error. It outlives
execve, and needs no right but the own word to gain none.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from pathlib import Path

ERRORS = ("ENOLCK", "EOPNOTSUPP", "ENOSYS", "EINVAL")
NUMBERS = {"x86_64": (72, 73), "aarch64": (25, 32)}
"""Of the system calls fcntl and flock."""

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, IS, RETURN = 0x20, 0x15, 0x06
ALLOW, FAIL = 0x7FFF0000, 0x00050000


def command(error: str, *words: str) -> list[str]:
    """The words that run a command so."""
    return [sys.executable, str(Path(__file__)), error, *words]


def forbid_locks(number: int) -> None:
    fcntl_number, flock_number = NUMBERS[platform.machine()]
    steps = [
        (LOAD, 0, 0, 0),  # the system call's number
        (IS, 4, 0, flock_number),
        (IS, 0, 4, fcntl_number),
        (LOAD, 0, 0, 24),  # its second argument
        (IS, 1, 0, 36),
        (IS, 0, 1, 37),
        (RETURN, 0, 0, FAIL | number),
        (RETURN, 0, 0, ALLOW),
    ]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    filters = ctypes.create_string_buffer(struct.pack("HP", len(steps), ctypes.addressof(program)))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    assert prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(filters), 0, 0) == 0, ctypes.get_errno()


if __name__ == "__main__":
    forbid_locks(getattr(errno, sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])
