"""One look at the world: what is published below a root folder, and the bundles of Airflow's configuration.

A snapshot is taken once for each workload, for each start of a component and for each round of a loop, and
handed on. So whatever is decided comes from the same table, the same list of bundles and the same
generation, although somebody publishes meanwhile.

It says which environment a bundle, team or environment name stands for, and the way to the answer. Order for
a bundle: its own environment, its team's, the default. The default answers for bundles that are known, to
envman.toml or to Airflow; a name that nobody knows is an error, so that a typing error never runs in some
interpreter.

All of it is one module, since each module more is felt at each start of `envman exec`.
"""

from __future__ import annotations

from envman.errors import Problem, ResolveError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from envman.resolver.table import Table


AIRFLOW_DEFAULT = "dags-folder"
"""The one bundle of an Airflow whose list of bundles is set nowhere."""


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


class Answers:
    """Bundles with their environments, and those that have none, with the reason."""

    __slots__ = ("environments", "refusals")

    def __init__(self, environments: dict[str, str], refusals: dict[str, ResolveError]) -> None:
        self.environments = environments
        self.refusals = refusals

    def by_environment(self) -> dict[str, list[str]]:
        """The bundles of each environment, in their order."""
        found: dict[str, list[str]] = {}
        for bundle, environment in self.environments.items():
            found.setdefault(environment, []).append(bundle)
        return found


def _as_ever() -> bool:
    """In the place of a look at the table's file, where there is none."""
    return True


def not_looked_for(environment: str) -> str:
    """In the place of a reader of generations, where nobody asks for one."""
    what = "its generation was not looked for"
    raise ResolveError(Problem(f"environment '{environment}'", what, f"Run: envman build {environment}"))


class Snapshot:
    """A root folder's table, Airflow's bundles, and the environments' current generations.

    It never changes. The table is there from the start; Airflow's configuration and a generation are read
    when they are first asked for, and at most once: `read_airflow` and `read_generation` are the readers.
    `is_current` says whether the table is still the one that is published: where it is, all that was read
    since is of one moment.
    """

    __slots__ = (
        "_airflow",
        "_answers",
        "_generations",
        "_read_airflow",
        "_read_generation",
        "is_current",
        "root",
        "table",
    )

    def __init__(
        self,
        root: str,
        table: Table,
        read_airflow: Callable[[], AirflowBundles],
        read_generation: Callable[[str], str] = not_looked_for,
        is_current: Callable[[], bool] = _as_ever,
    ) -> None:
        self.root = root
        self.table = table
        self.is_current = is_current
        self._read_airflow = read_airflow
        self._read_generation = read_generation
        self._airflow: AirflowBundles | None = None
        self._answers: Answers | None = None
        self._generations: dict[str, str] = {}

    def airflow(self) -> AirflowBundles:
        """The bundles of Airflow's configuration; raises what their reader raises."""
        if self._airflow is None:
            self._airflow = self._read_airflow()
        return self._airflow

    def generation(self, environment: str) -> str:
        """The environment's current generation; raises ResolveError where it isn't built."""
        if environment not in self._generations:
            self._generations[environment] = self._read_generation(environment)
        return self._generations[environment]

    def resolve(self, bundle: str) -> Resolution:
        """A bundle's environment; raises ResolveError where it has none."""
        return resolve_bundle(self.table, bundle, self.airflow)

    def resolve_team(self, team: str) -> Resolution:
        """A team's environment; raises ResolveError where it has none."""
        return resolve_team(self.table, team)

    def resolve_environment(self, environment: str) -> Resolution:
        """An environment by its name; raises ResolveError for one that isn't declared."""
        return resolve_environment(self.table, environment)

    def team(self, bundle: str) -> str:
        """The bundle's team, by envman.toml, else by Airflow's configuration; empty where it has none."""
        _, team = self.table.bundle(bundle) or ("", "")
        return team or self.airflow().teams.get(bundle) or ""

    def queue(self, bundle: str) -> str:
        """The queue of the bundle's tasks that name none: its own, else its team's; empty for Airflow's
        default. The team is looked up only where any team has a queue.
        """
        own = self.table.queue(bundle, "")
        if not own and self.table.has("team-queue"):
            own = self.table.queue(bundle, self.team(bundle))
        return own or ""

    def bundles(self) -> list[str]:
        """The bundles that are known, to envman.toml or to Airflow, sorted."""
        return sorted({*self.table.names("bundle"), *self.airflow().teams})

    def bundles_of_team(self, team: str) -> list[str]:
        """The known bundles of a team, sorted."""
        return [bundle for bundle in self.bundles() if self.team(bundle) == team]

    def answers(self) -> Answers:
        """All known bundles, sorted, each with its environment or the reason why it has none."""
        if self._answers is None:
            self._answers = self.answers_for(self.bundles())
        return self._answers

    def answers_for(self, bundles: Iterable[str]) -> Answers:
        """The same for these bundles, in their order."""
        environments: dict[str, str] = {}
        refusals: dict[str, ResolveError] = {}
        for bundle in bundles:
            try:
                environments[bundle] = self.resolve(bundle).environment
            except ResolveError as error:
                refusals[bundle] = error
        return Answers(environments, refusals)


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
        if source == "envman.toml":  # where no team is without one: the table was not written by envman
            what = f"the published table gives it to the team '{team}', of which it knows no environment"
            raise ResolveError(Problem(f"bundle '{name}'", what, "Publish it anew: envman publish"))
        steps.append(f"The team '{team}' has no environment in envman.toml.")
    else:
        steps.append(f"It has no team, neither in envman.toml nor in {configured.source}.")
    if found := table.default():
        steps.append(f"The default environment is '{found}'.")
        return Resolution(found, tuple(steps))
    missing = f"give the team '{team}' an environment" if team else f"give '{name}' an environment or a team"
    remedy = f"In envman.toml, {missing}, or declare a default-environment; then run: envman build"
    if name == AIRFLOW_DEFAULT:
        remedy += '\n  Or give Airflow another list of bundles: eval "$(envman airflow-config)"'
    raise ResolveError(Problem(f"bundle '{name}'", " ".join(steps), remedy))


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
    from envman.names import nearest

    what = f"no such {kind} is published" if kind == "environment" else f"the {kind} has no environment"
    remedy = f"{nearest(name, known)} What is new in envman.toml counts after: envman build"
    return Problem(f"{kind} '{name}'", what, remedy)


def _unknown_bundle(table: Table, name: str, configured: AirflowBundles) -> Problem:
    from envman.names import nearest

    known = {*table.names("bundle"), *configured.teams}
    what = f"no such bundle, neither in the published table nor in {configured.source}"
    remedy = f"{nearest(name, known)} What is new in envman.toml counts after: envman build"
    return Problem(f"bundle '{name}'", what, remedy)
