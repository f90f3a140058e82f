"""Run ssh-keygen(1) to check a signature: by its absolute path, without the caller's variables.

What it reads stands in memory, so that it judges the bytes that this process has read, whoever changes a file
meanwhile. This needs neither subprocess nor threads, which take longer to import than ssh-keygen runs.
"""

from __future__ import annotations

import _signal  # signal itself imports enum
import errno
import fcntl
import os
import time
from contextlib import suppress

from envman.errors import PolicyError, Problem

PROGRAM = "/usr/bin/ssh-keygen"
PATIENCE = 10.0
"""Seconds that ssh-keygen has; it takes some milliseconds."""

MOST_OUTPUT = 4096
SIGNERS, SIGNATURE = "/proc/self/fd/3", "/proc/self/fd/4"
"""By which names ssh-keygen finds the two files."""

_REMEDIES = {
    errno.ENOENT: "Install OpenSSH's client (Debian: openssh-client).",
    errno.EMFILE: "This process has as many files open as it may: raise its limit (ulimit -n).",
    errno.ECHILD: "This process ignores SIGCHLD, or waits for all children elsewhere: start it without.",
}
_ABOVE = 10
_PAUSE = 0.0005


def ssh_keygen(words: list[str], message: bytes, signers: bytes, signature: bytes) -> tuple[int, str]:
    """Run it with these words: its exit status, and what it says. Raises PolicyError where it can't run."""
    opened: list[int] = []
    ignored = _hear_of_children()
    try:
        for content in (message, b"", b"", signers, signature):  # the descriptors 0 to 4
            opened.append(_in_memory(content))
        places = [(os.POSIX_SPAWN_DUP2, source, number) for number, source in enumerate(opened)]
        places[2] = (os.POSIX_SPAWN_DUP2, opened[1], 2)  # one text, in the order in which it is said
        pid = os.posix_spawn(PROGRAM, [PROGRAM, *words], {"LC_ALL": "C"}, file_actions=places, setpgroup=0)
        status = _waited_for(pid)
        return os.waitstatus_to_exitcode(status), _said(opened[1])
    except (OSError, AttributeError) as error:
        why = (isinstance(error, OSError) and error.strerror) or str(error)
        number = error.errno if isinstance(error, OSError) else None
        remedy = _REMEDIES.get(number or 0, "Look at what keeps it, and try again.")
        raise PolicyError(Problem(PROGRAM, f"no signature can be checked: {why}", remedy)) from None
    finally:
        if ignored:
            _signal.signal(_signal.SIGCHLD, _signal.SIG_IGN)
        for descriptor in opened:
            os.close(descriptor)


def _hear_of_children() -> bool:
    """Have the kernel keep the status of a child where SIGCHLD is ignored, as who starts a process may leave
    it; whether it was. Only the main thread can; in others no status is had, and nothing is good.
    """
    if _signal.getsignal(_signal.SIGCHLD) != _signal.SIG_IGN:
        return False
    try:
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    except ValueError:
        return False
    return True


def _in_memory(content: bytes) -> int:
    """A descriptor of a file in memory, above all numbers that the child gets."""
    made = os.memfd_create("envman")
    try:
        with os.fdopen(os.dup(made), "wb") as stream:
            stream.write(content)
        os.lseek(made, 0, os.SEEK_SET)
        return fcntl.fcntl(made, fcntl.F_DUPFD_CLOEXEC, _ABOVE)
    finally:
        os.close(made)


def _waited_for(pid: int) -> int:
    """The child's status; raises PolicyError where it takes too long, and OSError where it can't be had."""
    until = time.monotonic() + PATIENCE
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status
        if time.monotonic() > until:
            break
        time.sleep(_PAUSE)
    with suppress(OSError):
        os.killpg(pid, _signal.SIGKILL)
        os.waitpid(pid, 0)
    what = f"no signature can be checked: it was not done after {PATIENCE:.0f} s"
    raise PolicyError(Problem(PROGRAM, what, "Look at what keeps it, and try again."))


def _said(descriptor: int) -> str:
    os.lseek(descriptor, 0, os.SEEK_SET)
    return os.read(descriptor, MOST_OUTPUT).decode(errors="replace").strip()
