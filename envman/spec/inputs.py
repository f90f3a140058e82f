"""Everything that decides a lock, as labelled inputs, and the fingerprint over them.

Labels are the spec's own dotted keys, so that `lock --check` can name the input that changed. A constraints
URL is read at lock time only: its content can't be looked up again by a check without a network, so its
digest is taken over from the lock as long as the URL is the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from envman.spec.own_code import OwnSource

FORMAT = "1"

CORE = "apache-airflow-core"
"""The package that `airflow-version` pins."""


class InputChange(Enum):
    """What became of an input since the lock was made."""

    ADDED = "was added"
    REMOVED = "was removed"
    CHANGED = "changed"


@dataclass(frozen=True)
class ConstraintSet:
    """One entry of `constraints`: its label, its URL if it has one, and its lines (None: not fetched)."""

    label: str
    url: str | None
    lines: tuple[str, ...] | None


@dataclass(frozen=True)
class Inputs:
    """An environment's requirements with every named file read.

    `airflow_version` is None for an environment that opts out, and for a deployment that names none.
    `sources` are folders with code, by the labels of their inputs; `trees` are the digests of their files,
    which only what compares or makes a lock reads.
    """

    environment: str
    requires_python: str
    platforms: tuple[str, ...]
    airflow_version: str | None
    requirements: Mapping[str, tuple[str, ...]]
    constraints: tuple[ConstraintSet, ...] = ()
    overrides: tuple[str, ...] = ()
    exclude_newer: str = ""
    exclude_newer_except: tuple[str, ...] = ()
    no_build: bool = False
    sources: Mapping[str, OwnSource] = field(default_factory=dict)
    trees: Mapping[str, str] = field(default_factory=dict)

    def digests(self, fetched: Mapping[str, str] | None = None) -> dict[str, str]:
        """Digest of each input, by label; `fetched` maps labels of unread URLs to the digests on record."""
        digests = {
            "requires-python": digest([self.requires_python]),
            "platforms": digest(sorted(self.platforms)),
            "airflow-version": digest([self.airflow_version or "none"]),
            "overrides": digest(sorted(self.overrides)),
        }
        if self.exclude_newer:
            digests["exclude-newer"] = digest([self.exclude_newer])
            if self.exclude_newer_except:
                digests["exclude-newer-except"] = digest(sorted(set(self.exclude_newer_except)))
        if self.no_build:
            digests["no-build"] = digest(["true"])
        for label, source in self.sources.items():
            stated = (source.name, source.version, *sorted(source.extras))
            digests[label] = digest([self.trees[source.path], *stated])
        digests.update({label: digest(sorted(set(lines))) for label, lines in self.requirements.items()})
        for constraint in self.constraints:
            digests.update(_constraint_digests(constraint, fetched or {}))
        return digests


def _constraint_digests(constraint: ConstraintSet, fetched: Mapping[str, str]) -> dict[str, str]:
    digests: dict[str, str] = {}
    content = f"{constraint.label} content" if constraint.url else constraint.label
    if constraint.url:
        digests[constraint.label] = digest([constraint.url])
    if constraint.lines is not None:
        digests[content] = digest(sorted(set(constraint.lines)))
    elif content in fetched:
        digests[content] = fetched[content]
    return digests


def fingerprint(digests: Mapping[str, str], built: Iterable[str] = ()) -> str:
    """One digest over all inputs and the format of locks; `built` are lines on what was built for one."""
    inputs = (f"{label}={value}" for label, value in sorted(digests.items()))
    return digest([f"format={FORMAT}", *inputs, *built])


def changed_inputs(recorded: Mapping[str, str], current: Mapping[str, str]) -> list[tuple[str, InputChange]]:
    """The inputs that differ between a lock and its spec, in the order of their labels."""
    changes: list[tuple[str, InputChange]] = []
    for label in sorted(recorded.keys() | current.keys()):
        if label not in recorded:
            changes.append((label, InputChange.ADDED))
        elif label not in current:
            changes.append((label, InputChange.REMOVED))
        elif recorded[label] != current[label]:
            changes.append((label, InputChange.CHANGED))
    return changes


def digest(parts: Iterable[str]) -> str:
    """`sha256:` and the hexadecimal digest of the parts, each ended by a line feed."""
    return "sha256:" + hashlib.sha256("".join(f"{part}\n" for part in parts).encode()).hexdigest()
