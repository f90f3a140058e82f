"""What a use case works on: the loaded project, its files, and the children of this run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from envman.errors import Problem, UsageError
from envman.processes import Processes
from envman.project import ProjectFiles, load_project
from envman.resolver.table import render_table
from envman.spec.names import nearest
from envman.spec.project import Environment, Limits, Project


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

    def table(self) -> str:
        """The table that a build publishes."""
        return _table(self.project)

    def table_of(self, names: Collection[str]) -> str:
        """The table of an image with some of the environments, and the bundles and teams that lead there.

        Where the default environment is among them, all bundles and teams stay: one that leads elsewhere must
        not be answered by the default.
        """
        project = self.project
        default = project.default_environment if project.default_environment in names else None
        teams = {name: team for name, team in project.teams.items() if default or team.environment in names}
        bundles = {
            name: bundle
            for name, bundle in project.bundles.items()
            if default or (bundle.environment in names if bundle.environment else bundle.team in teams)
        }
        components = project.airflow_environment if project.airflow_environment in names else None
        return _table(
            replace(
                project,
                bundles=bundles,
                teams=teams,
                environments={name: project.environments[name] for name in sorted(names)},
                default_environment=default,
                airflow_environment=components,
                images={},
            )
        )


def _table(project: Project) -> str:
    return render_table(
        {name: (entry.environment or "", entry.team or "") for name, entry in project.bundles.items()},
        {name: entry.environment for name, entry in project.teams.items()},
        {name: (entry.keep_out, entry.set_variables) for name, entry in project.environments.items()},
        project.default_environment,
        _records(project),
    )


def _records(project: Project) -> list[tuple[str, str, str]]:
    records = [("bundle-queue", name, bundle.queue or "") for name, bundle in project.bundles.items()]
    records += [("team-queue", name, team.queue or "") for name, team in project.teams.items()]
    records += [("image", name, image) for name, image in project.images.items()]
    records.append(("components", "-", project.airflow_environment or ""))
    records += [("trigger", pattern, "-") for pattern in project.allowed_triggers]
    for environment in project.environments.values():
        records += _running(environment)
    return [record for record in records if record[2]]


def _running(environment: Environment) -> list[tuple[str, str, str]]:
    """How the environment's workloads run, as records of the table; a value is empty where none is stated."""
    name, user = environment.name, environment.user
    return [
        ("warm", name, "" if environment.warm else "false"),
        ("preload", name, " ".join(environment.preload)),
        ("user", name, f"{user}:{environment.group}" if user else ""),
        ("limits", name, _limits(environment.limits)),
        ("pass", name, " ".join(environment.passed)),
    ]


def _limits(limits: Limits) -> str:
    cpu = None if limits.cpu is None else str(limits.cpu).removesuffix(".0")
    stated = {"memory": limits.memory, "cpu": cpu, "pids": limits.pids}
    return " ".join(f"{key}={value}" for key, value in stated.items() if value is not None)


def open_workspace(directory: Path, edited: Mapping[str, str] | None = None) -> Workspace:
    """Load the project in a folder; raises SpecError with all its problems."""
    files = ProjectFiles(directory, edited)
    return Workspace(files, load_project(files))
