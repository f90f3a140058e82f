"""Every record of a table that a stranger has sent, before it takes the place of one that works. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from envman.errors import ImageError, Problem
from envman.resolver.table import KINDS, Table


def check_records(table: Table, environments: Iterable[str], where: str) -> None:
    """Raises TableFormatError for a record that envman would not have written, ImageError for a table that
    doesn't know an environment of its release.

    A launch reads one record; here all are read as launches would.
    """
    for kind in KINDS:
        for name in dict.fromkeys(table.names(kind)):
            _read(table, kind, name)
    if missing := sorted(set(environments) - set(table.names("environment"))):
        what = f"its table does not know these environments of it: {', '.join(missing)}"
        raise ImageError(Problem(where, what, "Publish and push again: envman publish, envman push"))


def _read(table: Table, kind: str, name: str) -> None:
    readers = {
        "bundle": table.bundle,
        "team": table.team,
        "environment": table.environment,
        "image": table.image,
        "warm": table.is_warm,
        "preload": table.preload,
        "user": table.user,
        "limits": table.limits,
        "pass": table.passed,
        "credentials": table.credentials,
    }
    if reader := readers.get(kind):
        reader(name)
    elif kind == "servers":
        table.server_memory()
    elif kind == "bundle-queue":
        table.queue(name, "")
    elif kind == "team-queue":
        table.queue("", name)
    else:
        table.default()
        table.components()
