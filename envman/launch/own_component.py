"""A component for one bundle or team: which environment, and which words of Airflow's command keep it there.

The stock worker and triggerer take whatever is in the queues that they look at. So one for a bundle or team
is started only where a queue, a broker or Airflow's teams keep the others' work away from it.
"""

from __future__ import annotations

import os

from envman.errors import Problem, ResolveError
from envman.launch.airflow_config import is_on
from envman.launch.command import airflow_bundles
from envman.resolver.resolve import bundles_of_team, resolve_bundle, resolve_team, team_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from envman.resolver.table import Table

DEFAULT_QUEUE = "AIRFLOW__OPERATORS__DEFAULT_QUEUE"
_QUEUE_WORDS = ("-q", "--queues")


def own_component(
    table: Table, component: str, bundles: list[str], team: str, words: list[str]
) -> tuple[str, list[str], dict[str, str]]:
    """The environment, the words after `airflow`, and the variables of a component of one's own.

    Raises ResolveError where the bundles have no environment or several, or where nothing would keep other
    bundles' work away.
    """
    environment, bundles = _environment(table, bundles, team)
    team = team or _team_of_all(table, bundles)
    queue = _queue(table, bundles, team)
    if component == "dag-processor":
        named = [word for bundle in bundles for word in ("--bundle-name", bundle)]
        variables = {DEFAULT_QUEUE: queue} if queue else {}
        return environment, ["dag-processor", *named, *words], variables
    if component == "worker":
        return environment, ["celery", "worker", *_worker_words(queue, team, words), *words], {}
    if table.names("trigger"):
        what = "the stock triggerer knows no list of allowed trigger classes"
        raise ResolveError(Problem("envman.toml: triggerer.allow", what, "Run: envman launch triggerer"))
    return environment, ["triggerer", *_triggerer_words(queue, team, words), *words], {}


def _environment(table: Table, bundles: list[str], team: str) -> tuple[str, list[str]]:
    where = f"team '{team}'" if team else "bundles " + ", ".join(f"'{bundle}'" for bundle in bundles)
    found = [resolve_team(table, team).environment] if team else []
    if team:
        bundles = bundles_of_team(table, team, airflow_bundles())
        if not bundles:
            what = "has no bundle, neither in envman.toml nor in Airflow's configuration"
            raise ResolveError(Problem(where, what, "Give a bundle to the team; then run: envman build"))
    answers = {bundle: resolve_bundle(table, bundle, airflow_bundles).environment for bundle in bundles}
    found = list(dict.fromkeys([*found, *answers.values()]))
    if len(found) > 1:
        listed = ", ".join(f"{bundle} in {environment}" for bundle, environment in answers.items())
        remedy = "Start one component for each environment, with --bundle; or one shared one for all."
        raise ResolveError(Problem(where, f"several environments: {listed}", remedy))
    return found[0], bundles


def _team_of_all(table: Table, bundles: list[str]) -> str:
    teams = {team_of(table, bundle, airflow_bundles()) for bundle in bundles}
    return teams.pop() if len(teams) == 1 else ""


def _queue(table: Table, bundles: list[str], team: str) -> str:
    queues = {
        table.queue(bundle, team_of(table, bundle, airflow_bundles()) or team) or "" for bundle in bundles
    }
    return queues.pop() if len(queues) == 1 else ""


def _multi_team() -> bool:
    return is_on(os.environ, "core", "multi_team")


def _worker_words(queue: str, team: str, words: list[str]) -> list[str]:
    own: list[str] = []
    if team and _multi_team():
        own += ["--team", team]
    if _names_queues(words):
        return own
    if queue:
        return [*own, "--queues", queue]
    if own and f"AIRFLOW__{team.upper()}___CELERY__BROKER_URL" in os.environ:
        return own
    what = "its worker would take everybody's tasks from the default queue"
    remedy = "Give the bundle or team a 'queue' in envman.toml, or pass one: -- --queues Q"
    raise ResolveError(Problem("", what, remedy))


def _triggerer_words(queue: str, team: str, words: list[str]) -> list[str]:
    if team and _multi_team():
        return ["--team-name", team]
    if is_on(os.environ, "triggerer", "queues_enabled"):
        if _names_queues(words):
            return []
        if queue:
            return ["--queues", queue]
    what = "its triggerer would take everybody's triggers"
    remedy = (
        "Run one for all: envman launch triggerer. Or turn on [core] multi_team and give it a team, or "
        "[triggerer] queues_enabled and give it a queue in envman.toml."
    )
    raise ResolveError(Problem("", what, remedy))


def _names_queues(words: list[str]) -> bool:
    return any(word in _QUEUE_WORDS or word.startswith("--queues=") for word in words)
