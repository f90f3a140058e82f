"""What differs between two sets of packages: for the table after a lock, and for `envman diff`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


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
