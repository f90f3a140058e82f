"""A component for one bundle or team: which environment, and which words of Airflow's command keep it there.

The stock worker and triggerer take whatever is in the queues that they look at. So one for a bundle or team
is started only where a queue, a broker or Airflow's teams keep the others' work away from it.
"""

from __future__ import annotations

import os

from envman.errors import Problem, ResolveError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from envman.launch.airflow_configuration import AirflowConfiguration
    from envman.resolver.snapshot import Snapshot

DEFAULT_QUEUE = "AIRFLOW__OPERATORS__DEFAULT_QUEUE"

COLD_VARIABLE = "ENVMAN_COLD"
"""Set, it lets each workload of a shared component start an interpreter of its own."""

HOME_VARIABLE = "ENVMAN_HOME"
"""Names, to a worker of one's own, the environment whose bundles' tasks it runs, and no others."""

NO_QUEUE = "Give the bundle or team a 'queue' in envman.toml, or pass one: -- --queues Q"


def own_component(
    snapshot: Snapshot,
    configuration: AirflowConfiguration,
    component: str,
    bundles: list[str],
    team: str,
    words: list[str],
) -> tuple[str, list[str], dict[str, str]]:
    """The environment, the words after `airflow`, and the variables of a component of one's own.

    Raises ResolveError where the bundles have no environment or several, or where nothing would keep other
    bundles' work away.
    """
    environment, bundles = _environment(snapshot, bundles, team)
    team = team or _team_of_all(snapshot, bundles)
    queues = _queues(snapshot, bundles)
    queue = queues[bundles[0]] if len(set(queues.values())) == 1 else ""
    if component in {"dag-processor", "triggerer"}:
        _check_shared(snapshot, bundles, component)
    if component == "dag-processor":
        _check_one_queue(queues)
        named = [word for bundle in bundles for word in ("--bundle-name", bundle)]
        variables = {DEFAULT_QUEUE: queue} if queue else {}
        return environment, ["dag-processor", *named, *words], variables
    home = Home(snapshot, environment, team, queue)
    multi_team = bool(team) and configuration.is_on("core", "multi_team")
    if component == "worker":
        return environment, ["celery", "worker", *_worker_words(home, words, multi_team), *words], {}
    if component == "edge-worker":
        return environment, ["edge", "worker", *_edge_words(home, words, multi_team), *words], {}
    if snapshot.table.has("trigger"):
        what = "the stock triggerer knows no list of allowed trigger classes"
        raise ResolveError(Problem("envman.toml: triggerer.allow", what, "Run: envman launch triggerer"))
    by_queue = configuration.is_on("triggerer", "queues_enabled")
    return environment, ["triggerer", *_triggerer_words(home, words, multi_team, by_queue), *words], {}


class Home:
    """Whose work a component is there for: an environment, and the team and queue that all of it has."""

    __slots__ = ("environment", "queue", "snapshot", "team")

    def __init__(self, snapshot: Snapshot, environment: str, team: str, queue: str) -> None:
        self.snapshot = snapshot
        self.environment = environment
        self.team = team
        self.queue = queue

    def check_team(self) -> None:
        """Where the team alone keeps others' work away, all its bundles must be at home here."""
        self._check(self.snapshot.bundles_of_team(self.team), f"team '{self.team}'")

    def check_queue(self, within_team: bool = False) -> None:
        """Where the queue does, all bundles that have it must be; `within_team`: all of the team's."""
        known = self.snapshot.bundles_of_team(self.team) if within_team else self.snapshot.bundles()
        queues = _queues(self.snapshot, known)
        self._check([bundle for bundle in known if queues[bundle] == self.queue], f"queue '{self.queue}'")

    def _check(self, bundles: list[str], common: str) -> None:
        # one without an environment runs nowhere: there is no work of it to take
        homes = self.snapshot.answers_for(bundles).environments
        if set(homes.values()) - {self.environment}:
            listed = ", ".join(f"{bundle} in {environment}" for bundle, environment in homes.items())
            what = f"bundles of other environments have it, too: {listed}"
            raise ResolveError(Problem(common, what, "Give each environment's bundles a queue of their own."))


def _environment(snapshot: Snapshot, bundles: list[str], team: str) -> tuple[str, list[str]]:
    where = f"team '{team}'" if team else "bundles " + ", ".join(f"'{bundle}'" for bundle in bundles)
    found = [snapshot.resolve_team(team).environment] if team else []
    if team:
        bundles = snapshot.bundles_of_team(team)
        if not bundles:
            what = "has no bundle, neither in envman.toml nor in Airflow's configuration"
            raise ResolveError(Problem(where, what, "Give a bundle to the team; then run: envman build"))
    answers = {bundle: snapshot.resolve(bundle).environment for bundle in bundles}
    found = list(dict.fromkeys([*found, *answers.values()]))
    if len(found) > 1:
        listed = [f"{bundle} in {environment}" for bundle, environment in answers.items()]
        if team:
            listed.insert(0, f"the team itself in {found[0]}")
        remedy = "Start one component for each environment, with --bundle; or one shared one for all."
        raise ResolveError(Problem(where, f"several environments: {', '.join(listed)}", remedy))
    return found[0], list(answers)


def _team_of_all(snapshot: Snapshot, bundles: list[str]) -> str:
    teams = {snapshot.team(bundle) for bundle in bundles}
    return teams.pop() if len(teams) == 1 else ""


def _queues(snapshot: Snapshot, bundles: list[str]) -> dict[str, str]:
    """The queue of each bundle's tasks that name none; empty where it is Airflow's default queue."""
    return {bundle: snapshot.queue(bundle) for bundle in bundles}


def _check_shared(snapshot: Snapshot, bundles: list[str], component: str) -> None:
    """The stock component knows no shared folders: imports of them would fail."""
    if sharing := [bundle for bundle in bundles if snapshot.table.shared(bundle)]:
        what = f"the stock {component} finds no shared folders, and there are some for: {', '.join(sharing)}"
        remedy = f"Run the shared one: envman launch {component}"
        raise ResolveError(Problem("envman.toml: shared", what, remedy))


def _check_one_queue(queues: dict[str, str]) -> None:
    """One Dag processor writes one default queue into the Dags of all its bundles."""
    if len(set(queues.values())) > 1:
        listed = ", ".join(f"{bundle} has {queue or 'none'}" for bundle, queue in queues.items())
        remedy = "Start one Dag processor for each queue, or the shared one: envman launch dag-processor"
        raise ResolveError(Problem("", f"several queues in one Dag processor: {listed}", remedy))


def _worker_words(home: Home, words: list[str], multi_team: bool) -> list[str]:
    own = ["--team", home.team] if multi_team else []
    if names_queues(words):
        return own
    brokers = own and f"AIRFLOW__{home.team.upper()}___CELERY__BROKER_URL" in os.environ
    if home.queue:
        home.check_queue(within_team=bool(brokers))
        return [*own, "--queues", home.queue]
    if brokers:
        home.check_team()
        return own
    what = "its worker would take everybody's tasks from the default queue"
    raise ResolveError(Problem("", what, NO_QUEUE))


def _edge_words(home: Home, words: list[str], multi_team: bool) -> list[str]:
    own = ["--team-name", home.team] if multi_team else []
    if names_queues(words):
        return own
    if home.queue:
        home.check_queue()
        return [*own, "--queues", home.queue]
    what = "its edge worker would take tasks from everybody's queues"
    raise ResolveError(Problem("", what, NO_QUEUE))


def _triggerer_words(home: Home, words: list[str], multi_team: bool, by_queue: bool) -> list[str]:
    own = ["--team-name", home.team] if multi_team else []
    if by_queue:
        if names_queues(words):
            return own
        if home.queue:
            home.check_queue(within_team=multi_team)
            return [*own, "--queues", home.queue]
    if own:
        home.check_team()
        return own
    what = "its triggerer would take everybody's triggers"
    remedy = (
        "Run one for all: envman launch triggerer. Or turn on [core] multi_team and give it a team, or "
        "[triggerer] queues_enabled and give it a queue in envman.toml."
    )
    raise ResolveError(Problem("", what, remedy))


def names_queues(words: list[str]) -> bool:
    """Whether the words for Airflow's command name queues: -q Q, -qQ, --queues Q or --queues=Q."""
    return any(word[:2] == "-q" or word.partition("=")[0] == "--queues" for word in words)
