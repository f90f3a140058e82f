"""What a project publishes: the table of its bundles, teams and environments, or of some of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from envman.resolver.table import render_table
from envman.spec.model import ProjectSpec
from envman.spec.project import Environment, Project, ResourceLimits


def project_table(project: Project) -> str:
    """The text of the table that a build publishes."""
    return answers_table(project, project.environments.values(), _records(project))


def answers_table(
    declared: Project | ProjectSpec,
    environments: Iterable[Environment],
    records: Iterable[tuple[str, ...]] = (),
) -> str:
    """A table of what is declared of bundles and teams, and of these environments."""
    return render_table(
        {name: (entry.environment or "", entry.team or "") for name, entry in declared.bundles.items()},
        {name: entry.environment for name, entry in declared.teams.items()},
        {entry.name: (entry.keep_out, entry.set_variables) for entry in environments},
        declared.default_environment,
        records,
    )


def project_part(project: Project, names: Collection[str]) -> Project:
    """The project with some of its environments, and the bundles and teams that lead there.

    Where the default environment is among them, all bundles and teams stay: one that leads elsewhere must
    not be answered by the default.
    """
    default = project.default_environment if project.default_environment in names else None
    teams = {name: team for name, team in project.teams.items() if default or team.environment in names}
    bundles = {
        name: bundle
        for name, bundle in project.bundles.items()
        if default or (bundle.environment in names if bundle.environment else bundle.team in teams)
    }
    return replace(
        project,
        bundles=bundles,
        teams=teams,
        environments={name: project.environments[name] for name in sorted(names)},
        default_environment=default,
        airflow_environment=project.airflow_environment if project.airflow_environment in names else None,
        images={},
    )


def _records(project: Project) -> list[tuple[str, ...]]:
    records: list[tuple[str, ...]] = [("components", "-", project.airflow_environment or "")]
    records += [("bundle-queue", name, bundle.queue or "") for name, bundle in project.bundles.items()]
    records += [("shared", name, *bundle.shared) for name, bundle in project.bundles.items() if bundle.shared]
    records += [("team-queue", name, team.queue or "") for name, team in project.teams.items()]
    records += [("image", name, image) for name, image in project.images.items()]
    records += [("trigger", pattern, "-") for pattern in project.allowed_triggers]
    if project.server_memory:
        records.append(("servers", "-", f"memory={project.server_memory}"))
    for environment in project.environments.values():
        records += _running(environment)
        handed = [credential.text() for credential in environment.credentials]
        records.append(("credentials", environment.name, *(handed or [""])))
    return [record for record in records if record[2]]


def _running(environment: Environment) -> list[tuple[str, str, str]]:
    """How the environment's workloads run, as records of the table; a value is empty where none is stated."""
    name, user = environment.name, environment.user
    return [
        ("warm", name, "" if environment.warm else "false"),
        ("preload", name, " ".join(environment.preload)),
        ("server-idle", name, str(environment.server_idle or "")),
        ("user", name, f"{user}:{environment.group}" if user else ""),
        ("limits", name, _limits(environment.limits)),
        ("pass", name, " ".join(environment.passed)),
    ]


def _limits(limits: ResourceLimits) -> str:
    cpu = None if limits.cpu is None else str(limits.cpu).removesuffix(".0")
    stated = {"memory": limits.memory, "cpu": cpu, "pids": limits.pids}
    return " ".join(f"{key}={value}" for key, value in stated.items() if value is not None)
