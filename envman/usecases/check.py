"""`envman check`: parse a bundle's files in its environment, as the Dag processor would."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from envman.deployment.environment_script import inside_environment
from envman.errors import Problem, ResolveError, UsageError
from envman.inside.protocol import RUN
from envman.launch.airflow_configuration import AirflowConfiguration
from envman.launch.asked_variables import asked_variables
from envman.launch.purpose import Purpose, kept_back, purpose_of_bundle, purpose_of_environment
from envman.resolver.snapshot import Snapshot
from envman.store.folder import Store
from envman.store.root import take_snapshot
from envman.system.processes import Processes

if TYPE_CHECKING:
    from envman.inside.reports import (
        FileReport,
        ParseReport,
        ParseRequest,
        ReadReport,
        ReadRequest,
        UnreadableReport,
    )

SCRIPT = (RUN, "parse_files")
READ_SCRIPT = (RUN, "readable")


@dataclass(frozen=True)
class CheckRequest:
    """What to parse, as which bundle; `environment` instead of the bundle's, and `generation` instead of its
    current one; seconds for each file.
    """

    bundle: str
    path: Path
    environment: str | None = None
    timeout: float | None = None
    generation: str | None = None


@dataclass(frozen=True)
class ParsedDag:
    """A Dag, and how many tasks it has."""

    dag: str
    tasks: int


@dataclass(frozen=True)
class FileError:
    """Why a file, or one in an archive, is an import error: Airflow's text; `remedy` is a part of it."""

    file: str
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class AskedVariable:
    """A variable of the caller's that a file names as a string, and that no workload gets."""

    variable: str
    file: str


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
    """All files that the Dag processor would parse, and where they were parsed.

    `plugins` are those of Airflow's that can't be imported there. `unread` is why nobody looked whether
    Airflow's components can read the Dags; empty where somebody did, or nobody has to. `shared` are shared
    folders of the bundle that its code does not get.
    """

    bundle: str
    path: str
    environment: str
    generation: str
    interpreter: str
    airflow: str
    files: tuple[ParsedFile, ...]
    plugins: tuple[FileError, ...] = ()
    variables: tuple[AskedVariable, ...] = ()
    unread: str = ""
    shared: tuple[FileError, ...] = ()

    def problems(self) -> list[Problem]:
        """What would be an import error in Airflow; and a bundle without any Dag."""
        found = [
            Problem(error.file, _headline(error), self._remedy(error))
            for file in self.files
            for error in file.errors
        ]
        found += [Problem(f"shared '{one.file}'", one.text, one.remedy) for one in self.shared]
        if not found and not any(file.dags for file in self.files):
            what = f"no file gives a Dag; {len(self.files)} look as if they could"
            remedy = "Pass the bundle's folder; a file counts that has the words 'airflow' and 'dag' in it."
            found.append(Problem(self.path, what, remedy))
        return found

    def _remedy(self, error: FileError) -> str:
        if error.remedy:
            return error.remedy
        if "ModuleNotFoundError" in error.text:
            return f"Add what it needs to the environment: envman add {self.environment} PACKAGE"
        if "Traceback" in error.text:
            return "Correct the file; its whole traceback is on standard error, and in --json."
        if error.text.startswith("Parsing it"):
            command = f"envman exec --environment {self.environment} -- python -X faulthandler {error.file}"
            return f"Run it alone: {command}"
        return "Correct the file; or a policy of the deployment (airflow_local_settings) is what refuses it."


def _headline(error: FileError) -> str:
    """What went wrong, in a line; a traceback says so in its last one."""
    text = error.text.removesuffix(error.remedy) if error.remedy else error.text
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("*")]
    return lines[-1].strip() if lines else "can't be parsed"


def check(
    store: Store,
    request: CheckRequest,
    processes: Processes,
    environ: Mapping[str, str],
    on_line: Callable[[str], None] | None = None,
    on_dags: Callable[[str], None] | None = None,
) -> CheckOutcome:
    """Parse a bundle's files; `on_line` gets what they print, `on_dags` the Dags as Airflow serialized them,
    a line of JSON for each (SerializedReport).

    Raises UsageError for a path that isn't there, ResolveError for a bundle without an environment,
    InsideError where the environment has no Airflow that parses.
    """
    if not request.path.exists():
        what = "there is no such file or folder"
        raise UsageError(Problem(str(request.path), what, "Pass the folder in which the bundle's Dags are."))
    snapshot = take_snapshot(store.root, AirflowConfiguration(environ).bundles)
    purpose = _purpose(snapshot, request, environ)
    environment = purpose.environment
    generation = request.generation or snapshot.generation(environment)
    of_purpose = _in_generation(snapshot, generation) if request.generation else snapshot
    manifest = store.manifest(generation)
    limit = {"AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": str(request.timeout)} if request.timeout else {}
    with _places() as (home, dags):
        with inside_environment(of_purpose, purpose, {**environ, **limit}, str(home)) as inside:
            inside.give(dags)
            asked: ParseRequest = {
                "path": str(request.path.absolute()),
                "bundle": request.bundle,
                "timeout": request.timeout,
                "dags": str(dags),
                "shared": snapshot.table.shared(request.bundle),
            }
            answer: ParseReport = inside.ask(processes, SCRIPT, asked, on_line=on_line)
            names = kept_back(inside.variables, environ)
        read: ReadRequest = {
            "dags": str(dags),
            "environment": environment,
            "libraries": [str(path) for path in store.folder(generation).glob("lib/python3*/site-packages")],
        }
        unreadable, unread = _unreadable(snapshot, read, environ, processes)
        if on_dags:
            on_dags(dags.read_text(encoding="utf-8", errors="replace"))
    return CheckOutcome(
        bundle=request.bundle,
        path=str(request.path),
        environment=environment,
        generation=generation,
        interpreter=manifest.interpreter.describe() if manifest else "",
        airflow=answer["airflow"],
        files=tuple(_without(_parsed(file), unreadable) for file in answer["files"]),
        plugins=tuple(FileError(name, text) for name, text in answer["plugins"].items()),
        variables=tuple(AskedVariable(*one) for one in asked_variables(_folder(request.path), names).items()),
        unread=unread,
        shared=tuple(_unshared(_folder(request.path), asked["shared"], answer["hidden"])),
    )


@contextmanager
def _places() -> Iterator[tuple[Path, Path]]:
    """A home for Airflow, and a file for Dags, which the environment's user can reach."""
    with tempfile.TemporaryDirectory(prefix="envman-check-") as folder:
        home, dags = Path(folder, "home"), Path(folder, "dags")
        home.mkdir()
        dags.touch()
        Path(folder).chmod(0o711)
        yield home, dags


def _in_generation(snapshot: Snapshot, generation: str) -> Snapshot:
    """The same look at the world, but that every environment is in this generation."""
    return Snapshot(snapshot.root, snapshot.table, snapshot.airflow, lambda _: generation)


def _unshared(folder: str, places: Iterable[str], hidden: Mapping[str, str]) -> Iterator[FileError]:
    """The shared folders that the bundle's code can't import, or does not get."""
    for place in places:
        name = place.rpartition("/")[2]
        own = [path for path in (Path(folder, name), Path(folder, f"{name}.py")) if path.exists()]
        if not Path(folder, place).is_dir():
            remedy = (
                "Correct `shared` of the bundle in envman.toml; paths count from the bundle's own folder."
            )
            yield FileError(place, f"there is no such folder beside {folder}", remedy)
        elif place != name and (place in hidden or own):
            what = f"'import {name}' gives something else: {hidden.get(place) or own[0]}"
            yield FileError(place, what, "Rename the folder, or the other one.")


def _unreadable(
    snapshot: Snapshot, asked: ReadRequest, environ: Mapping[str, str], processes: Processes
) -> tuple[list[UnreadableReport], str]:
    """The Dags that Airflow's components can't read, or why that can't be said."""
    components = snapshot.table.components()
    if not components or components == asked["environment"]:
        return [], ""
    purpose = purpose_of_environment(snapshot, components, environ)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="envman-check-") as home,
            inside_environment(snapshot, purpose, environ, home) as inside,
        ):
            answer: ReadReport = inside.ask(processes, READ_SCRIPT, asked)
    except ResolveError as error:  # a team's CI may have built that team's environment alone
        return [], f"{error.problems[0].where} {error.problems[0].what}"
    return answer["unreadable"], ""


def _without(file: ParsedFile, unreadable: list[UnreadableReport]) -> ParsedFile:
    """The file as the Dag processor takes it: a Dag that the components can't read is an import error."""
    mine = {one["dag"]: one for one in unreadable if one["file"] == file.file}
    told = [FileError(file.file, f"{one['what']}\n{one['remedy']}", one["remedy"]) for one in mine.values()]
    dags = tuple(dag for dag in file.dags if dag.dag not in mine)
    return replace(file, dags=dags, errors=(*file.errors, *told))


def _purpose(snapshot: Snapshot, request: CheckRequest, environ: Mapping[str, str]) -> Purpose:
    if request.environment:
        return purpose_of_environment(snapshot, request.environment, environ)
    return purpose_of_bundle(snapshot, request.bundle, environ)


def _folder(path: Path) -> str:
    return str(path if path.is_dir() else path.parent)


def _parsed(file: FileReport) -> ParsedFile:
    return ParsedFile(
        file=file["file"],
        seconds=file["seconds"],
        dags=tuple(ParsedDag(**dag) for dag in file["dags"]),
        errors=tuple(FileError(name, text) for name, text in file["errors"].items()),
        warnings=tuple(file["warnings"]),
    )
