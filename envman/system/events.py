"""What a long operation says while it runs; only the shell knows how that looks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from envman.errors import printable


class Stage(Enum):
    """Where the work on an environment has got to; the value is its share of the whole, in percent."""

    WAITING = 0
    FETCHING = 3
    RESOLVING = 10
    CREATING = 5
    INSTALLING = 15
    BUILDING = 20
    COMPILING = 40
    CHECKING = 80
    LISTING = 90
    PACKING = 50
    PUSHING = 60
    PUBLISHING = 98
    DONE = 100
    FAILED = 101


@dataclass(frozen=True)
class Event:
    """One step of the work on one environment; `detail` is for people; it and the name are printable; a
    `warning` is always shown.
    """

    environment: str
    stage: Stage
    detail: str = ""
    warning: bool = False

    def __post_init__(self) -> None:
        """Much of what is told is a stranger's."""
        object.__setattr__(self, "environment", printable(self.environment))
        object.__setattr__(self, "detail", printable(self.detail))


Report = Callable[[Event], None]


def silent(_event: Event) -> None:
    """A report that nobody reads."""
