"""`envman build`."""

from __future__ import annotations

from typing import Annotated

import typer

from envman.build.machine import ThisMachine
from envman.cli.options import (
    Environments,
    JobsOption,
    JsonOption,
    OfflineOption,
    ProjectOption,
    PythonOption,
    RootOption,
    SignOption,
    WheelhouseOption,
    jobs_or_default,
    require_workspace,
    source,
)
from envman.cli.output import Reporter, size_text
from envman.cli.progress import progress
from envman.cli.several_outcomes import fail_if_any, outcomes_as_json
from envman.signing.policy_file import policy_file
from envman.store.sealing import Seal
from envman.usecases.build import BuildOptions, BuildOutcome, BuildStatus, build


def build_command(
    environments: Environments = None,
    python: PythonOption = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Build anew what is there already, as it is damaged.")
    ] = False,
    offline: OfflineOption = False,
    wheelhouse: WheelhouseOption = None,
    sign: SignOption = None,
    jobs: JobsOption = None,
    project: ProjectOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build environments from their locks alone and publish them.

    Each build is an immutable generation; the environment's name is switched to it once it is whole.

    Examples: envman build · envman build env_a --python 3.12 · envman build --sign ci_key
    """
    reporter = Reporter("build", as_json)
    with reporter.errors():
        workspace = require_workspace(project, root)
        options = BuildOptions(
            source(workspace, offline, wheelhouse),
            jobs_or_default(jobs),
            ThisMachine(python),
            rebuild,
            Seal(sign, policy_file()),
        )
        with progress(reporter) as report:
            outcomes = build(workspace, environments or [], options, report)
        if as_json:
            outcomes_as_json(reporter, outcomes)
        else:
            _show_builds(reporter, outcomes.results)
        fail_if_any(reporter, outcomes)


def _show_builds(reporter: Reporter, outcomes: tuple[BuildOutcome, ...]) -> None:
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
