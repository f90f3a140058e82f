"""One name of Airflow's that is not a documented interface, and how envman leans on it."""

from __future__ import annotations

import importlib

USED = "used"
OVERRIDDEN = "overridden"
REPLACED = "replaced"
REPEATED = "repeated"
"""How a name is leaned on: as it is, in a subclass, with something else in its place, or by code that does
the same in its own place. The last is not called: it need not be there, but must not change unseen.
"""


class Upstream:
    """One name: who leans on it, where it is, why, and how.

    `without` says what holds on an Airflow that does not have it; where it is empty, nothing does.
    """

    __slots__ = ("component", "how", "module", "name", "why", "without")

    def __init__(
        self, component: str, module: str, name: str, why: str, how: str = USED, without: str = ""
    ) -> None:
        self.component = component
        self.module = module
        self.name = name
        self.why = why
        self.how = how
        self.without = without

    def is_needed(self) -> bool:
        """Whether the component can't do without it."""
        return not self.without and self.how != REPEATED

    def is_there(self) -> bool:
        """Whether the installed Airflow has it."""
        try:
            found: object = importlib.import_module(self.module)
        except ImportError:
            return False
        for part in filter(None, self.name.split(".")):
            if not hasattr(found, part) and part not in getattr(found, "__annotations__", {}):
                return False
            found = getattr(found, part, None)
        return True

    def __str__(self) -> str:
        return f"{self.module}.{self.name}".rstrip(".")


def names_of(component: str, module: str, *rows: tuple[str, ...]) -> tuple[Upstream, ...]:
    """The names of a module that a component leans on; a row has the name, why, and what else differs."""
    return tuple(Upstream(component, module, *row) for row in rows)
