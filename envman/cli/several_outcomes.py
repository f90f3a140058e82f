"""How a command ends that has worked on several environments side by side."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from envman.cli.output import Reporter

if TYPE_CHECKING:
    from envman.system.side_by_side import Outcomes


def outcomes_as_json(reporter: Reporter, outcomes: Outcomes[Any]) -> None:
    """Write the results and the problems as JSON."""
    reporter.json(
        [asdict(result) for result in outcomes.results], outcomes.problems(), ok=not outcomes.errors
    )


def fail_if_any(reporter: Reporter, outcomes: Outcomes[Any]) -> None:
    """End with the first error's exit code; the other environments are done all the same."""
    if not outcomes.errors:
        return
    if not reporter.as_json:
        reporter.problems(outcomes.problems())
    raise typer.Exit(next(iter(outcomes.errors.values())).exit_code)
