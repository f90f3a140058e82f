"""Packages in tables: their versions, and what a lock changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from packaging.version import Version

from envman.cli.output import Reporter

if TYPE_CHECKING:
    from envman.lock.changes import PackageChange
    from envman.usecases.lock import LockOutcome


def versions_text(versions: Sequence[str]) -> str:
    """Versions of one package in one cell."""
    return ", ".join(sorted(set(versions), key=Version)) or "-"


def change_cells(change: PackageChange) -> tuple[str, str, str]:
    """A package's name, its old and its new versions."""
    return change.package, versions_text(change.old), versions_text(change.new)


def show_changes(reporter: Reporter, outcomes: Iterable[LockOutcome]) -> None:
    """Show what changed in locks, those of dev overlays, too."""
    rows = [
        (where, *change_cells(change))
        for outcome in outcomes
        if not outcome.first
        for where, changes in (
            (outcome.environment, outcome.changes),
            (f"{outcome.environment} [dev]", outcome.dev_changes),
        )
        for change in changes
    ]
    if rows:  # of a first lock every package is new: the progress has said how many
        reporter.table(("environment", "package", "old", "new"), rows)


def show_source_only(reporter: Reporter, outcomes: Iterable[LockOutcome]) -> None:
    """Name the packages whose build will run their code on whatever machine builds."""
    for outcome in outcomes:
        for one in outcome.source_only:
            reporter.note(
                f"{outcome.environment}: {one.words()}, so a build runs the package's code. "
                "'no-build = true' in the spec refuses such packages."
            )
