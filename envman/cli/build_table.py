"""What a build did, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from envman.cli.output import Reporter, size_text
from envman.usecases.build import BuildOutcome, BuildStatus


def show_builds(reporter: Reporter, outcomes: Sequence[BuildOutcome]) -> None:
    """Show what was built or switched, and how many environments stayed as they were."""
    changed = [outcome for outcome in outcomes if outcome.status is not BuildStatus.UNCHANGED]
    if changed:
        columns = ("environment", "status", "interpreter", "packages", "size", "generation", "seconds")
        rows = [
            (
                outcome.environment,
                outcome.status.value,
                outcome.interpreter,
                str(outcome.packages),
                size_text(outcome.size),
                outcome.generation,
                f"{outcome.seconds:.1f}",
            )
            for outcome in changed
        ]
        reporter.table(columns, rows, right=("packages", "size", "seconds"))
    if len(changed) < len(outcomes):
        reporter.say(f"{len(outcomes) - len(changed)} unchanged")
