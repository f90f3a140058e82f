"""Load a project from disk: envman.toml, environments/*.toml and the files that they name.

All errors of all files are found in one run.
"""

from __future__ import annotations

import errno
import os
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from envman.errors import Problem, SpecError
from envman.names import name_problem, nearest
from envman.spec.inputs import ConstraintSet, Inputs
from envman.spec.merge import ENVIRONMENTS, merge, spec_file
from envman.spec.model import EnvironmentSpec, ProjectSpec
from envman.spec.own_code import own_sources
from envman.spec.parse import parse_environment, parse_project
from envman.spec.project import Environment, Project
from envman.spec.sources import (
    Flattened,
    Read,
    flatten_pyproject,
    flatten_requirements_file,
    flatten_requirements_text,
    read_source,
)
from envman.spec.values import memory_bytes
from envman.system.beneath import folder_beneath, open_beneath

LARGEST_FILE = 16 * 2**20
"""Characters of a file of a project: an Airflow's lock has 2 million."""

PROJECT_FILE = "envman.toml"
UV_CONFIG = "uv.toml"


class ProjectFiles:
    """The files of a project; `edited` holds texts that are tried out before they are written."""

    def __init__(self, directory: Path, edited: Mapping[str, str] | None = None) -> None:
        self.directory = directory
        self._edited = edited or {}
        self._trees: dict[str, str] = {}

    def read(self, path: str) -> str:
        """The text of a file, by its path relative to the project; raises OSError, UnicodeDecodeError.

        No link leads out of the project's folder, nor begins at the machine's root: it is EXDEV then.
        """
        if path in self._edited:
            return self._edited[path]
        try:
            descriptor = open_beneath(str(self.directory), path)
        except OSError as error:
            if error.errno == errno.EXDEV:
                raise OSError(
                    errno.EXDEV, "it is an absolute link, or one out of the project's folder", path
                ) from None
            raise
        with os.fdopen(descriptor, encoding="utf-8") as stream:
            text = stream.read(LARGEST_FILE + 1)
        if len(text) > LARGEST_FILE:
            raise OSError(f"it has more than {LARGEST_FILE:,} characters")
        return text

    def names(self, path: str) -> list[str]:
        """The names in a folder, by its path relative to the project; raises OSError as `read` does."""
        descriptor = folder_beneath(str(self.directory), path)
        try:
            return sorted(os.listdir(descriptor))  # noqa: PTH208
        finally:
            os.close(descriptor)

    def tree(self, path: str) -> str:
        """The digest of a folder with code, which is read once; raises SpecError."""
        if path not in self._trees:
            from envman.spec.source_tree import read_tree  # what no other spec needs

            self._trees[path] = read_tree(str(self.directory), path).digest
        return self._trees[path]

    def specs(self) -> list[str]:
        """The names of the specs in environments/, sorted; raises OSError."""
        try:
            files = os.listdir(self.directory / ENVIRONMENTS)  # noqa: PTH208  # glob finds nothing without rights
        except (FileNotFoundError, NotADirectoryError):
            files = []
        new = (name for folder, name in map(posixpath.split, self._edited) if folder == ENVIRONMENTS)
        return sorted(
            name.removesuffix(".toml")
            for name in {*files, *new}
            if name.endswith(".toml") and name != ".toml"
        )


def load_project(files: ProjectFiles) -> Project:
    """Read and check everything that is declared; raises SpecError with all problems of all files."""
    problems: list[Problem] = []
    declared = _load_project_file(files, problems)
    names = _spec_names(files, problems)
    specs = _load_specs(files, names or (), problems)
    broken = {*(names or ())} - set(specs)
    environments, merge_problems = merge(specs, declared.defaults if declared else None, broken)
    problems += merge_problems
    if declared and names is not None:
        problems += _reference_problems(declared, specs, broken)
    for environment in environments.values():
        problems += load_inputs(files, environment, None)[1]
    uv_config = _uv_config(files, declared, problems)
    if problems or declared is None:
        raise SpecError(_without_repeats(problems))
    directory = str(files.directory)
    return Project(
        directory=directory,
        root=os.path.normpath(files.directory.absolute() / declared.root),
        airflow_version=declared.airflow_version,
        uv_config=uv_config,
        default_environment=declared.default_environment,
        airflow_environment=declared.airflow_environment,
        sandbox_required=declared.sandbox_required,
        environments=environments,
        bundles=declared.bundles,
        teams=declared.teams,
        images=declared.images,
        allowed_triggers=declared.triggerer.allow,
        server_memory=_server_memory(declared.servers.memory or ""),
    )


def load_answers(files: ProjectFiles, environment: str | None) -> tuple[ProjectSpec, Environment | None]:
    """What envman.toml declares, and this environment, None if it is not declared. Of the specs only its own
    is read, and those that it extends. Raises SpecError.
    """
    problems: list[Problem] = []
    declared = _load_project_file(files, problems)
    specs: dict[str, EnvironmentSpec] = {}
    is_there = environment and os.path.lexists(files.directory / spec_file(environment))
    wanted = {environment} if environment and is_there else set()
    while wanted:
        found_specs = _load_specs(files, sorted(wanted), problems)
        specs |= found_specs
        wanted = {base for spec in found_specs.values() for base in spec.extends} - specs.keys()
        if problems:
            break
    environments, found = merge(specs, declared.defaults if declared else None)
    if declared is None or problems or found:
        raise SpecError(_without_repeats([*problems, *found]))
    return declared, environments.get(environment or "")


def load_settings(files: ProjectFiles, unstated: Project) -> Project:
    """What envman.toml says of the deployment's Airflow, of uv and of sandboxes; no spec is read. Raises
    SpecError.
    """
    problems: list[Problem] = []
    declared = _load_project_file(files, problems)
    uv_config = _uv_config(files, declared, problems)
    if problems or declared is None:
        raise SpecError(_without_repeats(problems))
    return replace(
        unstated,
        airflow_version=declared.airflow_version,
        uv_config=uv_config,
        sandbox_required=declared.sandbox_required,
    )


def _server_memory(stated: str) -> str:
    return stated if not stated or stated.endswith("%") else str(memory_bytes(stated))


def _load_project_file(files: ProjectFiles, problems: list[Problem]) -> ProjectSpec | None:
    text = read_source(PROJECT_FILE, files.read, problems)
    if text is None:
        return None
    declared, found = parse_project(text, PROJECT_FILE)
    problems += found
    return declared


def _spec_names(files: ProjectFiles, problems: list[Problem]) -> list[str] | None:
    """The names of the specs; None where nobody can say, so that none is said to be missing."""
    try:
        return files.specs()
    except OSError as error:
        what = f"can't be read: {error.strerror}"
        problems.append(Problem(f"{ENVIRONMENTS}/", what, "Check this user's rights to the folder."))
        return None


def _load_specs(
    files: ProjectFiles, names: Iterable[str], problems: list[Problem]
) -> dict[str, EnvironmentSpec]:
    specs: dict[str, EnvironmentSpec] = {}
    lowered: dict[str, str] = {}
    for name in names:
        file = spec_file(name)
        if wrong := name_problem(name):
            problems.append(Problem(file, wrong, "Give the file another name."))
            continue
        other = lowered.setdefault(name.lower(), name)
        if other != name:
            problems.append(
                Problem(
                    file,
                    f"there is an environment '{other}' already",
                    "Rename one: names differ in more than case.",
                )
            )
            continue
        text = read_source(file, files.read, problems)
        if text is None:
            continue
        spec, found = parse_environment(text, file)
        problems += found
        if spec:
            specs[name] = spec
    if not specs and not problems:
        problems.append(
            Problem(f"{ENVIRONMENTS}/", "there is no spec", "Add environments/NAME.toml, or: envman init")
        )
    return specs


def _reference_problems(
    declared: ProjectSpec, specs: Mapping[str, EnvironmentSpec], broken: set[str]
) -> Iterable[Problem]:
    """What envman.toml names and isn't there; a spec that could not be read has a problem of its own."""
    concrete = [name for name, spec in specs.items() if not spec.abstract]

    def unknown(where: str, name: str | None) -> Iterable[Problem]:
        if name is not None and name not in concrete and name not in broken:
            what = (
                "is abstract: it is never built" if name in specs else f"there is no spec {spec_file(name)}"
            )
            yield Problem(f"{PROJECT_FILE}: {where}", what, nearest(name, concrete))

    yield from unknown("default-environment", declared.default_environment)
    yield from unknown("airflow-environment", declared.airflow_environment)
    for name in declared.images:
        yield from unknown(f"images.{name}", name)
    for team, entry in declared.teams.items():
        yield from unknown(f"teams.{team}.environment", entry.environment)
    for bundle, answer in declared.bundles.items():
        where = f"bundles.{bundle}"
        yield from unknown(f"{where}.environment", answer.environment)
        if answer.environment or declared.default_environment:
            continue
        if answer.team is None:
            remedy = "Give it an environment or a team, or declare a default-environment."
            yield Problem(f"{PROJECT_FILE}: {where}", "has neither an environment nor a team", remedy)
        elif answer.team not in declared.teams:
            remedy = f"Add [teams.{answer.team}] with an environment. {nearest(answer.team, declared.teams)}"
            yield Problem(
                f"{PROJECT_FILE}: {where}.team", f"the team '{answer.team}' has no environment", remedy
            )


def _uv_config(files: ProjectFiles, declared: ProjectSpec | None, problems: list[Problem]) -> str | None:
    named = declared.uv_config if declared else None
    path = named or UV_CONFIG
    if not named and not os.path.lexists(files.directory / path):
        return None
    found: list[Problem] = []
    if read_source(path, files.read, found) is None:
        where = f"{PROJECT_FILE}: uv-config" if named else PROJECT_FILE
        problems += [Problem(where, f"{path}: {one.what}", one.remedy) for one in found]
        return None
    return str(files.directory / path)


def load_inputs(
    files: ProjectFiles, environment: Environment, airflow_version: str | None
) -> tuple[Inputs, list[Problem]]:
    """Read the files that decide a lock; constraints URLs and the files of sources stay unread."""
    sources: dict[str, Flattened] = {"dependencies": Flattened([*environment.dependencies])}
    for path in environment.requirements_files:
        sources[_label("requirements-files", path)] = flatten_requirements_file(path, files.read)
    for number, source in enumerate(environment.pyprojects):
        sources[_label(f"pyprojects[{number}]", source.path)] = flatten_pyproject(source, files.read)
    constraints = [
        _constraint_set(number, entry, files.read) for number, entry in enumerate(environment.constraints)
    ]
    named = {
        *environment.requirements_files,
        *environment.constraints,
        *(p.path for p in environment.pyprojects),
    }
    found = [problem for flattened in sources.values() for problem in flattened.problems]
    found += [problem for _, problems in constraints for problem in problems]
    own, own_problems = own_sources(environment.sources, files)
    named |= {source.path for source in environment.sources}
    found += [
        Problem(f"{environment.file}: sources", problem.what, problem.remedy)
        if problem.where == "sources"
        else problem
        for problem in own_problems
    ]
    problems = [_named_by(environment, problem) if problem.where in named else problem for problem in found]
    inherited = [
        ConstraintSet(f"{label} -c", None, tuple(flattened.constraints))
        for label, flattened in sources.items()
        if flattened.constraints
    ]
    inputs = Inputs(
        environment=environment.name,
        requires_python=environment.requires_python,
        platforms=environment.platforms,
        airflow_version=airflow_version if environment.airflow else None,
        requirements={label: tuple(flattened.requirements) for label, flattened in sources.items()},
        constraints=(*(entry for entry, _ in constraints), *inherited),
        overrides=environment.overrides,
        exclude_newer=environment.exclude_newer,
        exclude_newer_except=environment.exclude_newer_except,
        no_build=environment.no_build,
        sources={_label("sources", source.path): source for source in own},
    )
    return inputs, problems


def with_trees(inputs: Inputs, files: ProjectFiles) -> Inputs:
    """The inputs with the files of every source read; raises SpecError with all problems of them."""
    trees: dict[str, str] = {}
    problems: list[Problem] = []
    for source in inputs.sources.values():
        try:
            trees[source.path] = files.tree(source.path)
        except SpecError as error:
            by = f"a source of '{inputs.environment}'"
            problems += (Problem(f"{one.where} ({by})", one.what, one.remedy) for one in error.problems)
    if problems:
        raise SpecError(_without_repeats(problems))
    return replace(inputs, trees=trees)


def _named_by(environment: Environment, problem: Problem) -> Problem:
    """A problem of a whole file, with the spec that names the file."""
    return Problem(f"{problem.where} (named by {environment.file})", problem.what, problem.remedy)


def _label(key: str, path: str) -> str:
    return f"{key} {quote(path, safe='/._-+@~', errors='surrogatepass')}"


def _constraint_set(number: int, entry: str, read: Read) -> tuple[ConstraintSet, list[Problem]]:
    if "://" in entry:
        return ConstraintSet(f"constraints[{number}]", entry, None), []
    flattened = flatten_requirements_file(entry, read)
    lines = (*flattened.requirements, *flattened.constraints)
    return ConstraintSet(_label("constraints", entry), None, lines), flattened.problems


def with_fetched(inputs: Inputs, fetch: Read) -> Inputs:
    """The inputs with every constraints URL read; raises SpecError for one that holds something else."""
    constraints: list[ConstraintSet] = []
    problems: list[Problem] = []
    for entry in inputs.constraints:
        if entry.url is None or entry.lines is not None:
            constraints.append(entry)
            continue
        flattened = flatten_requirements_text(fetch(entry.url), f"{inputs.environment}: {entry.label}")
        problems += flattened.problems
        constraints.append(replace(entry, lines=tuple(flattened.requirements)))
    if problems:
        raise SpecError(problems)
    return replace(inputs, constraints=tuple(constraints))


def _without_repeats(problems: Iterable[Problem]) -> list[Problem]:
    return list(dict.fromkeys(problems))
