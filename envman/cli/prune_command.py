"""`envman prune`."""

from __future__ import annotations

from typing import Annotated

import typer

from envman.cli.options import (
    JsonOption,
)
from envman.cli.output import Reporter, size_text
from envman.usecases.prune import prune


def prune_command(
    days: Annotated[
        int, typer.Option(min=1, metavar="N", help="Keep what was used in the last N days.")
    ] = 30,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove from envman's cache what no build has used for some days: images, bases, layers, bytecode.

    What goes is made again when it is needed, with the same digests. Generations are gc's business.

    Example: envman prune --days 7 --dry-run
    """
    reporter = Reporter("prune", as_json)
    with reporter.errors():
        outcome = prune(days, dry_run)
        if as_json:
            reporter.result(outcome)
            return
        rows = [(one.what.value, one.name, size_text(one.size), str(one.days)) for one in outcome.unused]
        if rows:
            reporter.table(("what", "name", "size", "days"), rows, right=("size", "days"))
        goes = "would go" if dry_run else "removed"
        freed = sum(one.size for one in outcome.unused)
        reporter.say(f"{outcome.folder}: {len(rows)} {goes}, {size_text(freed)}")
