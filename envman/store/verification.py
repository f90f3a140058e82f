"""A generation against its own file list."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from envman.errors import BuildError, Problem, StoreError
from envman.store import layout
from envman.store.folder import Store
from envman.store.inventory import Difference, claimed, differences, parse_inventory, take_inventory
from envman.system.digests import Digests
from envman.system.files import is_gone


@dataclass(frozen=True)
class VerifyOutcome:
    """One environment's generation against its own file list: no differences means unaltered."""

    environment: str
    generation: str
    files: int
    differences: tuple[Difference, ...]


def verify(store: Store, names: Iterable[str]) -> tuple[VerifyOutcome, ...]:
    """Read every file of the current generations, of all environments where none is named.

    Raises UsageError for an environment that is not published, StoreError for a generation without a
    readable manifest and file list.
    """
    chosen = store.choose(list(names))
    return tuple(verify_generation(store, name, store.current(name) or "") for name in chosen)


def verify_generation(store: Store, environment: str, generation: str) -> VerifyOutcome:
    """Read every file of a generation, as one of an environment's. Raises StoreError as `verify` does."""
    manifest = store.manifest(generation)
    folder = store.folder(generation)
    remedy = f"Build it anew: envman build {environment}"
    if manifest is None:
        what = f"its generation {generation} has no manifest"
        raise StoreError(Problem(f"environment '{environment}'", what, remedy))
    try:
        text = (folder / layout.FILES).read_text(encoding="utf-8")
        listed = parse_inventory(text)
    except (OSError, ValueError, RecursionError) as error:
        what = f"the file list of {generation} can't be read: {error}"
        raise StoreError(Problem(f"environment '{environment}'", what, remedy)) from None
    found = take_inventory(folder, Digests())
    try:
        brought = claimed(folder)
    except BuildError:  # a RECORD that can't be read: it is told of as one that was changed
        brought = []
    base = manifest.interpreter.executable
    result = (
        *((Difference("lost", "bin/python", base),) if is_gone(base) else ()),
        *(Difference("replaced", path, package) for path, package in brought),
        *differences(listed, found.entries),
    )
    if not manifest.was_made_for(text.encode()):
        result = (Difference("changed", layout.FILES), *result)
    return VerifyOutcome(environment, generation, len(found.entries), result)
