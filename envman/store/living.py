"""Which generations live processes run in.

A process that `envman exec` started holds a shared lock on its generation's manifest, and so does every child
that kept the descriptor; that is seen across containers. Processes of this PID namespace that closed it, or
never had it, are found in /proc by their executable path, variables, arguments, folder and mapped files.
Anybody who may read a manifest can hold its lock, too: whoever does is named.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from envman.store import layout
from envman.store.folder import Store
from envman.store.locks import why_held
from envman.store.switches import current_between
from envman.system.lock_holders import LocksInSight, describe

PROC = Path("/proc")


@dataclass(frozen=True)
class Inhabited:
    """A generation that a process lives in, and how that is known."""

    generation: str
    reason: str


def inhabited_generations(store: Store, generations: list[str]) -> list[Inhabited]:
    """The generations that must stay because somebody runs in them; raises OSError."""
    known, locks = set(generations), LocksInSight()
    living = [item for item in _from_proc(store) if item[0] in known]
    residents: dict[str, set[int]] = {}
    for name, pid in living:
        residents.setdefault(name, set()).add(pid)
    found = [Inhabited(name, f"process {pid} runs in it") for name, pid in living]
    for name in generations:
        manifest = Path(layout.manifest_path(store.root, name))
        if why := why_held(manifest):
            seen = residents.get(name, set())
            reasons = _holders(locks, manifest, seen) or ([] if seen else [why])
            found += [Inhabited(name, reason) for reason in reasons]
    return found


def _holders(locks: LocksInSight, manifest: Path, seen: set[int]) -> list[str]:
    """Who holds a generation, as far as it can be seen; not those that are seen to run in it."""
    try:
        return [f"{describe(pid)} holds it" for pid in locks.holders(str(manifest)) if pid not in seen]
    except FileNotFoundError:  # it is just being discarded
        return []


def _from_proc(store: Store) -> list[tuple[str, int]]:
    histories = {name: store.history(name) for name in store.environments()}
    roots = b"|".join(re.escape(os.fsencode(path)) for path in {store.root, os.path.realpath(store.root)})
    own_path = re.compile(
        b"(?:" + roots + b")/" + re.escape(layout.GENERATIONS.encode()) + rb"/([A-Za-z0-9-]+)"
    )
    by_name = re.compile(b"(?:" + roots + rb")/([A-Za-z0-9][A-Za-z0-9._-]*)/")
    found: list[tuple[str, int]] = []
    for entry in PROC.iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        text = _traces(entry)
        names = {match.decode() for match in own_path.findall(text)}
        for match in set(by_name.findall(text)):
            if (history := histories.get(match.decode())) is not None:
                names |= current_between(history, _started(entry))
        found += [(name, int(entry.name)) for name in sorted(names)]
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
