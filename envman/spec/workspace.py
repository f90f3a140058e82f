"""What a use case works on: the loaded project, its files, and the children of this run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from envman.errors import Problem, UsageError
from envman.names import nearest
from envman.spec.inputs import Inputs
from envman.spec.load import (
    ProjectFiles,
    load_answers,
    load_inputs,
    load_project,
    load_settings,
    with_trees,
)
from envman.spec.project import Environment, Project
from envman.spec.publication import answers_table, project_part, project_table
from envman.system.processes import Processes


@dataclass(frozen=True)
class Workspace:
    """A loaded project."""

    files: ProjectFiles
    project: Project
    processes: Processes = field(default_factory=Processes)

    def at_root(self, root: str) -> Workspace:
        """The same project with its environments below another root folder."""
        return replace(self, project=replace(self.project, root=root))

    def choose(self, names: Iterable[str]) -> list[Environment]:
        """The environments of these names, all where none is given; raises UsageError for unknown ones."""
        environments = self.project.environments
        wanted = list(dict.fromkeys(names)) or list(environments)
        problems = [
            Problem(f"environment '{name}'", "no such environment is declared", nearest(name, environments))
            for name in wanted
            if name not in environments
        ]
        if problems:
            raise UsageError(problems)
        return [environments[name] for name in wanted]

    def lock_path(self, environment: Environment) -> Path:
        """Where the environment's lock stands."""
        return self.files.directory / environment.lock_file

    def inputs(self, environment: Environment) -> Inputs:
        """What decides an environment's lock, constraints URLs unread; raises SpecError."""
        inputs, _ = load_inputs(self.files, environment, self.project.airflow_version)
        return with_trees(inputs, self.files)

    def table(self) -> str:
        """The table that a build publishes."""
        return project_table(self.project)

    def table_of(self, names: Collection[str]) -> str:
        """The table of an image with some of the environments."""
        return project_table(project_part(self.project, names))


def declared_answers(directory: Path, environment: str | None) -> str:
    """A table of the bundles and teams that envman.toml declares, and of this environment: no other's spec is
    read. Raises SpecError.
    """
    declared, found = load_answers(ProjectFiles(directory), environment)
    return answers_table(declared, [found] if found else [])


def without_specs(directory: Path, has_project: bool) -> Workspace:
    """What a use case works on that needs no spec: what envman.toml says of Airflow, uv and sandboxes, and
    nothing where there is none. Raises SpecError.
    """
    files = ProjectFiles(directory)
    nothing = Project(str(directory), "/venv", None, None, None, None, False, {}, {}, {}, {}, (), "")
    return Workspace(files, load_settings(files, nothing) if has_project else nothing)


def open_workspace(directory: Path, edited: Mapping[str, str] | None = None) -> Workspace:
    """Load the project in a folder; raises SpecError with all its problems."""
    files = ProjectFiles(directory, edited)
    return Workspace(files, load_project(files))
