"""What differs between two sets of packages: for the table after a lock, and for `envman diff`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from envman.lock.lockfile import Pin


@dataclass(frozen=True)
class PackageChange:
    """A package whose versions differ; an empty tuple: it is absent on that side."""

    package: str
    old: tuple[str, ...]
    new: tuple[str, ...]


def package_changes(
    old: Mapping[str, tuple[str, ...]], new: Mapping[str, tuple[str, ...]]
) -> tuple[PackageChange, ...]:
    """Compare versions by package, sorted by name."""
    return tuple(
        PackageChange(name, old.get(name, ()), new.get(name, ()))
        for name in sorted(old.keys() | new.keys())
        if old.get(name, ()) != new.get(name, ())
    )


def unfounded(pins: Iterable[Pin], resolved: Iterable[Pin]) -> Iterator[str]:
    """What a lock holds that resolving does not give, and what it lacks; a sentence's part for each.

    A file that came to the index after the lock was made is no difference.
    """
    mine, theirs = _grouped(pins), _grouped(resolved)
    for key in sorted(mine.keys() | theirs.keys()):
        text = "==".join(key)
        if key not in theirs:
            yield f"{text} is not what resolving gives"
        elif key not in mine:
            yield f"{text} is missing"
        elif mine[key][0] != theirs[key][0]:
            yield f"{text} has another marker"
        elif mine[key][1] - theirs[key][1]:
            yield f"{text} has a hash that no file of the index has"


def _grouped(pins: Iterable[Pin]) -> dict[tuple[str, str], tuple[set[str], set[str]]]:
    """Markers and hashes by package and version."""
    found: dict[tuple[str, str], tuple[set[str], set[str]]] = {}
    for pin in pins:
        markers, hashes = found.setdefault((pin.name, pin.version), (set(), set()))
        markers.add(pin.marker)
        hashes.update(pin.hashes)
    return found
