"""Every record of a table that a stranger has sent, before it takes the place of one that works. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from envman.errors import ImageError, Problem
from envman.resolver.table import KINDS, Table, TableFormatError

READERS: Mapping[str, Callable[[Table, str], object]] = {
    "bundle": Table.bundle,
    "bundle-queue": lambda table, name: table.queue(name, ""),
    "components": lambda table, _: table.components(),
    "credentials": Table.credentials,
    "default": lambda table, _: table.default(),
    "environment": Table.environment,
    "image": Table.image,
    "limits": Table.limits,
    "pass": Table.passed,
    "preload": Table.preload,
    "server-idle": Table.server_idle,
    "servers": lambda table, _: table.server_memory(),
    "shared": Table.shared,
    "team": Table.team,
    "team-queue": lambda table, name: table.queue("", name),
    "trigger": lambda *_: None,  # has a name alone, which `Table.names` has read
    "user": Table.user,
    "warm": Table.is_warm,
}
"""How a launch reads a record of each kind."""

_NAMELESS = frozenset({"components", "default", "servers"})
"""Kinds of which there is one record, of the name '-'."""


def check_records(table: Table, environments: Iterable[str], where: str) -> None:
    """Raises TableFormatError for a record that envman would not have written, ImageError for a table that
    doesn't know an environment of its release.

    A launch reads one record; here all are read as launches would.
    """
    for kind in KINDS:
        for name in dict.fromkeys(table.names(kind)):
            if kind in _NAMELESS and name != "-":
                raise TableFormatError(where, f"its record {kind!r} of {name!r} is not as envman writes one")
            READERS[kind](table, name)
    if missing := sorted(set(environments) - set(table.names("environment"))):
        what = f"its table does not know these environments of it: {', '.join(missing)}"
        raise ImageError(Problem(where, what, "Publish and push again: envman publish, envman push"))
