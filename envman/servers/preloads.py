"""What preloading a module is worth: how many files import it, how long that takes, and whether it may be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

WORTH = 0.02
"""Seconds that a module has to save each file that imports it."""


@dataclass(frozen=True)
class Module:
    """A module, measured alone, on top of what every fork server imports.

    `files` is the number of files that import it, None where none were looked at; `seconds` and `memory`
    (bytes) are None where its import could not be measured; `problem` says why it can't be preloaded;
    `brings` are those of the other modules here that it imports.
    """

    module: str
    preloaded: bool
    files: int | None
    seconds: float | None
    memory: int | None
    problem: str
    brings: tuple[str, ...] = ()

    @property
    def saved(self) -> float:
        """Seconds that preloading it saves each time all files are parsed once."""
        return 0.0 if self.problem else (self.files or 0) * (self.seconds or 0.0)


def ranked(modules: Iterable[Module]) -> tuple[Module, ...]:
    """Those that save most first."""
    return tuple(sorted(modules, key=lambda one: (-one.saved, -(one.seconds or 0.0), one.module)))


def suggestion(modules: Iterable[Module]) -> tuple[str, ...]:
    """The modules that are worth preloading, in order, without those that another of them imports anyway.

    What is preloaded now stays, as far as it may be: a task may need what no file imports as it is parsed.
    """
    wanted = {
        one.module: one
        for one in ranked(modules)
        if not one.problem and (one.preloaded or (one.files and (one.seconds or 0.0) >= WORTH))
    }
    for name in reversed(list(wanted)):  # of two that import each other the better one stays
        if any(name in other.brings for other in wanted.values() if other.module != name):
            del wanted[name]
    return tuple(wanted)
