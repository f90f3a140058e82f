"""`envman gc`: remove generations that nobody needs."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from envman.store import layout
from envman.store.folder import Store
from envman.store.living import inhabited_generations
from envman.store.locks import try_emptied, try_locked
from envman.store.switches import recent
from envman.system.children import CHILDREN
from envman.system.lock_holders import LocksInSight


@dataclass(frozen=True)
class Kept:
    """A generation that stays, and every reason for it."""

    generation: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Removed:
    """A generation that goes, or would go; `size` in bytes, None for a half-built one."""

    generation: str
    environment: str | None
    size: int | None


@dataclass(frozen=True)
class GcOutcome:
    """What a collection removed (or would, with `dry_run`) and kept. Base interpreters are never touched.

    `forgotten` are the names of undeclared environments that went, `overlays` the dev overlays.
    """

    dry_run: bool
    forgotten: tuple[str, ...]
    removed: tuple[Removed, ...]
    kept: tuple[Kept, ...]
    overlays: tuple[str, ...] = ()


def forget_undeclared(store: Store, declared: Iterable[str], dry_run: bool) -> tuple[str, ...]:
    """Take away the names and histories of environments that are no longer declared; returns the names."""
    gone = sorted(set(store.environments()) - set(declared))
    if gone and not dry_run:
        with store.locked():
            for name in gone:
                store.withdraw(name)
            store.unsign(environments=gone)
    return tuple(gone)


def collect(store: Store, keep: int, dry_run: bool, forgotten: tuple[str, ...] = ()) -> GcOutcome:
    """Remove generations that nobody needs.

    What stays: current ones, the last `keep` of each environment, those that a process lives in, and those
    that are being built. `forgotten` are names that count as gone already.
    """
    removed: list[Removed] = []
    kept: list[Kept] = []
    if not Path(store.root).is_dir():
        return GcOutcome(dry_run, forgotten, (), ())
    try:
        with nullcontext() if dry_run else store.locked():  # to look, a read-only root is enough
            generations = store.generations()
            reasons = _reasons(store, generations, keep, set(forgotten))
            for generation in generations:
                CHILDREN.look()
                if generation in reasons:
                    kept.append(Kept(generation, tuple(reasons[generation])))
                elif dry_run:
                    removed.append(_removed(store, generation))
                elif (gone := _discard(store, generation)) is not None:
                    removed.append(gone)
                else:
                    kept.append(Kept(generation, ("somebody took it at this moment",)))
    finally:
        if not dry_run:
            store.unsign(generations={one.generation for one in removed})
            store.remove_leftovers()
            store.remove_fetched()
    overlays = _overlays(store, {one.generation for one in kept}, dry_run)
    return GcOutcome(dry_run, forgotten, tuple(removed), tuple(kept), overlays)


def _overlays(store: Store, kept: set[str], dry_run: bool) -> tuple[str, ...]:
    """Remove dev overlays of generations that went, those that were not built to their end and, of a
    generation that nobody lives in, all but the newest; returns their names.
    """
    found = store.overlays()
    lived_in = {item.generation for item in inhabited_generations(store, [*found])} if found else set()
    unneeded: list[str] = []
    for generation, beside in found.items():
        whole = [name for name in beside if store.is_whole_overlay(name)]
        overlays = [name for name in whole if not name.endswith(f"-{layout.DATABASE}")]
        old = set() if generation in lived_in else set(overlays[1:])
        unneeded += [name for name in beside if generation not in kept or name not in whole or name in old]
    return tuple(sorted(name for name in unneeded if dry_run or store.remove_overlay(name)))


def _reasons(store: Store, generations: list[str], keep: int, forgotten: set[str]) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for name in set(store.environments()) - forgotten:
        switches = store.history(name)
        now = store.current(name)
        if now is not None:
            reasons.setdefault(now, []).append(f"current of {name}")
        for generation in sorted(recent(switches, keep) - {now}):
            reasons.setdefault(generation, []).append(f"one of the last {keep} of {name}")
    locks = LocksInSight()
    for generation in generations:
        if why := _built_now(store, generation, locks):
            reasons.setdefault(generation, []).append(why)
    for item in inhabited_generations(store, generations):
        reasons.setdefault(item.generation, []).append(item.reason)
    return reasons


def _built_now(store: Store, generation: str, locks: LocksInSight) -> str:
    """Why a generation counts as being built; empty where it is not."""
    lock = layout.lock_path(store.root, generation)
    try:
        with try_locked(Path(lock)) as unbuilt:
            return "" if unbuilt else "being built"
    except PermissionError:  # of --dry-run by somebody else: builders' locks are not theirs to open
        return "being built" if locks.holders(lock) else ""


def _removed(store: Store, generation: str) -> Removed:
    manifest = store.manifest(generation)
    return Removed(
        generation, manifest.environment if manifest else None, manifest.size if manifest else None
    )


def _discard(store: Store, generation: str) -> Removed | None:
    """Take a generation out of its place, under its builder's and inhabitants' locks; None if one is held."""
    with (
        try_locked(Path(layout.lock_path(store.root, generation))) as unbuilt,
        try_emptied(Path(layout.manifest_path(store.root, generation))) as uninhabited,
    ):
        if not (unbuilt and uninhabited):
            return None
        gone = _removed(store, generation)
        store.discard(generation)
        return gone
