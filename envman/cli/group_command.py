"""`envman group`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from envman.cli.options import (
    JsonOption,
    OfflineOption,
    ProjectOption,
    project_folder,
    source,
)
from envman.cli.output import Reporter
from envman.cli.progress import progress
from envman.errors import ExitCode, Problem, UsageError, printable
from envman.spec.load import PROJECT_FILE
from envman.spec.workspace import without_specs
from envman.splitting.group_members import AskedLine, python_range, read_members
from envman.usecases.group import ConflictingLine, GroupOutcome, GroupRequest, group_files, write_groups

if TYPE_CHECKING:
    from envman.spec.workspace import Workspace


Files = Annotated[
    list[Path],
    typer.Argument(metavar="FILE...", help="Requirements files, pyproject.toml, scripts (PEP 723)."),
]
PythonsOption = Annotated[
    list[str],
    typer.Option("--python", metavar="VERSION", help="A Python that environments may have. Repeatable."),
]
AirflowOption = Annotated[
    str | None,
    typer.Option("--airflow", metavar="VERSION", help="Airflow of all. Default: envman.toml's, else none."),
]
NoBuildOption = Annotated[
    bool, typer.Option("--no-build", help="Only wheels count, as with no-build in a spec.")
]
WriteOption = Annotated[bool, typer.Option("--write", help="Write a spec for each group; lock comes next.")]
PrefixOption = Annotated[
    str, typer.Option("--prefix", metavar="TEXT", help="What the names of new environments begin with.")
]
ResolutionsOption = Annotated[
    int, typer.Option("--jobs", "-j", min=1, metavar="N", help="Resolutions at once.")
]


def group_command(
    files: Files,
    python: PythonsOption,
    airflow: AirflowOption = None,
    no_build: NoBuildOption = False,
    write: WriteOption = False,
    prefix: PrefixOption = "",
    jobs: ResolutionsOption = 8,
    offline: OfflineOption = False,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find the fewest environments that files' requirements fit into, and what splits them.

    uv resolves them together, as lock does, for all platforms of a lock; nothing is guessed. Up to 12 files
    the answer is exact. For each two environments it names the requirements that conflict, and whose.

    Ends with 5 where a file fits on none of the Pythons by itself.

    Examples: envman group */requirements.txt --python 3.12 · envman group a.txt b.txt --python 3.11 --python
    3.13 · envman group teams/*/pyproject.toml --python 3.12 --airflow 3.3.2 --write
    """
    reporter = Reporter("group", as_json)
    with reporter.errors():
        workspace = _workspace(project)
        members = read_members(dict.fromkeys(files), project_folder(project))
        for text in python:
            python_range(text)
        request = GroupRequest(
            tuple(members),
            tuple(dict.fromkeys(python)),
            airflow or workspace.project.airflow_version,
            source(workspace, offline),
            jobs,
            no_build,
        )
        if write and not (workspace.files.directory / PROJECT_FILE).is_file():
            raise UsageError(Problem("--write", "there is no envman.toml here or above", "Run: envman init"))
        with progress(reporter) as report:
            outcome = group_files(workspace, request, report)
        problems = outcome.problems()
        if write and not problems:
            outcome = replace(outcome, written=write_groups(workspace, request, outcome, prefix))
        if as_json:
            from dataclasses import asdict

            reporter.json(asdict(outcome), problems, ok=not problems)
        else:
            _show_groups(reporter, outcome)
            reporter.problems(problems)
        if problems:
            raise typer.Exit(ExitCode.UNSATISFIABLE)


def _workspace(project: Path | None) -> Workspace:
    folder = project_folder(project)
    has_project = folder is not None and (folder / PROJECT_FILE).is_file()
    return without_specs(folder or Path.cwd(), has_project)


def _show_groups(reporter: Reporter, outcome: GroupOutcome) -> None:
    rows = [
        ("", "", file) if index else (str(number), ", ".join(one.pythons), file)
        for number, one in enumerate(outcome.groups, 1)
        for index, file in enumerate(map(printable, one.files))
    ]
    if rows:
        reporter.table(("environment", "python", "files"), rows, right=("environment",))
    count = len(outcome.groups)
    how = "the fewest" if outcome.is_fewest else f"at least {outcome.least} are needed; {outcome.method}"
    reporter.say(
        f"{count} {'environment' if count == 1 else 'environments'} for "
        f"{sum(len(one.files) for one in outcome.groups)} files ({how}); "
        f"{outcome.resolutions} resolutions in {outcome.seconds} s"
    )
    for split in outcome.splits:
        reporter.say("")
        reporter.say(f"{split.groups[0]} and {split.groups[1]} on Python {', '.join(split.pythons)}:")
        for line in split.lines:
            reporter.say(printable(f"  {_words(line)}"))
        reporter.say(printable(f"  {split.explanation}"))
    if outcome.written:
        reporter.say("")
        reporter.say(f"Written: {', '.join(outcome.written)}")
        reporter.say("Next: name the environments in envman.toml's bundles or teams, then: envman lock")


def _words(line: ConflictingLine) -> str:
    return f"{AskedLine(line.kind, line.text).words()}  ({', '.join(line.files)})"
