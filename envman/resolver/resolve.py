"""Which environment a bundle, team or environment name stands for, and the way to the answer.

Order for a bundle: its own environment, its team's, the default. The default answers for bundles that are
known, to envman.toml or to Airflow; a name that nobody knows is an error, so that a typing error never runs
in some interpreter.
"""

from __future__ import annotations

from envman.errors import Problem, ResolveError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from envman.resolver.table import Table


class AirflowBundles:
    """The bundles of Airflow's configuration: team (or None) by bundle, and where that was read."""

    __slots__ = ("source", "teams")

    def __init__(self, source: str, teams: Mapping[str, str | None]) -> None:
        self.source = source
        self.teams = teams


class Resolution:
    """An answer: the environment's name and the steps that led to it, as sentences."""

    __slots__ = ("environment", "steps")

    def __init__(self, environment: str, steps: tuple[str, ...]) -> None:
        self.environment = environment
        self.steps = steps


def resolve_bundle(table: Table, name: str, airflow: Callable[[], AirflowBundles]) -> Resolution:
    """Resolve a bundle; Airflow's configuration is asked only where the table names no environment.

    Raises ResolveError for an unknown bundle, for one that two sources give to different teams, and for one
    without any answer.
    """
    entry = table.bundle(name)
    environment, team = entry or ("", "")
    if environment:
        return Resolution(
            environment, (f"envman.toml gives the bundle '{name}' the environment '{environment}'.",)
        )
    configured = airflow()
    if entry is None and name not in configured.teams:
        raise ResolveError(_unknown_bundle(table, name, configured))
    return _through_team(table, name, team, configured)


def _through_team(table: Table, name: str, team: str, configured: AirflowBundles) -> Resolution:
    steps = [f"The bundle '{name}' has no environment of its own."]
    airflow_team = configured.teams.get(name) or ""
    if team and airflow_team and team != airflow_team:
        what = f"envman.toml gives it to the team '{team}', {configured.source} to '{airflow_team}'"
        raise ResolveError(
            Problem(f"bundle '{name}'", what, "A bundle belongs to at most one team: correct one of the two.")
        )
    if team or airflow_team:
        source = "envman.toml" if team else configured.source
        team = team or airflow_team
        steps.append(f"{source} gives it to the team '{team}'.")
        if found := table.team(team):
            steps.append(f"envman.toml gives the team '{team}' the environment '{found}'.")
            return Resolution(found, tuple(steps))
        steps.append(f"The team '{team}' has no environment in envman.toml.")
    else:
        steps.append(f"It has no team, neither in envman.toml nor in {configured.source}.")
    if found := table.default():
        steps.append(f"The default environment is '{found}'.")
        return Resolution(found, tuple(steps))
    missing = f"give the team '{team}' an environment" if team else f"give '{name}' an environment or a team"
    remedy = f"In envman.toml, {missing}, or declare a default-environment; then run: envman build"
    raise ResolveError(Problem(f"bundle '{name}'", " ".join(steps), remedy))


def team_of(table: Table, name: str, airflow: AirflowBundles) -> str:
    """The team of a bundle, by envman.toml or Airflow's configuration; empty where it has none."""
    _, team = table.bundle(name) or ("", "")
    return team or airflow.teams.get(name) or ""


def bundles_of_team(table: Table, team: str, airflow: AirflowBundles) -> list[str]:
    """The bundles of a team, by envman.toml and Airflow's configuration, sorted."""
    known = {*table.names("bundle"), *airflow.teams}
    return sorted(name for name in known if team_of(table, name, airflow) == team)


def resolve_team(table: Table, name: str) -> Resolution:
    """Resolve a team to its environment; raises ResolveError for one that has none."""
    if found := table.team(name):
        return Resolution(found, (f"envman.toml gives the team '{name}' the environment '{found}'.",))
    raise ResolveError(_unknown("team", name, table.names("team")))


def resolve_environment(table: Table, name: str) -> Resolution:
    """Check that an environment is declared; raises ResolveError for one that isn't."""
    if table.environment(name) is not None:
        return Resolution(name, (f"The environment '{name}' is asked for by name.",))
    raise ResolveError(_unknown("environment", name, table.names("environment")))


def _unknown(kind: str, name: str, known: list[str]) -> Problem:
    from envman.spec.names import nearest

    what = f"no such {kind} is published" if kind == "environment" else f"the {kind} has no environment"
    remedy = f"{nearest(name, known)} What is new in envman.toml counts after: envman build"
    return Problem(f"{kind} '{name}'", what, remedy)


def _unknown_bundle(table: Table, name: str, configured: AirflowBundles) -> Problem:
    from envman.spec.names import nearest

    known = {*table.names("bundle"), *configured.teams}
    what = f"no such bundle, neither in the published table nor in {configured.source}"
    remedy = f"{nearest(name, known)} What is new in envman.toml counts after: envman build"
    return Problem(f"bundle '{name}'", what, remedy)
