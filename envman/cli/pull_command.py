"""`envman pull`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from envman.cli.options import JsonOption, ProjectOption, RootOption, root_folder
from envman.cli.output import Reporter, size_text
from envman.cli.progress import progress
from envman.cli.several_outcomes import fail_if_any
from envman.signing.policy_file import policy_file
from envman.spec.image_names import reference_argument
from envman.usecases.pull import PullOptions, PullOutcome, PullStatus, pull


def pull_command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Where from: registry/path:tag, oci:FOLDER:NAME or oci-archive:FILE:NAME.",
        ),
    ],
    environments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ENVIRONMENT]...", help="Environments of the release; all if none is named."),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Link no file that this host has; refuse what is here damaged.")
    ] = False,
    leave_record: Annotated[
        bool,
        typer.Option("--report", help="Leave a record in the registry of what this host has: envman hosts"),
    ] = False,
    host: Annotated[
        str | None,
        typer.Option("--host", metavar="NAME", help="The host's name in that record. Default: its own."),
    ] = None,
    project: ProjectOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Pull environments that were pushed, and publish them. Only what this host lacks is transferred.

    The host needs the same base interpreters and the same root folder as where they were built, and neither
    a package index nor a compiler. A policy is asked before anything is published.

    Examples: envman pull registry/airflow/envs:2026-11 · envman pull oci:/mnt/usb/envs:2026-11 env_a
    """
    reporter = Reporter("pull", as_json)
    with reporter.errors():
        place = reference_argument(source)
        options = PullOptions(policy_file(), fresh, (host or "") if leave_record or host else None)
        with progress(reporter) as report:
            pulled = pull(root_folder(root, project), place, environments or [], options, report)
        if as_json:
            result = {
                "release": pulled.release,
                "environments": [asdict(one) for one in pulled.outcomes.results],
            }
            reporter.json(result, pulled.outcomes.problems(), ok=not pulled.outcomes.errors)
        else:
            _show(reporter, pulled.outcomes.results)
        fail_if_any(reporter, pulled.outcomes)


def _show(reporter: Reporter, outcomes: tuple[PullOutcome, ...]) -> None:
    changed = [one for one in outcomes if one.status is not PullStatus.UNCHANGED]
    if changed:
        columns = ("environment", "status", "interpreter", "packages", "generation", "fetched", "seconds")
        rows = [
            (
                one.environment,
                one.status.value,
                one.interpreter,
                str(one.packages),
                one.generation,
                size_text(one.fetched_bytes),
                f"{one.seconds:.1f}",
            )
            for one in changed
        ]
        reporter.table(columns, rows, right=("packages", "fetched", "seconds"))
    if len(changed) < len(outcomes):
        reporter.say(f"{len(outcomes) - len(changed)} unchanged")
