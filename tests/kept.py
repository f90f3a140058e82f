"""A folder that is made once and put back for each test that changes it."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from tests.waiting import until

ENDING = 10.0
"""Seconds that a process which has been told to end may take."""


class KeptFolder:
    """A folder with a copy beside it that no test knows.

    It is always put back at the same path, since generations hold the path that they were made for. So each
    test has it as it was made, whatever the one before did to it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._copy = folder.with_name(f"{folder.name}.kept")
        _copy(folder, self._copy)

    def put_back(self) -> None:
        subprocess.run(["rm", "-rf", str(self.folder)], check=True)
        _copy(self._copy, self.folder)

    def check_left(self) -> None:
        """Fail if a test has left processes in the folder that do not end by themselves; they are killed."""
        try:
            until(
                lambda: not self._left(), lambda: f"a test has left processes behind: {self._left()}", ENDING
            )
        finally:
            for pid in self._left():
                os.kill(pid, signal.SIGKILL)

    def _left(self) -> dict[int, str]:
        """The command lines of the processes in the folder, by process ID."""
        return {pid: words for pid in processes() if (words := _words_in(pid, str(self.folder)))}


def processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _words_in(pid: int, folder: str) -> str:
    """The command line of a process that works in a folder or was started with a path below it."""
    if pid == os.getpid():
        return ""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        place = str(Path(f"/proc/{pid}/cwd").readlink())
    except OSError:  # it has ended meanwhile
        return ""
    # a process that is just starting another program has no command line for a moment
    return (words or "?") if f"{folder}/" in f"{place}/ {words}/" else ""


def _copy(source: Path, target: Path) -> None:
    """With all times, modes and links, in an instant where the file system can."""
    subprocess.run(["cp", "-a", "--reflink=auto", str(source), str(target)], check=True)
