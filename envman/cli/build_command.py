"""`envman build`."""

from __future__ import annotations

from typing import Annotated

import typer

from envman.build.machine import ThisMachine
from envman.cli.build_table import show_builds
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
from envman.cli.output import Reporter
from envman.cli.progress import progress
from envman.cli.several_outcomes import fail_if_any, outcomes_as_json
from envman.signing.policy_file import policy_file
from envman.store.sealing import Seal
from envman.usecases.build import BuildOptions, build


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
            show_builds(reporter, outcomes.results)
        fail_if_any(reporter, outcomes)
