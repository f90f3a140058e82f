"""`envman adopt split`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from envman.cli.options import EnvironmentName, JsonOption, ProjectOption, RootOption, require_workspace
from envman.cli.output import Reporter
from envman.errors import Problem, UsageError, printable
from envman.splitting.held_upgrades import PYTHON, HeldUpgrade
from envman.splitting.proposal import ProposedEnvironment
from envman.splitting.reading import IGNORE_FILE
from envman.splitting.split_units import SplitBy
from envman.usecases.adopt_split import SplitOutcome, SplitRequest, adopt_split

_SHOWN = 5


def adopt_split_command(
    environment: EnvironmentName,
    by: Annotated[
        SplitBy, typer.Option("--by", help="What gets an environment: a folder of Dags, a team, a bundle.")
    ] = SplitBy.folder,
    codeowners: Annotated[
        Path | None,
        typer.Option("--codeowners", metavar="FILE", help="With --by team: whose files are whose."),
    ] = None,
    path: Annotated[
        list[str] | None,
        typer.Option(metavar="BUNDLE=FOLDER", help="The folder of a bundle here, as a checkout. Repeatable."),
    ] = None,
    prefix: Annotated[
        str, typer.Option("--prefix", metavar="TEXT", help="What the names of new environments begin with.")
    ] = "",
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="With --write: this environment of the proposal. Repeatable."),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Write the specs and the changed envman.toml; lock comes next.")
    ] = False,
    project: ProjectOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose an environment for each folder, team or bundle, out of one that all share.

    Reads what the files of the environment's bundles import, and runs none of them. Each proposal has the
    packages that its Dag files import, at the versions that are built now, what those need, and nothing else.
    Without --write nothing is changed. Needs no network.

    Examples: envman adopt split everything · envman adopt split everything --by team --codeowners FILE ·
    envman adopt split everything --path sales=checkout/dags --json · envman adopt split everything --write ·
    envman adopt split everything --write --only sales
    """
    reporter = Reporter("adopt split", as_json)
    with reporter.errors():
        if codeowners is not None and by is not SplitBy.team:
            raise UsageError(Problem("--codeowners", "is for --by team", "Add --by team, or leave it out."))
        if only and not write:
            raise UsageError(Problem("--only", "is for --write", "Add --write, or leave it out."))
        workspace = require_workspace(project, root)
        request = SplitRequest(environment, by, codeowners, _folders(path or []), prefix, tuple(only or ()))
        outcome = adopt_split(workspace, request, os.environ, write)
        if as_json:
            reporter.json(outcome.document())
        else:
            _show_split(reporter, outcome)


def _folders(given: list[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for text in given:
        bundle, equals, folder = text.partition("=")
        if not (bundle and equals and folder):
            raise UsageError(Problem(f"--path {text}", "is not BUNDLE=FOLDER", "Write: --path sales=dags"))
        if not Path(folder).is_dir():
            raise UsageError(
                Problem(f"--path {text}", "there is no such folder", "Pass the bundle's folder.")
            )
        found[bundle] = Path(folder)
    return found


def _show_split(reporter: Reporter, outcome: SplitOutcome) -> None:
    columns = ("environment", "for", "dag files", "imports", "packages", "only its")
    rows = [_row(one) for one in outcome.proposals]
    if rows:
        reporter.table(columns, rows, right=("dag files", "imports", "packages", "only its"))
    reporter.say(
        f"{len(rows)} environments in place of {outcome.environment}, which has {outcome.packages} packages"
    )
    for title, lines in _sections(outcome):
        shown = list(lines)
        if shown:
            reporter.say("")
            reporter.say(title)
            for line in shown:
                reporter.say(f"  {printable(line)}")
    for line in _notes(outcome):
        reporter.note(printable(line))
    if outcome.written:
        reporter.say("")
        reporter.say(f"Written: {', '.join(outcome.written)}")
        specs = [Path(file).stem for file in outcome.written if file.startswith("environments/")]
        names = [one.environment for one in outcome.proposals if one.environment in specs]
        reporter.say(f"Next: envman lock {' '.join(names)}")


def _row(one: ProposedEnvironment) -> tuple[str, ...]:
    units = _listing([unit.words() for unit in one.units])
    counts = one.dags, len(one.imported), len(one.packages), len(one.alone)
    return (one.environment, units, *map(str, counts))


def _sections(outcome: SplitOutcome) -> Iterator[tuple[str, Iterator[str]]]:
    every = outcome.proposals
    yield (
        "Free to upgrade then, of what is imported, and Python:",
        (
            f"{held.package} {held.version} in {_listing(names)}: held by {held.holder} "
            f"({held.requirement}), which {_needed_by(held.environments)}"
            for held, names in _upgrades(every).items()
        ),
    )
    yield (
        "Imported for several environments:",
        (f"{package}: {_listing(names)}" for package, names in outcome.shared.items()),
    )
    yield (
        "Own modules that several import (they need the packages of these, too):",
        (f"{one.module} in {one.bundle}: {', '.join(one.environments)}" for one in outcome.shared_modules),
    )
    yield (
        "Installed, and imported by nobody:",
        (
            f"{one.package} {one.version}"
            + (f", with {one.brings} more" if one.brings else "")
            + (f"; an extra of what is needed: {_listing(one.optional_for)}" if one.optional_for else "")
            + (f"; may be used by name: {_listing(one.entry_points)}" if one.entry_points else "")
            for one in outcome.unneeded
        ),
    )
    yield (
        "Not found, neither installed nor in the bundle:",
        (f"{one.environment}: {module}, at {place}" for one in every for module, place in one.missing),
    )
    yield (
        "Imported in functions that run in another interpreter, so not in the proposal:",
        (
            f"{one.environment}: {what}, at {place} ({by})"
            for one in every
            for what, place, by in one.elsewhere
        ),
    )
    yield (
        "Own modules with the name of something installed, which is what Airflow imports:",
        (
            f"{one.environment}: {module}, at {place}: {by}"
            for one in every
            for module, place, by in one.hidden
        ),
    )


def _upgrades(proposals: Iterable[ProposedEnvironment]) -> dict[HeldUpgrade, list[str]]:
    found: dict[HeldUpgrade, list[str]] = {}
    for one in proposals:
        told = {PYTHON, *(entry.package for entry in one.imported)}
        for held in one.upgrades:
            if held.package in told:
                found.setdefault(held, []).append(one.environment)
    return dict(sorted(found.items()))


def _needed_by(environments: tuple[str, ...]) -> str:
    return f"only {_listing(environments)} needs" if environments else "nobody needs"


def _notes(outcome: SplitOutcome) -> Iterator[str]:
    for one in outcome.proposals:
        if one.top_imports:
            names = _listing([module for module, _ in one.top_imports])
            yield (
                f"warning: {one.environment}: as a bundle of its own its folder no longer finds {names} "
                f"(first at {one.top_imports[0][1]}), which is imported from the top of the bundle; name "
                "what is a folder in `shared` of the bundle, as --write does."
            )
    for mixed in outcome.mixed:
        yield (
            f"warning: {mixed.bundle}/{mixed.folder} has Dag files of {', '.join(mixed.teams)}: a folder is "
            f"in one environment, here {mixed.given_to}'s."
        )
    for bundle in outcome.kept_bundles:
        yield (
            f"warning: the bundle {bundle} keeps its folder: list the folders that are bundles now in its "
            ".airflowignore, or their Dags are parsed twice."
        )
    for bundle in outcome.other_bundles:
        yield f"warning: not read: the bundle {bundle} is no folder here; pass --path {bundle}=FOLDER."
    for bundle, file, why in outcome.unread:
        lost = "" if file.endswith(IGNORE_FILE) else "; what it imports is missing in the proposal"
        yield f"warning: not read: {bundle}/{file} {why}{lost}."
    if outcome.unreached:
        files = _listing([f"{bundle}/{file}" for bundle, file in outcome.unreached])
        yield f"Imported by no Dag file, so not looked at: {files}"


def _listing(names: list[str] | tuple[str, ...]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
