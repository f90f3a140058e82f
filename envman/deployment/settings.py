"""The settings of Airflow that a deployment needs so that its bundles and teams are envman's."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from envman.errors import Problem
from envman.resolver.table import Table

EXAMPLES = "example_dags"
"""The bundle of Airflow's own example Dags."""

EXAMPLES_OF_PROVIDERS = "-example-dags"
"""How the names of the bundles with providers' example Dags end."""

BUNDLE_LIST = ("dag_processor", "dag_bundle_config_list")
_REGISTER = (
    "Say in envman.toml where it is, by its path or classpath; or add it to Airflow's list of bundles."
)


@dataclass(frozen=True)
class Setting:
    """An option of Airflow's and its value, of the whole deployment or of one team."""

    section: str
    option: str
    value: str
    team: str | None = None

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        team = f"{self.team.upper()}___" if self.team else ""
        return f"AIRFLOW__{team}{self.section.upper()}__{self.option.upper()}"

    @property
    def heading(self) -> str:
        """The section of airflow.cfg that it stands in."""
        return f"{self.team}={self.section}" if self.team else self.section


@dataclass(frozen=True)
class WantedSettings:
    """What was asked for, beside what is always needed.

    `executors` are Airflow's names of executors, those of a team as TEAM=EXECUTOR.
    """

    multi_team: bool
    executors: tuple[str, ...] = ()
    kubernetes: bool = False


@dataclass(frozen=True)
class AirflowSettings:
    """Airflow's options, envman's own variables, notes for what can't be set, and what is wrong."""

    options: tuple[Setting, ...]
    variables: Mapping[str, str]
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = field(default=())


def with_sources(
    entries: Sequence[Mapping[str, object]], sources: Mapping[str, Mapping[str, object]]
) -> list[Mapping[str, object]]:
    """Airflow's bundles with the sources that are declared: in their places, new ones at the end."""
    replaced = [{**entry, **sources.get(str(entry["name"]), {})} for entry in entries]
    there = {entry["name"] for entry in entries}
    return [*replaced, *({"name": name, **source} for name, source in sources.items() if name not in there)]


def settings(
    root: str, table: Table, entries: Sequence[Mapping[str, object]], wanted: WantedSettings
) -> AirflowSettings:
    """The settings for a published or declared table and Airflow's own list of bundles.

    A bundle that is not on that list is a problem and not invented: nobody knows its class.
    """
    listed, problems = _with_teams(table, entries, wanted.multi_team)
    executor, executor_problems = _executor(wanted)
    options = [
        Setting(*BUNDLE_LIST, _json(listed)),
        Setting("dag_processor", "parsing_pre_import_modules", "False"),
        Setting("core", "mp_start_method", "fork"),
    ]
    if not table.default() and EXAMPLES not in table.names("bundle"):  # no environment answers for them
        options.append(Setting("core", "load_examples", "False"))
    if wanted.multi_team:
        options.append(Setting("core", "multi_team", "True"))
    if executor:
        options.append(Setting("core", "executor", executor))
    queues = _queues(table) if wanted.multi_team else []
    options += queues
    notes = [] if wanted.multi_team else _notes_without_teams(table, entries)
    if wanted.kubernetes:
        pods, pod_notes = _pods(root, table)
        options += pods
        notes += pod_notes
    return AirflowSettings(
        tuple(options), {"ENVMAN_ROOT": root}, tuple(notes), (*problems, *executor_problems)
    )


def _json(value: object) -> str:
    """JSON without an apostrophe, so that every kind of quotes may stand around it."""
    return json.dumps(value).replace("'", "\\u0027")


def _with_teams(
    table: Table, entries: Sequence[Mapping[str, object]], multi_team: bool
) -> tuple[list[dict[str, object]], list[Problem]]:
    """Airflow's bundles with the teams of envman.toml: all else stays as it is."""
    listed: list[dict[str, object]] = []
    problems: list[Problem] = []
    for entry in entries:
        name, airflow_team = str(entry["name"]), str(entry.get("team_name") or "")
        team = (table.bundle(name) or ("", ""))[1]
        if team and airflow_team and team != airflow_team:
            what = f"envman.toml gives it to the team '{team}', Airflow's configuration to '{airflow_team}'"
            remedy = "A bundle belongs to at most one team: correct one of the two. Airflow's is printed."
            problems.append(Problem(f"bundle '{name}'", what, remedy))
        made = {key: value for key, value in entry.items() if key != "team_name"}
        if (airflow_team or team) and multi_team:
            made["team_name"] = airflow_team or team
        listed.append(made)
    known = {str(entry["name"]) for entry in entries}
    problems += [
        Problem(f"bundle '{name}'", "is in envman.toml, but not in Airflow's list of bundles", _REGISTER)
        for name in table.names("bundle")
        if name not in known and name != EXAMPLES and not name.endswith(EXAMPLES_OF_PROVIDERS)
    ]
    return listed, problems


def _executor(wanted: WantedSettings) -> tuple[str, list[Problem]]:
    """Airflow's one string for all executors: the deployment's first, then each team's."""
    shared = [word for word in wanted.executors if "=" not in word]
    teams = _by_team(word.partition("=")[::2] for word in wanted.executors if "=" in word)
    if not wanted.executors:
        return "", []
    problems: list[Problem] = []
    if not shared:
        remedy = "Add one without a team, such as: --executor LocalExecutor"
        problems.append(Problem("--executor", "every deployment needs an executor of its own", remedy))
    if teams and not wanted.multi_team:
        what = "Airflow ignores the executors of teams while [core] multi_team is off"
        problems.append(Problem("--executor", what, "Add --multi-team, or leave the teams out."))
    parts = [",".join(shared), *(f"{team}={','.join(names)}" for team, names in teams.items())]
    return ";".join(parts), problems


def _by_team(pairs: Iterable[Sequence[str]]) -> dict[str, list[str]]:
    teams: dict[str, list[str]] = {}
    for team, executor in pairs:
        teams.setdefault(team, []).append(executor)
    return teams


def _notes_without_teams(table: Table, entries: Iterable[Mapping[str, object]]) -> list[str]:
    """Airflow does not start on a bundle with a team while its switch for teams is off."""
    if table.names("team") or any(entry.get("team_name") for entry in entries):
        return [
            "Teams are left out, as [core] multi_team is off, and Airflow refuses them; see --multi-team."
        ]
    return []


def _queues(table: Table) -> list[Setting]:
    """Each team's default queue, for Airflow's team-aware executors."""
    queues = {team: table.queue("", team) for team in table.names("team-queue")}
    return [Setting("operators", "default_queue", queue, team) for team, queue in queues.items() if queue]


def _pods(root: str, table: Table) -> tuple[list[Setting], list[str]]:
    """What the Kubernetes executor starts pods from."""
    section = "kubernetes_executor"
    notes = [
        f"Pods need ENVMAN_ROOT={root} in their environment: in the image, or in the pod template.",
    ]
    image = table.image(table.default() or "")
    if image is None:
        if table.names("image"):
            notes.append(
                "The default environment has no image in envman.toml: set worker_container_* by hand."
            )
        else:
            notes.append("One image with all environments: its entrypoint is `envman container-entrypoint`.")
        return [], notes
    repository, tag = _image(image)
    notes.append("Each environment is an image: start the scheduler with `envman launch scheduler`.")
    return [
        Setting(section, "worker_container_repository", repository),
        Setting(section, "worker_container_tag", tag),
    ], notes


def _image(image: str) -> tuple[str, str]:
    """Repository and tag, which Airflow joins by a colon: so a digest is split at its colon, too."""
    repository, colon, tag = image.rpartition(":")
    return (repository, tag) if colon and "/" not in tag else (image, "latest")
