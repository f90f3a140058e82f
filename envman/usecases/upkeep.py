"""`envman rollback`, `gc` and `verify`: the upkeep of what is published."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from envman.digests import Digests
from envman.errors import Problem, StoreError, UsageError
from envman.generation.history import Action, recent, standing
from envman.spec.names import nearest
from envman.store import layout
from envman.store.generations import (
    discard_generation,
    is_whole,
    list_generations,
    read_manifest,
    remove_leftovers,
)
from envman.store.inventory import Difference, differences, parse_inventory, take_inventory
from envman.store.living import inhabited_generations
from envman.store.locks import locked, try_locked
from envman.store.publish import current, publish_generation, published_environments, read_history, withdraw
from envman.usecases.listing import unpublished


@dataclass(frozen=True)
class RollbackOutcome:
    """The generation that an environment had, and the one that it has now; `milliseconds` of the switch."""

    environment: str
    old: str | None
    new: str
    interpreter: str
    milliseconds: float


def rollback_target(root: str, environment: str, to: str | None) -> str:
    """The generation that a rollback goes back to: the named one, else the one that stood before.

    Raises UsageError where there is none, StoreError where it was collected.
    """
    switches = read_history(root, environment)
    if not switches:
        raise UsageError(unpublished(root, environment))
    stack = standing(switches)
    known = {switch.generation for switch in switches}
    where = f"environment '{environment}'"
    if to is not None and to not in known:
        raise UsageError(Problem(where, f"never had a generation '{to}'", nearest(to, known)))
    if to is None and len(stack) < 2:
        remedy = f"Name one: envman history {environment}, then --to GENERATION."
        raise UsageError(Problem(where, "has no earlier generation to go back to", remedy))
    target = to or stack[-2]
    if not is_whole(root, target):
        remedy = (
            f"Choose one that is kept (envman history {environment}), or lock and build the older versions."
        )
        raise StoreError(Problem(where, f"the generation {target} was collected", remedy))
    return target


def rollback(root: str, environment: str, to: str | None) -> RollbackOutcome:
    """Point an environment back to an earlier generation; raises UsageError, StoreError."""
    started = time.perf_counter()
    target = rollback_target(root, environment, to)
    old = current(root, environment)
    publish_generation(root, environment, target, Action.ROLLBACK)
    milliseconds = (time.perf_counter() - started) * 1000
    manifest = read_manifest(root, target)
    interpreter = manifest.interpreter.describe() if manifest else ""
    return RollbackOutcome(environment, old, target, interpreter, round(milliseconds, 2))


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

    `forgotten` are the names of undeclared environments that went.
    """

    dry_run: bool
    forgotten: tuple[str, ...]
    removed: tuple[Removed, ...]
    kept: tuple[Kept, ...]


def forget_undeclared(root: str, declared: Iterable[str], dry_run: bool) -> tuple[str, ...]:
    """Take away the names and histories of environments that are no longer declared; returns the names."""
    gone = sorted(set(published_environments(root)) - set(declared))
    if gone and not dry_run:
        with locked(root, "store"):
            for name in gone:
                withdraw(root, name)
    return tuple(gone)


def collect(root: str, keep: int, dry_run: bool, forgotten: tuple[str, ...] = ()) -> GcOutcome:
    """Remove generations that nobody needs.

    What stays: current ones, the last `keep` of each environment, those that a process lives in, and those
    that are being built. `forgotten` are names that count as gone already.
    """
    removed: list[Removed] = []
    kept: list[Kept] = []
    if not Path(root).is_dir():
        return GcOutcome(dry_run, forgotten, (), ())
    with nullcontext() if dry_run else locked(root, "store"):  # to look, a read-only root is enough
        generations = list_generations(root)
        reasons = _reasons(root, generations, keep, set(forgotten))
        for generation in generations:
            if generation in reasons:
                kept.append(Kept(generation, tuple(reasons[generation])))
            elif dry_run:
                removed.append(_removed(root, generation))
            elif (gone := _discard(root, generation)) is not None:
                removed.append(gone)
            else:
                kept.append(Kept(generation, ("somebody took it at this moment",)))
    if not dry_run:
        remove_leftovers(root)
    return GcOutcome(dry_run, forgotten, tuple(removed), tuple(kept))


def _reasons(root: str, generations: list[str], keep: int, forgotten: set[str]) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for name in set(published_environments(root)) - forgotten:
        switches = read_history(root, name)
        now = current(root, name)
        if now is not None:
            reasons.setdefault(now, []).append(f"current of {name}")
        for generation in sorted(recent(switches, keep) - {now}):
            reasons.setdefault(generation, []).append(f"one of the last {keep} of {name}")
    for generation in generations:
        with try_locked(Path(layout.lock_path(root, generation))) as unbuilt:
            if not unbuilt:
                reasons.setdefault(generation, []).append("being built")
    for item in inhabited_generations(root, generations):
        reason = f"process {item.pid} runs in it" if item.pid else "a process holds it"
        reasons.setdefault(item.generation, []).append(reason)
    return reasons


def _removed(root: str, generation: str) -> Removed:
    manifest = read_manifest(root, generation)
    return Removed(
        generation, manifest.environment if manifest else None, manifest.size if manifest else None
    )


def _discard(root: str, generation: str) -> Removed | None:
    """Take a generation out of its place, under its builder's and inhabitants' locks; None if one is held."""
    with (
        try_locked(Path(layout.lock_path(root, generation))) as unbuilt,
        try_locked(Path(layout.manifest_path(root, generation))) as uninhabited,
    ):
        if not (unbuilt and uninhabited):
            return None
        gone = _removed(root, generation)
        discard_generation(root, generation)
        return gone


@dataclass(frozen=True)
class VerifyOutcome:
    """One environment's generation against its own file list: no differences means unaltered."""

    environment: str
    generation: str
    files: int
    differences: tuple[Difference, ...]


def verify(root: str, names: Iterable[str]) -> tuple[VerifyOutcome, ...]:
    """Read every file of the current generations, of all environments where none is named.

    Raises UsageError for an environment that is not published, StoreError for a generation without a
    readable manifest and file list.
    """
    return tuple(_verify(root, name) for name in published_or_raise(root, names))


def published_or_raise(root: str, names: Iterable[str]) -> list[str]:
    """The named environments, all published ones where none is named; raises UsageError."""
    published = published_environments(root)
    problems = [unpublished(root, name) for name in names if name not in published]
    if problems:
        raise UsageError(problems)
    return list(dict.fromkeys(names)) or published


def _verify(root: str, environment: str) -> VerifyOutcome:
    generation = current(root, environment) or ""
    manifest = read_manifest(root, generation)
    folder = Path(layout.generation_path(root, generation))
    remedy = f"Build it anew: envman build {environment}"
    if manifest is None:
        what = f"its generation {generation} has no manifest"
        raise StoreError(Problem(f"environment '{environment}'", what, remedy))
    try:
        text = (folder / layout.FILES).read_text(encoding="utf-8")
        listed = parse_inventory(text)
    except (OSError, ValueError) as error:
        what = f"the file list of {generation} can't be read: {error}"
        raise StoreError(Problem(f"environment '{environment}'", what, remedy)) from None
    found = take_inventory(folder, Digests())
    result = differences(listed, found.entries)
    if _digest(text) != manifest.files:
        result = (Difference("changed", layout.FILES), *result)
    return VerifyOutcome(environment, generation, len(found.entries), result)


def _digest(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
