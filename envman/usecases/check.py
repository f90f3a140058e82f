"""`envman check`: parse a bundle's files in its environment, as the Dag processor would."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envman.errors import Problem, UsageError
from envman.launch.airflow_config import read_airflow_bundles
from envman.launch.root import current_generation, read_table
from envman.processes import Processes
from envman.resolver.resolve import resolve_bundle, resolve_environment
from envman.resolver.table import Table
from envman.store.generations import read_manifest
from envman.usecases.inside import inside_environment

SCRIPT = "check.py"


@dataclass(frozen=True)
class CheckRequest:
    """What to parse, as which bundle; `environment` instead of the bundle's; seconds for each file."""

    bundle: str
    path: Path
    environment: str | None = None
    timeout: float | None = None


@dataclass(frozen=True)
class ParsedDag:
    """A Dag, and how many tasks it has."""

    dag: str
    tasks: int


@dataclass(frozen=True)
class FileError:
    """Why a file, or one in an archive, could not be parsed: Airflow's own text."""

    file: str
    text: str


@dataclass(frozen=True)
class ParsedFile:
    """One file, relative to the bundle's folder, and what the Dag processor would learn from it."""

    file: str
    seconds: float
    dags: tuple[ParsedDag, ...]
    errors: tuple[FileError, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class CheckOutcome:
    """All files that the Dag processor would parse, and where they were parsed."""

    bundle: str
    path: str
    environment: str
    generation: str
    interpreter: str
    airflow: str
    files: tuple[ParsedFile, ...]

    def problems(self) -> list[Problem]:
        """What would be an import error in Airflow; and a bundle without any Dag."""
        found = [
            Problem(error.file, _last_line(error.text), self._remedy(error))
            for file in self.files
            for error in file.errors
        ]
        if not found and not any(file.dags for file in self.files):
            what = f"no file gives a Dag; {len(self.files)} look as if they could"
            remedy = "Pass the bundle's folder; a file counts that has the words 'airflow' and 'dag' in it."
            found.append(Problem(self.path, what, remedy))
        return found

    def _remedy(self, error: FileError) -> str:
        if "ModuleNotFoundError" in error.text:
            return f"Add what it needs to the environment: envman add {self.environment} PACKAGE"
        if "Traceback" in error.text:
            return "Correct the file; its whole traceback is on standard error, and in --json."
        command = f"envman exec --environment {self.environment} -- python -X faulthandler {error.file}"
        return f"Run it alone: {command}"


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("*")]
    return lines[-1].strip() if lines else "can't be parsed"


def check(
    root: str,
    request: CheckRequest,
    processes: Processes,
    environ: Mapping[str, str],
    on_line: Callable[[str], None] | None = None,
) -> CheckOutcome:
    """Parse a bundle's files; `on_line` gets what they print.

    Raises UsageError for a path that isn't there, ResolveError for a bundle without an environment,
    InsideError where the environment has no Airflow that parses.
    """
    if not request.path.exists():
        what = "there is no such file or folder"
        raise UsageError(Problem(str(request.path), what, "Pass the folder in which the bundle's Dags are."))
    table = read_table(root)
    environment = _environment(table, request, environ)
    generation = current_generation(root, environment)
    manifest = read_manifest(root, generation)
    limit = {"AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": str(request.timeout)} if request.timeout else {}
    with (
        tempfile.TemporaryDirectory(prefix="envman-check-") as home,
        inside_environment(root, table, environment, {**environ, **limit}, home) as inside,
    ):
        asked = {"path": str(request.path.absolute()), "bundle": request.bundle, "timeout": request.timeout}
        answer = inside.ask(processes, SCRIPT, asked, on_line=on_line)
    return CheckOutcome(
        bundle=request.bundle,
        path=str(request.path),
        environment=environment,
        generation=generation,
        interpreter=manifest.interpreter.describe() if manifest else "",
        airflow=answer["airflow"],
        files=tuple(_parsed(file) for file in answer["files"]),
    )


def _environment(table: Table, request: CheckRequest, environ: Mapping[str, str]) -> str:
    if request.environment:
        return resolve_environment(table, request.environment).environment
    return resolve_bundle(table, request.bundle, lambda: read_airflow_bundles(environ)).environment


def _parsed(file: Mapping[str, Any]) -> ParsedFile:
    return ParsedFile(
        file=file["file"],
        seconds=file["seconds"],
        dags=tuple(ParsedDag(**dag) for dag in file["dags"]),
        errors=tuple(FileError(name, text) for name, text in file["errors"].items()),
        warnings=tuple(file["warnings"]),
    )
