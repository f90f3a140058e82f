"""Runs envman, as a program, and sends it a signal at its k-th event: a step on the disk, a lock, a child's start.

    python interrupter.py SCOPE NOTES COMMAND...

For each line `K SIGNAL [again]` of standard input the command runs once, in a fork of this process, which has
imported what envman imports; K is 0 for a run that nobody disturbs. The answer is a line with its status.

An event is one of Python's audit events (PEP 578) that has to do with a path below SCOPE, in whichever thread.
NOTES.events lists them, NOTES.out and NOTES.err have what was printed. With `again`, each later event sends the
signal once more.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from pathlib import Path
from typing import Any

ALWAYS = {"subprocess.Popen", "fcntl.flock", "socket.connect"}
OF_PATHS = {
    *("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.utime"),
    *("os.listdir", "os.scandir", "shutil.rmtree", "shutil.copyfile", "tempfile.mkdtemp", "tempfile.mkstemp"),
}


class Interrupter:
    """Counts events, and sends the signal at one of them."""

    def __init__(self, scope: str, number: int, signum: signal.Signals, again: bool) -> None:
        self.scope = scope
        self.number = number
        self.signum = signum
        self.again = again
        self.notes: list[str] = []
        self.over = False
        self._count = itertools.count(1)

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.over or not (event in ALWAYS or (event in OF_PATHS and self._in_scope(arguments))):
            return
        count = next(self._count)
        self.notes.append(f"{event} {arguments[:2]!r}".replace("\n", " "))
        if self.number and (count == self.number or (self.again and count > self.number)):
            os.kill(os.getpid(), self.signum)

    def _in_scope(self, arguments: tuple[Any, ...]) -> bool:
        return any(isinstance(one, str | os.PathLike) and self.scope in os.fspath(one) for one in arguments)


def run(interrupter: Interrupter, notes: str, command: list[str]) -> None:
    """One run, in this process; never returns."""
    for name, descriptor in (("out", 1), ("err", 2)):
        os.dup2(os.open(f"{notes}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = ["envman", *command]
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)  # also where the tests run under nohup
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from envman.__main__ import main

    sys.addaudithook(interrupter.hear)
    try:
        main()
    finally:
        interrupter.over = True
        Path(f"{notes}.events").write_text(
            "".join(f"{line}\n" for line in interrupter.notes), encoding="utf-8"
        )


def serve() -> None:
    scope, notes, *command = sys.argv[1:]
    sys.path.pop(0)  # the tests' folder
    import envman.cli.app  # noqa: F401
    from envman.cli.registry import ADOPT_COMMANDS, COMMANDS, IMAGE_COMMANDS

    for entry in (*COMMANDS, *ADOPT_COMMANDS, *IMAGE_COMMANDS):
        if command[: len(entry.words.split())] == entry.words.split():
            entry.load()
    for line in sys.stdin:
        number, name, *again = line.split()
        child = os.fork()
        if child == 0:
            run(Interrupter(scope, int(number), signal.Signals[name], bool(again)), notes, command)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    serve()
