"""The processes of a component, and their memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """A process as /proc has it; `session` is the process ID of the session's first process."""

    pid: int
    parent: int
    session: int
    command: str


def processes() -> Iterator[Process]:
    """All processes of the machine that have not ended."""
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "stat").read_text().rpartition(")")[2].split()  # the name before may have spaces
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if words[0] not in {"Z", "X"}:
            yield Process(int(entry.name), int(words[1]), int(words[3]), command)


def family(first: int) -> list[Process]:
    """A process, those of its session, and whatever any of them has started."""
    everyone = list(processes())
    found = {one.pid for one in everyone if first in {one.pid, one.session}}
    while more := {one.pid for one in everyone if one.parent in found} - found:
        found |= more
    return [one for one in everyone if one.pid in found and one.pid != os.getpid()]


def processor_seconds(pid: int) -> float:
    """Seconds of processor time of a process and of those below it that were waited for; 0 for one that has
    ended.
    """
    try:
        words = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(map(int, words[11:15])) / os.sysconf("SC_CLK_TCK")


def pss(pid: int) -> int:
    """A process's proportional set size in bytes: what it has alone, and its share of what is shared.

    0 for a process that has ended. Raises PermissionError for one that does not let itself be read.
    """
    try:
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0
