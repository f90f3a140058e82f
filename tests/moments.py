"""Interrupt a command at moments that are named by events, and look for what it has left behind."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests import interrupter
from tests.conftest import Deployment

HOW_MANY = 20
PATIENCE = 300.0
"""Seconds: an engine prepares a container before something in it asks a server."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
HALF_MADE = (".new-*", ".*.new", ".launcher-*", ".gone-*", "trash-*")


def processes_of(folder: Path, known: Collection[int]) -> list[str]:
    """Processes that have something of a folder in their arguments or variables, but for known ones."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) not in known:
            try:
                words = (entry / "cmdline").read_bytes()
                if f"{folder}/".encode() in words + (entry / "environ").read_bytes():
                    found.append(f"{entry.name} {words.replace(bytes(1), b' ').decode()}")
            except OSError:  # it has ended
                continue
    return found


def held_locks(folder: Path) -> Iterator[str]:
    """Files below a folder that somebody has a lock on."""
    inodes = {path.stat().st_ino: str(path) for path in folder.rglob("*") if path.is_file()}
    for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
        inode = int(line.split()[-3].rpartition(":")[2])
        if inode in inodes:
            yield inodes[inode]


@dataclass
class Moments:
    """A command of a deployment whose temporary folders, cache and root all are below `scope`.

    `prepare` puts back what a run needs. `code` is with what it ends when nobody interrupts it.
    """

    deployment: Deployment
    scope: Path
    command: tuple[str, ...]
    prepare: Callable[[], None] = lambda: None
    code: int = 0
    events: list[str] = field(default_factory=list)
    _server: subprocess.Popen[str] = field(init=False)
    _tells_of_others: bool = False

    def interrupt_all(self) -> int:
        """Interrupt at twenty events from the first to the last, with each signal, some of them again and
        again; then let it run to its end. Returns how many runs were interrupted.
        """
        words = [sys.executable, interrupter.__file__, str(self.scope), str(self._notes), *self.command]
        with subprocess.Popen(
            words,
            cwd=self.deployment.folder,
            env=self.deployment.environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as self._server:
            self.end_undisturbed()
            self.end_undisturbed()  # the first one may fill caches, which the others find
            count = len(self.events)
            numbers = sorted({1 + position * (count - 1) // (HOW_MANY - 1) for position in range(HOW_MANY)})
            interrupted = sum(self.interrupt(number, position) for position, number in enumerate(numbers))
            self.end_undisturbed()
        return interrupted

    def end_undisturbed(self) -> None:
        code, said = self._run("0 SIGINT")
        self._tells_of_others = "Traceback" in said  # a Dag's, say
        assert code == self.code, said
        self.leaves_nothing("undisturbed")

    def interrupt(self, number: int, position: int) -> bool:
        """Interrupt at one event; False where there were fewer of them this time."""
        signum = SIGNALS[position % 3]
        how = f"{number} {signum.name}{' again' if position % 4 == 3 else ''}"
        code, said = self._run(how)
        reached = len(self.events) >= number
        where = f"{how}: {self.events[number - 1] if reached else 'never'}"
        assert code == (128 + signum if reached else self.code), f"{where}\n{said}"
        assert "Traceback" not in said or self._tells_of_others, f"{where}\n{said}"
        assert "Interrupted" in said or not reached, f"{where}\n{said}"
        self.leaves_nothing(where)
        return reached

    def _run(self, how: str) -> tuple[int, str]:
        self.prepare()
        assert self._server.stdin
        assert self._server.stdout
        self._server.stdin.write(f"{how}\n")
        self._server.stdin.flush()
        code = int(self._server.stdout.readline())
        texts = [
            Path(f"{self._notes}.{name}").read_text(encoding="utf-8") for name in ("events", "out", "err")
        ]
        self.events = texts[0].splitlines()
        return code, "".join(texts[1:])

    @property
    def _notes(self) -> Path:
        return self.scope.with_name(f"{self.scope.name}-notes")

    def leaves_nothing(self, where: str) -> None:
        """No process, nothing half-made, no temporary folder and no lock is left."""
        assert processes_of(self.scope, {os.getpid(), self._server.pid}) == [], where
        assert list(held_locks(self.scope)) == [], where
        temporary = Path(self.deployment.environment["TMPDIR"])
        assert [entry.name for entry in temporary.iterdir()] == [], where
        left = [path for pattern in HALF_MADE for path in self.scope.rglob(pattern)]
        assert left == [], where
        for generation in self.scope.glob("**/.gen/*"):
            assert (generation / "envman.json").is_file(), f"{where}: {generation.name} is half-built"


def private(deployment: Deployment) -> Deployment:
    """The same with temporary folders and a cache of its own, below its scope."""
    scope = deployment.folder.parent
    for variable, name in (("TMPDIR", "tmp"), ("ENVMAN_CACHE_DIR", "cache")):
        (scope / name).mkdir(exist_ok=True)
        deployment.environment[variable] = str(scope / name)
    return deployment


@contextlib.contextmanager
def server() -> Iterator[tuple[str, Callable[[subprocess.Popen[str]], socket.socket]]]:
    """A server on loopback that takes a request and never answers; its address, and what waits until a process
    or a child of it asks. Where the process ends before, the test fails with what it has said.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening, contextlib.ExitStack() as stack:

        def asked(process: subprocess.Popen[str]) -> socket.socket:
            end = os.pidfd_open(process.pid)
            try:
                happened, _, _ = select.select([listening, end], [], [], PATIENCE)
            finally:
                os.close(end)
            assert end not in happened, f"it ended before it asked: {process.communicate()}"
            assert happened, f"it did not ask within {PATIENCE:g} s"
            return stack.enter_context(listening.accept()[0])

        yield f"http://127.0.0.1:{listening.getsockname()[1]}", asked
