"""A process that keeps a workload's files of credentials in memory, and ends with it.

    python -I -S keeper.py PARENT FILE...

Programs that the workload starts read them as /proc/PID/fd/FILE: Python closes their descriptors, and the
workload's own can't be opened there, as it is closed to its neighbours. This process is open to those of its
user, and to no others; it has nothing but the files. They are on no file system, so nothing is left behind,
whatever ends how. It stands alone, and says on standard output that it is there. It is started in a session
of its own, with the signals blocked that end a service or a task.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG, PR_SET_DUMPABLE = 1, 4


def main(words: list[str]) -> None:
    """Keep the files; never returns."""
    parent = int(words[0])
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # an interpreter that its user may not read starts closed
    for one in {*map(int, os.listdir("/proc/self/fd"))} - {1, *map(int, words[1:])}:
        os.closerange(one, one + 1)
    with contextlib.suppress(OSError):  # nobody may be waiting for it
        os.write(1, b".")
    os.close(1)
    while True:
        signal.pause()


if __name__ == "__main__":
    main(sys.argv[1:])
