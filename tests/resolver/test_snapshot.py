"""One look at the world: what it answers, and that nothing is read twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envman.errors import Problem, ResolveError, SpecError
from envman.resolver.snapshot import AirflowBundles, Snapshot, resolve_bundle
from envman.resolver.table import Table, render_table
from tests.strategies import law

CONFIG = "airflow.cfg"
BUNDLES, TEAMS, ENVIRONMENTS = ["b1", "b2", "b3"], ["t1", "t2"], ["env_a", "env_b"]


def table(
    bundles: dict[str, tuple[str, str]] | None = None,
    teams: dict[str, str] | None = None,
    default: str | None = None,
    more: list[tuple[str, str, str]] | None = None,
) -> Table:
    environments = {name: ((), {}) for name in ENVIRONMENTS}
    return Table(render_table(bundles or {}, teams or {}, environments, default, more or []))


def snapshot(published: Table, configured: dict[str, str | None] | None = None) -> Snapshot:
    return Snapshot("/venv", published, lambda: AirflowBundles(CONFIG, configured or {}))


def never() -> AirflowBundles:
    raise AssertionError("asked")


class Counting:
    """A reader that counts its calls."""

    def __init__(self, configured: dict[str, str | None]) -> None:
        self.calls = 0
        self._bundles = AirflowBundles(CONFIG, configured)

    def __call__(self) -> AirflowBundles:
        self.calls += 1
        return self._bundles


def test_airflow_is_asked_once_however_much_depends_on_it() -> None:
    airflow = Counting({"a": "t", "b": None})
    look = Snapshot("/venv", table({}, {"t": "env_b"}, "env_a", [("team-queue", "t", "q")]), airflow)
    assert airflow.calls == 0
    assert look.resolve("a").environment == "env_b"
    assert (look.team("a"), look.queue("a"), look.bundles()) == ("t", "q", ["a", "b"])
    assert look.answers().environments == {"a": "env_b", "b": "env_a"}
    assert airflow.calls == 1


def test_airflow_is_not_asked_where_the_table_answers() -> None:
    published = table({"a": ("env_a", "t"), "b": ("", "t")}, {"t": "env_b"}, "env_a")
    look = Snapshot("/venv", published, never)
    assert look.resolve("a").environment == "env_a"
    assert look.resolve_team("t").environment == look.resolve_environment("env_b").environment == "env_b"
    assert (look.team("a"), look.queue("a")) == ("t", "")
    with pytest.raises(AssertionError, match="asked"):
        look.resolve("b")  # Airflow's configuration might give it to another team


def test_all_answers_are_worked_out_once() -> None:
    look = snapshot(table({"a": ("env_a", "")}))
    assert look.answers() is look.answers()


def test_a_bundles_team_stands_in_the_table_or_in_airflows_configuration() -> None:
    published = table({"a": ("env_a", "t"), "b": ("env_a", ""), "c": ("", "u")}, {"t": "env_b"})
    look = snapshot(published, {"b": "t", "c": None, "d": "u", "e": None})
    teams = {name: look.team(name) for name in ("a", "b", "c", "d", "e", "nobody")}
    assert teams == {"a": "t", "b": "t", "c": "u", "d": "u", "e": "", "nobody": ""}
    lists = {team: look.bundles_of_team(team) for team in ("t", "u", "v", "")}
    assert lists == {"t": ["a", "b"], "u": ["c", "d"], "v": [], "": ["e"]}


def test_a_queue_is_the_bundles_own_else_its_teams() -> None:
    records = [("bundle-queue", "a", "own"), ("team-queue", "t", "teams")]
    look = snapshot(table({"a": ("env_a", "t"), "b": ("env_a", "")}, more=records), {"b": "t", "c": None})
    assert [look.queue(name) for name in ("a", "b", "c", "nobody")] == ["own", "teams", "", ""]


def test_the_team_of_a_queue_is_not_looked_up_where_no_team_has_one() -> None:
    look = Snapshot("/venv", table(more=[("bundle-queue", "a", "own")]), never)
    assert (look.queue("a"), look.queue("b")) == ("own", "")


def test_what_has_no_answer_is_listed_with_its_reason() -> None:
    published = table({"a": ("env_a", ""), "b": ("", "t"), "z": ("", "")})
    answers = snapshot(published, {"c": "t"}).answers()
    assert answers.environments == {"a": "env_a"}
    assert list(answers.refusals) == ["b", "c", "z"]
    assert all(name in str(reason) for name, reason in answers.refusals.items())
    one = snapshot(published).answers_for(["nobody", "a"])
    assert (one.environments, list(one.refusals)) == ({"a": "env_a"}, ["nobody"])


def test_bundles_are_grouped_by_environment_in_their_order() -> None:
    look = snapshot(table({"b": ("env_a", ""), "a": ("env_a", ""), "c": ("env_b", ""), "d": ("", "")}))
    assert look.answers().by_environment() == {"env_a": ["a", "b"], "env_b": ["c"]}
    assert look.answers_for(["b", "a"]).by_environment() == {"env_a": ["b", "a"]}


def test_an_airflow_configuration_that_can_not_be_read_is_no_bundles_reason() -> None:
    def broken() -> AirflowBundles:
        raise SpecError(Problem("airflow.cfg", "is broken", "Mend it."))

    with pytest.raises(SpecError, match="is broken"):
        Snapshot("/venv", table({"a": ("env_a", "")}), broken).answers()


def test_a_generation_is_looked_for_once() -> None:
    asked: list[str] = []

    def read(environment: str) -> str:
        asked.append(environment)
        return f"{environment}-{len(asked)}"

    look = Snapshot("/venv", table(), never, read)
    assert [look.generation(name) for name in ("env_a", "env_b", "env_a")] == [
        "env_a-1",
        "env_b-2",
        "env_a-1",
    ]
    assert asked == ["env_a", "env_b"]
    with pytest.raises(ResolveError, match="env_a"):
        Snapshot("/venv", table(), never).generation("env_a")


topologies = st.tuples(
    st.dictionaries(
        st.sampled_from(BUNDLES),
        st.tuples(st.sampled_from(["", *ENVIRONMENTS]), st.sampled_from(["", *TEAMS])),
    ),
    st.dictionaries(st.sampled_from(TEAMS), st.sampled_from(ENVIRONMENTS)),
    st.none() | st.sampled_from(ENVIRONMENTS),
    st.dictionaries(st.sampled_from(BUNDLES), st.none() | st.sampled_from(["", *TEAMS])),
)
Topology = tuple[dict[str, tuple[str, str]], dict[str, str], "str | None", dict[str, "str | None"]]


@law
@given(topologies)
def test_every_known_bundle_is_in_the_list_of_its_team_and_in_no_other(topology: Topology) -> None:
    bundles, teams, default, configured = topology
    look = snapshot(table(bundles, teams, default), configured)
    lists = {team: look.bundles_of_team(team) for team in ("", *TEAMS)}
    assert sorted(name for names in lists.values() for name in names) == sorted({*bundles, *configured})
    for team, names in lists.items():
        assert all(look.team(name) == team for name in names)


def outcome(answer: Callable[[], str]) -> str:
    try:
        return answer()
    except ResolveError as error:
        return str(error)


@law
@given(topologies)
def test_all_answers_are_those_of_each_bundle_by_itself(topology: Topology) -> None:
    bundles, teams, default, configured = topology
    published = table(bundles, teams, default)
    answers = snapshot(published, configured).answers()
    alone = {
        name: outcome(
            lambda name=name: (
                resolve_bundle(  # type: ignore[misc]
                    published, name, lambda: AirflowBundles(CONFIG, configured)
                ).environment
            )
        )
        for name in {*bundles, *configured}
    }
    together = {**answers.environments, **{name: str(reason) for name, reason in answers.refusals.items()}}
    assert together == alone
    grouped = answers.by_environment()
    assert {name: home for home, names in grouped.items() for name in names} == answers.environments
