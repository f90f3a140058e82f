"""A script: run a program, and end all that it has left running once it has ended.

    python -I -S reaper.py PROGRAM ARGUMENT...

For what runs without a namespace of processes, as another user, whom this one may send signals. It ends with
the program's exit status, 128 and its number for a signal; with 125 where something can't be ended. SIGTERM
and its like are handed on to the program, which has a session of its own; what is left two seconds later is
ended. The process that does all this is a child of the one that was started: SIGKILL to that one, which can
end nothing any more, is SIGTERM to this one.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

SCRIPT = os.path.abspath(__file__)
EXIT = 125
PATIENCE = 10.0
"""Seconds until what forks faster than it is ended is given up."""

GRACE = 2.0
"""Seconds that the program has from the first signal on."""

_LOOK = 0.005
"""Seconds between two looks at those that are being killed."""

_LONG = 3600.0
"""Seconds between two looks at what nobody ends."""

_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_PDEATHSIG = 1
_PASSED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_WATCHED = (*_PASSED, signal.SIGCHLD)


def main(words: list[str]) -> int:
    """Run the program; returns the exit status."""
    for number in _WATCHED:
        signal.signal(number, signal.SIG_DFL)
    inherited: set[int] = {*signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)}
    started = os.getpid()
    reaper = os.fork()
    if reaper == 0:
        os.setsid()
        return _reap(words, started, inherited)
    status = _status_of(reaper, os.kill, None)
    return status if status >= 0 else 128 - status


def _reap(words: list[str], parent: int, inherited: set[int]) -> int:
    prctl = ctypes.CDLL(None).prctl
    if prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) or prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0):
        print("envman: what a check leaves running could not be ended here", file=sys.stderr)  # noqa: T201
        return EXIT
    if os.getppid() != parent:  # it was killed before the kernel was asked to tell
        return EXIT
    program = os.posix_spawn(
        words[0],
        words,
        os.environ,
        setsid=True,
        setsigmask=inherited,
        setsigdef=[*_PASSED, signal.SIGPIPE, signal.SIGXFSZ],
    )
    status = _status_of(program, os.killpg, GRACE)
    if not _end_the_others():
        print("envman: what the check has left running can't be ended", file=sys.stderr)  # noqa: T201
        return EXIT
    return status if status >= 0 else 128 - status


def _status_of(child: int, send: Callable[[int, int], None], grace: float | None) -> int:
    """How a child has ended, which is sent the signals that this process gets.

    With a `grace`, as by the first of them where the child has not ended so many seconds later.
    """
    sent, until = 0, 0.0
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        left = max(0.0, until - time.monotonic()) if sent and grace else _LONG
        heard = signal.sigtimedwait(_WATCHED, left)
        if heard is None and sent and grace:
            return -sent
        if heard is not None and heard.si_signo in _PASSED:
            until = until or time.monotonic() + (grace or 0.0)
            sent = sent or heard.si_signo
            send(child, heard.si_signo)


def _end_the_others() -> bool:
    """Stop all that are below this process, so that none starts more; then kill them. Whether that was all.

    Who loses its parent becomes a child of this process.
    """
    until = time.monotonic() + PATIENCE
    stopped: set[int] = set()
    while time.monotonic() < until:
        if others := set(_below(os.getpid())) - stopped:
            _send(others, signal.SIGSTOP)
            stopped |= others
            continue
        _send(stopped, signal.SIGKILL)
        stopped.clear()
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return True
        time.sleep(_LOOK)
    return False


def _send(processes: set[int], number: int) -> None:
    for pid in processes:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _below(pid: int) -> list[int]:
    found = [pid]
    for one in found:  # which grows meanwhile
        try:
            for task in os.listdir(f"/proc/{one}/task"):
                with open(f"/proc/{one}/task/{task}/children", encoding="ascii") as stream:
                    found += [int(word) for word in stream.read().split()]
        except OSError:  # it has just ended
            continue
    return found[1:]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
