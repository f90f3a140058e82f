"""What this machine's table of processes says of groups; nothing where it has no /proc."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def is_alive(group: int) -> bool:
    """Whether a process of a group runs; one that has ended and that nobody has waited for does not."""
    return any(of == group and state not in "ZX" for _, state, _, of in _processes())


def own_children(group: int) -> Iterator[int]:
    """The processes of a group whose parent this process is."""
    return (pid for pid, _, parent, of in _processes() if of == group and parent == os.getpid())


def _processes() -> Iterator[tuple[int, str, int, int]]:
    """Number, state, parent and group of each process."""
    for name in os.listdir("/proc") if Path("/proc/self/stat").exists() else ():  # noqa: PTH208
        if name.isdigit():
            try:
                text = Path("/proc", name, "stat").read_text(encoding="utf-8", errors="replace")
            except OSError:  # it has ended
                continue
            state, parent, group = text.rpartition(")")[2].split()[:3]
            yield int(name), state, int(parent), int(group)
