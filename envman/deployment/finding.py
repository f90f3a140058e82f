"""A finding, and what a rule gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from envman.errors import Problem


class Level(str, Enum):
    """An error keeps something from working, or makes it run wrongly; a warning may; information does not."""

    ERROR = "error"
    WARNING = "warning"
    INFORMATION = "information"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or may be, or is worth knowing; `check` names what was looked at.

    Information may have no remedy: nothing needs one.
    """

    level: Level
    check: str
    where: str
    what: str
    remedy: str

    def problem(self) -> Problem:
        """The same without its level."""
        return Problem(self.where, self.what, self.remedy)


Found = Iterator[tuple[Level, Problem]]
