"""`envman adopt prove`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from envman.cli.completion import complete_bundle
from envman.cli.options import (
    JsonOption,
    ProjectOption,
    RootOption,
    TimeoutOption,
    root_folder,
    workspace_if_any,
)
from envman.cli.output import Reporter, pass_on
from envman.errors import ExitCode, Problem, UsageError
from envman.proof.report_page import page
from envman.proof.verdicts import DIFFERS, EQUAL, HARMLESS, Proof, ProvedFile, alike, place
from envman.system.files import write_atomic
from envman.system.processes import Processes
from envman.usecases.adopt_prove import ProveRequest, prove

_SHOWN = 2
"""Dags of a file that the table names."""

_ENDINGS = (".html", ".json")


def adopt_prove_command(
    airflow: Annotated[
        Path | None,
        typer.Option(
            metavar="PYTHON", help="The live Airflow's Python, or its venv. Default: that of airflow on PATH."
        ),
    ] = None,
    bundle: Annotated[
        list[str] | None,
        typer.Option(
            metavar="BUNDLE", help="Prove this bundle alone. Several times.", autocompletion=complete_bundle
        ),
    ] = None,
    dags: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR", help="The live Airflow's Dag folder. Default: as its configuration says."
        ),
    ] = None,
    timeout: TimeoutOption = None,
    report: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Write a report: FILE.html or FILE.json. Several times."),
    ] = None,
    project: ProjectOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Parse every file in the live Airflow and in its bundle's environment, and say what differs.

    As the Dag processor would, on both sides, without a database: serialized Dags, import errors and
    warnings are compared, and what differs is explained where it can be. Ends with 0 where all is as before
    or differs harmlessly (times, random values, paths), else with 1. What files print goes to standard error.

    Examples: envman adopt prove --airflow /opt/airflow/bin/python --report proof.html · envman adopt prove
    --bundle sales --json
    """
    reporter = Reporter("adopt prove", as_json)
    with reporter.errors():
        reports = _checked(report or [])
        store = root_folder(root, project)
        workspace = workspace_if_any(project)
        request = ProveRequest(
            airflow, tuple(bundle or ()), tuple(dags or ()), timeout, workspace.project if workspace else None
        )
        proof = prove(store, request, Processes(), os.environ, pass_on)
        if not as_json:  # before a report that can't be written ends this
            _show_proof(reporter, proof)
            reporter.problems(proof.problems())
        for file in reports:
            write_atomic(file, page(proof) if file.suffix == ".html" else _document(reporter, proof))
        if as_json:
            reporter.json(proof.document(), proof.problems(), ok=proof.holds)
        if not proof.holds:
            raise typer.Exit(ExitCode.FAILED)


def _checked(reports: list[Path]) -> list[Path]:
    """The reports' files; raises UsageError before the work for one that can't be written after it."""
    for file in reports:
        if file.suffix not in _ENDINGS:
            raise UsageError(Problem(str(file), "is no kind of report", "Name it FILE.html or FILE.json."))
        if not file.absolute().parent.is_dir():
            raise UsageError(
                Problem(str(file), "its folder is not there", "Make the folder, or name another one.")
            )
        if file.is_dir():
            raise UsageError(Problem(str(file), "is a folder", "Name a file in it."))
    return reports


def _document(reporter: Reporter, proof: Proof) -> str:
    """The same as --json."""
    return json.dumps(reporter.envelope(proof.document(), proof.problems(), proof.holds), indent=2) + "\n"


def _show_proof(reporter: Reporter, proof: Proof) -> None:
    rows = [
        (
            bundle.bundle,
            file.file.replace("\n", "\N{REPLACEMENT CHARACTER}"),  # or a name would be a row of its own
            _some(file.dags),
            _seconds(file.old_seconds),
            _seconds(file.new_seconds),
            _state(file),
        )
        for bundle in proof.bundles
        for file in bundle.files
    ]
    if rows:
        reporter.table(("bundle", "file", "dags", "before", "now", ""), rows, right=("before", "now"))
    for bundle in proof.bundles:
        for file in bundle.files:
            for one, more in alike(one for one in file.differences if one.harmless):
                reporter.say(f"harmless: {bundle.bundle}: {file.file}: {place(one)}: {one.why}{more}")
            if file.more:
                reporter.say(f"{bundle.bundle}: {file.file}: {file.more} more differences are not listed")
        for use in bundle.needless:
            asks = f" ({', '.join(use.asks)})" if use.asks else ""
            reporter.say(f"needless from now on: {bundle.bundle}: {use.file}:{use.line}: {use.name}{asks}")
        if bundle.inner:
            reporter.note(
                f"note: {bundle.bundle}: {', '.join(bundle.inner)}: bundles of their own, whose files are "
                "proved there; list these folders in its .airflowignore once Airflow has these bundles"
            )
        if bundle.compared != "all":
            reporter.note(
                f"note: {bundle.bundle}: Airflow {proof.airflow} and {bundle.airflow} serialize Dags "
                "differently: Dags, tags, tasks, their classes and order, and import errors are compared, "
                "nothing else"
            )
    for note in proof.notes:
        reporter.note(f"note: {note}")
    for name in proof.skipped:
        reporter.note(f"note: bundle '{name}' is no folder of this host, and was not looked at")
    same = f", {proof.same_errors()} with the same import error on both sides" if proof.same_errors() else ""
    reporter.say(
        f"{proof.files()} files: {proof.count(EQUAL)} equal, {proof.count(HARMLESS)} harmless, "
        f"{proof.count(DIFFERS)} that differ{same}; against Airflow {proof.airflow}, Python {proof.python}, "
        f"{proof.interpreter}; {proof.seconds:.0f} s"
    )


def _some(names: tuple[str, ...]) -> str:
    """The first names of many."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more or "-"


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.2f}"


def _state(file: ProvedFile) -> str:
    return f"{file.verdict}, import error" if file.same_errors else file.verdict
