"""Which generations live processes run in.

A process that `envman exec` started holds a shared lock on its generation's manifest, and so does every child
that kept the descriptor; that is seen across containers. Processes of this PID namespace that closed it, or
never had it, are found in /proc by their executable path, variables, arguments, folder and mapped files.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from envman.store import layout
from envman.store.folder import Store
from envman.store.locks import try_locked
from envman.store.switches import current_between

PROC = Path("/proc")


@dataclass(frozen=True)
class Inhabited:
    """A generation that a process lives in; `pid` is None where only its lock is seen."""

    generation: str
    pid: int | None


def inhabited_generations(store: Store, generations: list[str]) -> list[Inhabited]:
    """The generations that must stay because somebody runs in them."""
    found = [Inhabited(name, None) for name in generations if _is_held(store.root, name)]
    seen = set(generations)
    return found + [item for item in _from_proc(store) if item.generation in seen]


def _is_held(root: str, generation: str) -> bool:
    with try_locked(Path(layout.manifest_path(root, generation))) as free:
        return not free


def _from_proc(store: Store) -> list[Inhabited]:
    histories = {name: store.history(name) for name in store.environments()}
    roots = b"|".join(re.escape(os.fsencode(path)) for path in {store.root, os.path.realpath(store.root)})
    own_path = re.compile(
        b"(?:" + roots + b")/" + re.escape(layout.GENERATIONS.encode()) + rb"/([A-Za-z0-9-]+)"
    )
    by_name = re.compile(b"(?:" + roots + rb")/([A-Za-z0-9][A-Za-z0-9._-]*)/")
    found: list[Inhabited] = []
    for entry in PROC.iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        text = _traces(entry)
        names = {match.decode() for match in own_path.findall(text)}
        for match in set(by_name.findall(text)):
            if (history := histories.get(match.decode())) is not None:
                names |= current_between(history, _started(entry))
        found += [Inhabited(name, int(entry.name)) for name in sorted(names)]
    return found


def _traces(process: Path) -> bytes:
    """Everything of a process that names a path it lives in; what this user may not read is left out."""
    parts = [_read(process / name) for name in ("cmdline", "environ", "maps")]
    for name in ("cwd", "exe"):
        try:
            parts.append(os.fsencode((process / name).readlink()) + b"/")
        except OSError:
            continue
    return b"\0".join(parts)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it ended, or belongs to somebody else
        return b""


def _started(process: Path) -> float:
    """When a process started, in seconds since the epoch, up to a second early; 0 where unreadable."""
    try:
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        boot = next(line for line in (PROC / "stat").read_text().splitlines() if line.startswith("btime "))
        return int(boot.split()[1]) - 1 + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, StopIteration, IndexError, ValueError):
        return 0.0
