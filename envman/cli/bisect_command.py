"""`envman bisect`."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from envman.build.bytecode import Bytecode
from envman.build.generation_builder import BuildTools
from envman.build.machine import ThisMachine
from envman.cli.completion import complete_generation
from envman.cli.options import (
    EnvironmentName,
    JsonOption,
    OfflineOption,
    ProjectOption,
    RootOption,
    require_workspace,
    source,
)
from envman.cli.output import Reporter
from envman.cli.progress import progress
from envman.errors import ExitCode, Problem, printable
from envman.system.digests import Digests
from envman.system.files import scratch_folder
from envman.system.side_by_side import default_jobs
from envman.usecases.bisect import BisectOutcome, BisectRequest, bisect
from envman.usecases.mixed_sets import MixedSets
from envman.uv.runner import Uv

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envman.packages.moved import Moved
    from envman.spec.workspace import Workspace
    from envman.uv.runner import Source


def bisect_command(
    environment: EnvironmentName,
    command: Annotated[
        list[str], typer.Argument(metavar="-- COMMAND...", help="Ends with 0 where all is well.")
    ],
    good: Annotated[
        str,
        typer.Option(
            "--good",
            metavar="GENERATION",
            help="One in which the command works.",
            autocompletion=complete_generation,
        ),
    ],
    bad: Annotated[
        str | None,
        typer.Option(
            "--bad",
            metavar="GENERATION",
            help="One in which it fails. Default: the current one.",
            autocompletion=complete_generation,
        ),
    ] = None,
    offline: OfflineOption = False,
    project: ProjectOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find the package whose upgrade makes a command fail, between two generations of an environment.

    Mixed sets of both generations' packages are built in a scratch folder, and the command is run in each:
    0 is good, 1 to 127 is bad, but 125 skips the set; more than 127 ends the search. Nothing is published,
    and nothing is left.

    Example: envman bisect env_a --good 3f9c2a7b10de -- python -m pytest tests/test_sales.py
    """
    reporter = Reporter("bisect", as_json)
    with reporter.errors():
        workspace = require_workspace(project, root)
        request = BisectRequest(environment, good, bad, tuple(command))
        with progress(reporter) as report, scratch_folder(os.environ) as folder:
            sets = MixedSets(folder, _tools(workspace, source(workspace, offline)), report)
            outcome = bisect(workspace, request, sets, report)
        problems = [] if outcome.is_certain else [_uncertain(outcome)]
        if as_json:
            reporter.json(asdict(outcome), problems, ok=not problems)
        else:
            _show(reporter, outcome)
            reporter.problems(problems)
        if problems:
            raise typer.Exit(ExitCode.FAILED)


def _tools(workspace: Workspace, files: Source) -> BuildTools:
    machine = ThisMachine()
    return BuildTools(
        processes=workspace.processes,
        uv=Uv(workspace.processes, files),
        machine=machine,
        bytecode=Bytecode(machine.cache, Digests(), default_jobs()),
        sandbox_required=workspace.project.sandbox_required,
        project=workspace.project.directory,
        hidden=(workspace.project.root,),
    )


def _show(reporter: Reporter, outcome: BisectOutcome) -> None:
    rows = [
        (
            step.what,
            step.verdict.value,
            str(step.exit_code),
            "-" if step.build_seconds is None else f"{step.build_seconds:.1f}",
            f"{step.run_seconds:.1f}",
        )
        for step in outcome.steps
    ]
    reporter.table(
        ("tried", "", "exit code", "built in", "ran for"), rows, right=("exit code", "built in", "ran for")
    )
    if outcome.said:
        reporter.note(f"It said, as it failed last:\n  {printable(outcome.said)}")
    if outcome.interpreter:
        reporter.say(f"The interpreter makes it fail: {' -> '.join(outcome.interpreter)}")
    elif outcome.culprits:
        reporter.say(_culprits_text(outcome))


def _culprits_text(outcome: BisectOutcome) -> str:
    groups = [_moved_text(group) for group in outcome.culprits]
    needed = f", with what it needs: {_moved_text(outcome.needed)}" if outcome.needed else ""
    if len(groups) > 1:
        return (
            f"It takes {' together with '.join(groups)} to make it fail; none of them does so alone{needed}"
        )
    only = "; they only fit together" if len(outcome.culprits[0]) > 1 else ""
    return f"{groups[0]} makes it fail{only}{needed}"


def _moved_text(packages: Sequence[Moved]) -> str:
    return ", ".join(f"{one.package} {one.old or '(absent)'} -> {one.new or '(absent)'}" for one in packages)


def _uncertain(outcome: BisectOutcome) -> Problem:
    where = f"environment '{outcome.environment}'"
    remedy = "Let the command end with another exit code than 125 where it can tell."
    if outcome.suspects:
        listed = _moved_text(outcome.suspects)
        return Problem(where, f"it is one of these, sets between them were skipped: {listed}", remedy)
    what = "whether that makes it fail without the others could not be tried"
    return Problem(where, what, remedy)
