"""One child process: it leads a process group of its own, and both of its pipes are read at once."""

from __future__ import annotations

import collections
import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

from envman.system.process_table import is_alive
from envman.system.redaction import redact

LINGER = 2.0
"""Seconds for which the rest of a child's output is waited for when the child has ended."""

MOST_KEPT = 32 * 2**20
"""Characters of each of a child's streams that are kept: the last ones, and whole lines. A list of a base
image's files has some millions.
"""

_A_LINE = 100
"""Bytes of memory that a line takes besides its characters."""


@dataclass(frozen=True)
class Finished:
    """A child that has ended: its status as a shell gives it and what it printed, credentials blotted out.

    Where that was more than MOST_KEPT, the first line says so.
    """

    exit_code: int
    stdout: str
    stderr: str


class ChildProcess:
    """A child that runs; ending its group ends what it has started. Raises OSError where it can't start.

    `held` are file descriptors that it inherits.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], folder: str, held: Sequence[int]
    ) -> None:
        self._process = subprocess.Popen(
            list(command),
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            pass_fds=tuple(held),
            start_new_session=True,
        )
        self.is_over = False
        self.error: Exception | None = None
        self._kept = {"stdout": _Kept(), "stderr": _Kept()}

    def follow(self, on_line: Callable[[str], None] | None, tell: Callable[[], None]) -> None:
        """Read what it prints, and wait for its end; `tell` is called then, and where `on_line` fails.

        `on_line` gets each line of standard error as it comes. An error of it is kept as `error`. What it has
        left in the background with its pipes open is ended, or else not waited for.
        """
        readers = [
            threading.Thread(target=self._read, args=("stdout", None, tell), daemon=True),
            threading.Thread(target=self._read, args=("stderr", on_line, tell), daemon=True),
        ]

        def to_the_end() -> None:
            with contextlib.suppress(ChildProcessError):  # somebody else has waited for it
                os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)  # its group keeps its number
            for number in (0, signal.SIGTERM, signal.SIGKILL):
                self.signal(number)
                for reader in readers:
                    reader.join(LINGER)
                if not any(reader.is_alive() for reader in readers):
                    break
            self._process.wait()
            self.is_over = True
            tell()

        for thread in (*readers, threading.Thread(target=to_the_end, daemon=True)):
            thread.start()

    def _read(self, name: str, on_line: Callable[[str], None] | None, tell: Callable[[], None]) -> None:
        with getattr(self._process, name) as stream:
            while line := _line(stream):
                self._kept[name].add(line)
                if on_line and not self.error:
                    try:
                        on_line(line.rstrip("\n"))
                    except Exception as error:  # noqa: BLE001  # raised again by whoever waits for the child
                        self.error = error
                        tell()

    def finished(self) -> Finished:
        """What came of it, once it is over."""
        code = self._process.returncode
        texts = {name: kept.text() for name, kept in self._kept.items()}
        return Finished(code if code >= 0 else 128 - code, **texts)

    def signal(self, number: int) -> None:
        """Send a signal to its group, whose leader has to be there or not waited for."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # gone; another user's by now
            os.killpg(self._process.pid, number)

    def is_gone(self) -> bool:
        """Whether it has ended, and nobody of its group is left."""
        return self._process.poll() is not None and not is_alive(self._process.pid)


class _Kept:
    """The end of what a stream said: a child that prints without end fills no memory of ours."""

    def __init__(self) -> None:
        self._lines: collections.deque[str] = collections.deque()
        self._size = 0
        self._left_out = 0

    def add(self, line: str) -> None:
        self._lines.append(line)
        self._size += len(line) + _A_LINE
        while self._size > MOST_KEPT and len(self._lines) > 1:
            first = self._lines.popleft()
            self._size -= len(first) + _A_LINE
            self._left_out += 1

    def text(self) -> str:
        left_out = f"({self._left_out} lines are left out here)\n" if self._left_out else ""
        return left_out + "".join(self._lines)


def _line(stream: TextIO) -> str:
    """The next line, redacted; a word about it where it is longer than what is kept. Empty at the end."""
    raw = stream.readline(MOST_KEPT)
    if len(raw) < MOST_KEPT or raw.endswith("\n"):
        return redact(raw)
    while raw and not raw.endswith("\n"):  # half a credential would not be seen as one
        raw = stream.readline(MOST_KEPT)
    return f"(a line of more than {MOST_KEPT} characters is left out here)\n"
