"""A script: run a program, and end all that it has left running once it has ended.

    python -I -S reaper.py PROGRAM ARGUMENT...

For what runs without a namespace of processes, as another user, whom this one may send signals. It ends with
the program's exit status, 128 and its number for a signal; with 125 where something can't be ended. SIGTERM
and its like are the program's: it gets them as one of the same process group.
"""

import ctypes
import os
import signal
import sys
import time

SCRIPT = os.path.abspath(__file__)
EXIT = 125
PATIENCE = 10.0
"""Seconds until what forks faster than it is ended is given up."""

_LOOK = 0.005
"""Seconds between two looks at those that are being killed."""

_PR_SET_CHILD_SUBREAPER = 36
_PASSED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(words: list[str]) -> int:
    """Run the program; returns the exit status."""
    if ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        print("envman: what a check leaves running could not be ended here", file=sys.stderr)  # noqa: T201
        return EXIT
    for number in _PASSED:
        signal.signal(number, signal.SIG_IGN)
    program = os.posix_spawn(
        words[0], words, os.environ, setsigdef=[*_PASSED, signal.SIGPIPE, signal.SIGXFSZ]
    )
    status = os.waitstatus_to_exitcode(os.waitpid(program, 0)[1])
    if not _end_the_others():
        print("envman: what the check has left running can't be ended", file=sys.stderr)  # noqa: T201
        return EXIT
    return status if status >= 0 else 128 - status


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
