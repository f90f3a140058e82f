"""`envman adopt init`: read a live Airflow, and write a project beside it that gives the same environment."""

from __future__ import annotations

import errno
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from envman.adoption.airflow_stage import Way, airflow_stage, changed_components
from envman.adoption.findings_of_adoption import notes
from envman.adoption.found_airflow import FoundAirflow
from envman.adoption.live_probe import LiveAirflowError, ask_live_airflow
from envman.adoption.project_text import ENVIRONMENT, AdoptedProject, project_files
from envman.adoption.start_commands import PLAIN, ChangedFile, NewCommand, StartKind, changed_file
from envman.adoption.start_diff import start_diff
from envman.adoption.start_files import (
    StartFile,
    WantedStarts,
    given_files,
    stated_executor,
    unit_variables,
    usual_files,
)
from envman.adoption.todays_versions import (
    Contradiction,
    Doubt,
    LeftOut,
    VersionDifference,
    differences,
    expected_differences,
    todays_versions,
)
from envman.errors import Problem, SpecError, UsageError, printable
from envman.lock.lockfile import Pin
from envman.resolver.inherited import SYSTEM
from envman.resolver.variables import matches
from envman.spec.workspace import open_workspace
from envman.system.files import file_problem, remove_tree, write_atomic
from envman.system.processes import Processes

RECORD = "adoption.json"
IN_IMAGES = "/opt/envman/bin/envman"
ROOT_IN_IMAGES = "/venv"


@dataclass(frozen=True)
class AdoptRequest:
    """What was asked for; an empty `program` (envman's path where components start) or `root` is the usual
    one.
    """

    interpreter: Path
    folder: Path
    starts: WantedStarts
    program: str = ""
    root: str = ""


@dataclass(frozen=True)
class ChangedStart:
    """A file that starts components, those that were found in it, and whether the diff changes it."""

    file: str
    kind: str
    components: tuple[str, ...]
    changed: bool
    by_hand: tuple[str, ...]


@dataclass(frozen=True)
class AdoptOutcome:
    """What was found and written; `found` is the whole answer of the live interpreter, checked."""

    folder: str
    interpreter: str
    python: str
    airflow: str
    way: str
    environment: str
    root: str
    providers: tuple[str, ...]
    pins: tuple[str, ...]
    overrides: tuple[str, ...]
    differences: tuple[VersionDifference, ...]
    left_out: tuple[LeftOut, ...]
    doubts: tuple[Doubt, ...]
    contradictions: tuple[Contradiction, ...]
    starts: tuple[ChangedStart, ...]
    notes: tuple[str, ...]
    files: tuple[str, ...]
    found: dict[str, Any]


def adopt_init(request: AdoptRequest, environ: Mapping[str, str], processes: Processes) -> AdoptOutcome:
    """Read the live Airflow and write the project; a folder that has something in it is left alone.

    Raises UsageError, LiveAirflowError, OSError.
    """
    folder, interpreter = _absolute(request.folder), _absolute(request.interpreter)
    _refuse_a_folder_in_use(folder)
    files = given_files(request.starts) or usual_files([Path.cwd()])
    of_units = unit_variables(files)
    variables = {**environ, **of_units.variables}
    live = ask_live_airflow(processes, interpreter, variables, [folder.parent])
    _refuse_what_is_no_airflow(live, interpreter)
    _refuse_a_folder_of_dags(folder, live)
    stage = airflow_stage(live.airflow)
    root, published = _root(request, folder, files)
    components = changed_components(stated_executor(files) or live.setting("core", "executor"))
    starts = _changed(files, NewCommand(request.program, published, ENVIRONMENT, stage.way, components))
    project = AdoptedProject(
        interpreter=str(interpreter),
        live=live,
        stage=stage,
        today=todays_versions(live.installed(), live.python),
        root=root,
        published=published,
        starts=starts,
        diff=start_diff(starts),
    )
    told = (
        *of_units.notes,
        *_not_passed(of_units.others, stage.way),
        *notes(live, project.today, starts),
        *stage.notes,
    )
    return _written(project_files(project), _outcome(project, folder, told))


def _not_passed(names: Iterable[str], way: Way) -> Iterator[str]:
    """What to do for variables of the units that workloads of shared components do not get by themselves."""
    passed = [printable(name) for name in names if not matches(name, SYSTEM)]
    if passed and way is Way.SHARED:
        listed = ", ".join(f'"{name}"' for name in passed)
        yield (
            f"Units set {', '.join(passed)}: Dags and tasks get other variables than the usual ones only if "
            f"the spec says so: [variables] pass = [{listed}]"
        )


def _absolute(path: Path) -> Path:
    """A path without `..`; a link stays one, as the interpreter of a virtual environment is one."""
    return Path(os.path.normpath(path.absolute()))


def _refuse_a_folder_in_use(folder: Path) -> None:
    try:
        is_empty = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    except OSError as error:
        raise UsageError(file_problem(str(folder), error)) from None
    if folder.is_symlink() or not is_empty:
        what = "there is a project here already" if (folder / "envman.toml").exists() else "is there already"
        raise UsageError(
            Problem(str(folder), what, "Name a new folder: envman adopt init --airflow PYTHON DIR")
        )


def _refuse_what_is_no_airflow(live: FoundAirflow, interpreter: Path) -> None:
    where = f"--airflow {interpreter}"
    if not live.airflow:
        what = f"has no Airflow, among {len(live.distributions)} packages in {live.python.prefix}"
        remedy = (
            "Pass the interpreter that Airflow's components run in: see the first line of `which airflow`."
        )
        raise LiveAirflowError(Problem(where, what, remedy))
    try:
        Version(live.python.version)
        Version(live.airflow)
    except InvalidVersion:
        what = f"says that it is Python '{live.python.version}' with Airflow '{live.airflow}'"
        raise LiveAirflowError(Problem(where, what, "Pass another interpreter.")) from None


def _refuse_a_folder_of_dags(folder: Path, live: FoundAirflow) -> None:
    """Airflow reads what is in these folders."""
    real = Path(os.path.realpath(folder))
    for place in (live.plugins_folder, *(one.folder for one in live.folders)):
        if place and real.is_relative_to(os.path.realpath(place)):
            what = f"is in {place}, where Airflow looks for Dags or plugins"
            raise UsageError(Problem(str(folder), what, "Name a folder elsewhere."))


def _root(request: AdoptRequest, folder: Path, files: Sequence[StartFile]) -> tuple[str, str]:
    """The root folder as envman.toml has it, and its whole path."""
    if request.root:
        root = str(_absolute(Path(request.root)))
    elif files and all(one.kind in _IN_CONTAINERS for one in files):
        root = ROOT_IN_IMAGES
    else:
        return ".venvs", str(folder / ".venvs")
    return root, root


_IN_CONTAINERS = (StartKind.COMPOSE, StartKind.HELM)


def _changed(files: Sequence[StartFile], command: NewCommand) -> tuple[ChangedFile, ...]:
    """What starts components, each with its new commands; raises UsageError for paths with blanks."""
    own = str(Path(sys.executable).parent / "envman")
    here = own if Path(own).is_file() else IN_IMAGES
    found: list[ChangedFile] = []
    for file in files:
        program = command.program or (IN_IMAGES if file.kind in _IN_CONTAINERS else here)
        for option, path in (("--envman", program), ("--root", command.root)):
            if not PLAIN.fullmatch(path) or not path.startswith("/"):
                remedy = "Pass an absolute path of letters, digits and _ @ + = : , . / -"
                raise UsageError(Problem(option, f"'{path}' can't stand in a start command", remedy))
        changed = changed_file(file.path, file.kind, file.text, replace(command, program=program))
        if changed.components or changed.by_hand:
            found.append(changed)
    return tuple(found)


def _outcome(project: AdoptedProject, folder: Path, told: Sequence[str]) -> AdoptOutcome:
    live, today = project.live, project.today
    return AdoptOutcome(
        folder=str(folder),
        interpreter=project.interpreter,
        python=live.python.version,
        airflow=project.stage.version,
        way=project.stage.way.value,
        environment=ENVIRONMENT,
        root=project.published,
        providers=live.that_provide("apache_airflow_provider"),
        pins=today.pins,
        overrides=today.overrides,
        differences=expected_differences(today.left_out),
        left_out=today.left_out,
        doubts=today.doubts,
        contradictions=today.contradictions,
        starts=tuple(
            ChangedStart(one.path, one.kind.value, one.components, one.old != one.new, one.by_hand)
            for one in project.starts
        ),
        notes=tuple(map(printable, told)),
        files=(),
        found=live.model_dump(mode="json"),
    )


def _written(files: Mapping[str, str], outcome: AdoptOutcome) -> AdoptOutcome:
    """Write the project beside its place, see that envman can read it, and only then put it there."""
    folder = Path(outcome.folder)
    outcome = replace(outcome, files=(*files, RECORD))
    record = json.dumps(asdict(outcome), indent=2) + "\n"
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".new", dir=folder.parent))
    try:
        for name, text in {**files, RECORD: record}.items():
            write_atomic(beside / name, text)
        open_workspace(beside)  # what the interpreter said may have made it wrong
        beside.chmod(0o755)
        _put(beside, folder)
    except SpecError as error:
        what = f"says something that no spec can hold: {error.problems[0].what}"
        where = f"--airflow {outcome.interpreter}"
        raise LiveAirflowError(Problem(where, what, "Mend it there: " + error.problems[0].where)) from None
    finally:
        if beside.exists():
            remove_tree(beside)
    return outcome


def _put(made: Path, folder: Path) -> None:
    """Give the project its name, unless somebody has put something there; raises UsageError."""
    try:
        made.rename(folder)
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:
            raise
        raise UsageError(Problem(str(folder), "is there by now", "Name a new folder.")) from None


def with_lock(outcome: AdoptOutcome, pins: Sequence[Pin]) -> AdoptOutcome:
    """The outcome with the differences between today's set and the lock, as far as it applies here."""
    markers = {**outcome.found["python"]["markers"], "extra": ""}
    locked = {pin.name: pin.version for pin in pins if pin.applies(markers)}
    return replace(outcome, differences=differences(outcome.pins, outcome.left_out, locked))
