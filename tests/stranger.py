"""A process that may read a file and locks it, in one of the ways that there are, until it is ended.

    python stranger.py WAY USER [NUMBER]

It becomes the user, if that is not 0, reads the file's path from standard input, and opens it for reading; with a
NUMBER, it has it open already. It prints "done", or the name of the error, and goes on until it is ended.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping


def _record(kind: int) -> bytes:
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, 0, 0, 0)


WAYS: Mapping[str, Callable[[int], object]] = {
    "flock exclusive": lambda file: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB),
    "flock shared": lambda file: fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB),
    "OFD exclusive": lambda file: fcntl.fcntl(file, fcntl.F_OFD_SETLK, _record(fcntl.F_WRLCK)),
    "OFD shared": lambda file: fcntl.fcntl(file, fcntl.F_OFD_SETLK, _record(fcntl.F_RDLCK)),
    "POSIX exclusive": lambda file: fcntl.fcntl(file, fcntl.F_SETLK, _record(fcntl.F_WRLCK)),
    "POSIX shared": lambda file: fcntl.fcntl(file, fcntl.F_SETLK, _record(fcntl.F_RDLCK)),
    "reopened": lambda file: os.open(f"/proc/self/fd/{file}", os.O_RDWR),
}


@contextlib.contextmanager
def stranger(way: str, file: str, number: int | None = None, user: int = 0) -> Iterator[tuple[str, int]]:
    """Have a process lock a file, or a descriptor that it inherits; yields what came of it, and its process ID.

    The file's path is none of its arguments and variables, by which a generation's inhabitants are found, too.
    """
    inherited = [] if number is None else [number]
    words = [sys.executable, __file__, way, *map(str, (user, *inherited))]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, pass_fds=inherited, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{file}\n")
        process.stdin.flush()
        try:
            yield process.stdout.readline().strip(), process.pid
        finally:
            process.kill()


def main(way: str, user: str, number: str = "") -> None:
    if int(user):  # here, as another user may not be able to run this interpreter
        os.setgroups([])
        os.setgid(int(user))
        os.setuid(int(user))
    file = sys.stdin.readline().strip()
    try:
        WAYS[way](int(number) if number else os.open(file, os.O_RDONLY))
        print("done", flush=True)
    except OSError as error:
        print(errno.errorcode[error.errno or 0], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
