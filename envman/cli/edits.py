"""What `add` and `remove` share: their options, and how they show what an edit did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from envman.cli.options import source
from envman.cli.output import Reporter
from envman.cli.package_cells import show_changes, show_source_only
from envman.errors import PolicyError, Problem, UsageError
from envman.signing.policy_file import policy_file
from envman.usecases.add_remove import EditOptions, EditOutcome
from envman.usecases.lock import LockOptions
from envman.uv.runner import Upgrade

if TYPE_CHECKING:
    from envman.spec.workspace import Workspace

AndBuild = Annotated[
    bool, typer.Option("--build", help="Build and publish it, too; spec and lock change only if that works.")
]
InDev = Annotated[
    bool, typer.Option("--dev", help="In [dev] of the spec: tools for its authors, which no build has.")
]


def edit_options(workspace: Workspace, offline: bool, and_build: bool, dev: bool) -> EditOptions:
    """How to lock, and with `and_build` how to build; raises PolicyError where a policy stands, and
    UsageError for a build of [dev], which no build has.
    """
    if dev and and_build:
        remedy = "Leave --build out: envman test and envman run --dev build the overlay when they need it."
        raise UsageError(Problem("--build", "does not go with --dev", remedy))
    files = source(workspace, offline)
    lock = LockOptions(Upgrade(), files, 1)
    if not and_build:
        return EditOptions(lock, dev=dev)
    if policy := policy_file():
        what = "this host builds only locks that are signed, and a new one is not"
        raise PolicyError(Problem(policy, what, "Leave --build out; then: envman sign, and envman build"))
    from envman.build.machine import ThisMachine
    from envman.usecases.build import BuildOptions

    return EditOptions(lock, BuildOptions(files, 1, ThisMachine()))


def show_edit(reporter: Reporter, outcome: EditOutcome, what: str, dev: bool) -> None:
    """Show what an edit of a spec did; `what` is 'added to' or 'removed from'."""
    if reporter.as_json:
        reporter.result(outcome)
        return
    where = f"[dev] of {outcome.file}" if dev else outcome.file
    reporter.say(f"{', '.join(outcome.requirements)} {what} {where}")
    show_changes(reporter, (outcome.lock,))
    show_source_only(reporter, (outcome.lock,))
    if outcome.build:
        from envman.cli.build_table import show_builds

        show_builds(reporter, (outcome.build,))
