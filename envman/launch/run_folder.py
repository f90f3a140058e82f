"""The folder of this host's fork servers, with their sockets and logs, and the locks in it."""

from __future__ import annotations

import fcntl
import os
import stat
import time

from envman.errors import Problem, ResolveError

VARIABLE = "ENVMAN_RUN"

LOCK_LIMIT = 5.0
"""Seconds to wait for a lock in it, which is held for moments. A workload with the components' user can hold
one, too.
"""


def run_folder(make: bool = True) -> str:
    """The folder: ENVMAN_RUN, else one in XDG_RUNTIME_DIR or /tmp; made where it is not there, if wanted.

    Only this process's user may enter it. Raises ResolveError where that is not so, or it is not there.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    usual = f"{runtime}/envman" if runtime else f"/tmp/envman-{os.getuid()}"  # noqa: S108  # looked at below
    folder = os.environ.get(VARIABLE) or usual
    try:
        if make:
            os.mkdir(folder, 0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise _problem(folder, f"can't be made: {error.strerror}") from None
    try:
        found = os.lstat(folder)
    except OSError as error:
        raise _problem(folder, f"can't be looked at: {error.strerror}") from None
    if not stat.S_ISDIR(found.st_mode):
        raise _problem(folder, "is no folder")
    if found.st_uid != os.getuid():
        raise _problem(folder, f"belongs to another user ({found.st_uid})")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise _problem(folder, f"may be entered by others (mode {stat.S_IMODE(found.st_mode):04o})")
    return folder


def locked_within(lock: int, seconds: float) -> bool:
    """Take the lock (flock) of an open file of the folder; false where somebody holds it for longer."""
    until = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > until:
                return False
            time.sleep(0.01)


def _problem(folder: str, what: str) -> ResolveError:
    remedy = f"Set {VARIABLE} to a folder that only this user may enter (mode 0700)."
    return ResolveError(Problem(folder, what, remedy))
