from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envman.errors import ResolveError
from envman.resolver.snapshot import (
    AirflowBundles,
    Resolution,
    resolve_bundle,
    resolve_environment,
    resolve_team,
)
from envman.resolver.table import Table, render_table
from tests.strategies import law

CONFIG = "airflow.cfg"


def table(
    bundles: dict[str, tuple[str, str]] | None = None,
    teams: dict[str, str] | None = None,
    default: str | None = None,
) -> Table:
    return Table(render_table(bundles or {}, teams or {}, {"env_a": ((), {}), "env_b": ((), {})}, default))


def resolved(published: Table, name: str, configured: dict[str, str | None] | None = None) -> Resolution:
    return resolve_bundle(published, name, lambda: AirflowBundles(CONFIG, configured or {}))


def refusal(
    published: Table, name: str, configured: dict[str, str | None] | None = None
) -> tuple[str, str, str]:
    with pytest.raises(ResolveError) as caught:
        resolved(published, name, configured)
    (problem,) = caught.value.problems
    return problem.key()


def test_a_bundles_own_environment_comes_first_and_airflow_is_not_asked() -> None:
    def airflow() -> AirflowBundles:
        raise AssertionError("asked")

    published = table({"b": ("env_a", "t")}, {"t": "env_b"}, "env_b")
    answer = resolve_bundle(published, "b", airflow)
    assert answer.environment == "env_a"
    assert answer.steps == ("envman.toml gives the bundle 'b' the environment 'env_a'.",)


def test_then_comes_its_teams() -> None:
    answer = resolved(table({"b": ("", "t")}, {"t": "env_b"}, "env_a"), "b")
    assert answer.environment == "env_b"
    assert answer.steps == (
        "The bundle 'b' has no environment of its own.",
        "envman.toml gives it to the team 't'.",
        "envman.toml gives the team 't' the environment 'env_b'.",
    )


def test_the_team_may_stand_in_airflows_configuration_alone() -> None:
    answer = resolved(table({}, {"t": "env_b"}), "b", {"b": "t"})
    assert answer.environment == "env_b"
    assert f"{CONFIG} gives it to the team 't'." in answer.steps


def test_then_comes_the_default() -> None:
    for configured in ({"b": None}, {"b": "team_without_environment"}):
        answer = resolved(table(default="env_a"), "b", dict(configured))
        assert answer.environment == "env_a"
        assert answer.steps[-1] == "The default environment is 'env_a'."
    assert resolved(table({"b": ("", "")}, default="env_a"), "b").environment == "env_a"


def test_a_bundle_that_both_give_to_the_same_team_has_one() -> None:
    assert resolved(table({"b": ("", "t")}, {"t": "env_b"}), "b", {"b": "t"}).environment == "env_b"


def test_a_bundle_of_two_teams_is_an_error_that_names_both() -> None:
    where, what, remedy = refusal(table({"b": ("", "t")}, {"t": "env_b"}, "env_a"), "b", {"b": "u"})
    assert where == "bundle 'b'"
    assert "'t'" in what
    assert "'u'" in what
    assert CONFIG in what
    assert remedy


def test_a_team_of_envman_toml_that_the_table_does_not_have_is_damage_and_not_the_default() -> None:
    where, what, remedy = refusal(table({"b": ("", "t")}, {"u": "env_b"}, "env_a"), "b")
    assert where == "bundle 'b'"
    assert "'t'" in what
    assert "envman publish" in remedy


def test_a_bundle_that_nobody_knows_is_an_error_although_there_is_a_default() -> None:
    where, what, remedy = refusal(
        table({"bundle_a": ("env_a", "")}, default="env_a"), "bundle_b", {"other": None}
    )
    assert where == "bundle 'bundle_b'"
    assert CONFIG in what
    assert "Did you mean 'bundle_a'?" in remedy
    assert "other" in remedy


@pytest.mark.parametrize(
    ("configured", "way", "word"),
    [
        (
            {"b": None},
            "It has no team, neither in envman.toml nor in airflow.cfg.",
            "give 'b' an environment or a team",
        ),
        (
            {"b": "t"},
            "airflow.cfg gives it to the team 't'. The team 't' has no environment in envman.toml.",
            "give the team 't' an environment",
        ),
    ],
)
def test_a_known_bundle_without_any_answer_is_told_the_way_and_what_is_missing(
    configured: dict[str, str | None], way: str, word: str
) -> None:
    _, what, remedy = refusal(table(), "b", configured)
    assert what == f"The bundle 'b' has no environment of its own. {way}"
    assert word in remedy
    assert "envman build" in remedy


def test_a_team_has_its_environment_or_an_error() -> None:
    assert resolve_team(table({}, {"t": "env_b"}), "t").environment == "env_b"
    with pytest.raises(ResolveError, match="Did you mean 'team_b'") as caught:
        resolve_team(table({}, {"team_b": "env_b"}, "env_a"), "team_c")
    assert caught.value.problems[0].where == "team 'team_c'"
    assert caught.value.problems[0].what == "the team has no environment"


def test_an_environment_is_declared_or_an_error() -> None:
    assert resolve_environment(table(), "env_a").environment == "env_a"
    with pytest.raises(ResolveError, match="Known: env_a, env_b") as caught:
        resolve_environment(table(), "env_c")
    assert caught.value.problems[0].where == "environment 'env_c'"
    assert caught.value.problems[0].what == "no such environment is published"


BUNDLES, TEAMS, ENVIRONMENTS = ["b1", "b2", "b3"], ["t1", "t2"], ["env_a", "env_b"]
own = st.sampled_from(["", *ENVIRONMENTS])
team = st.sampled_from(["", *TEAMS])
topologies = st.tuples(
    st.dictionaries(st.sampled_from(BUNDLES), st.tuples(own, team)),
    st.dictionaries(st.sampled_from(TEAMS), st.sampled_from(ENVIRONMENTS)),
    st.none() | st.sampled_from(ENVIRONMENTS),
    st.dictionaries(st.sampled_from(BUNDLES), st.none() | team),
)


@law
@given(topologies, st.sampled_from([*BUNDLES, "unknown"]))
def test_the_answer_is_the_bundles_own_else_its_teams_else_the_default(
    topology: tuple[dict[str, tuple[str, str]], dict[str, str], str | None, dict[str, str | None]], name: str
) -> None:
    bundles, teams, default, configured = topology
    environment, team = bundles.get(name, ("", ""))
    claims = {claim for claim in (team, configured.get(name)) if claim}
    known = name in bundles or name in configured
    damaged = team not in {"", *teams}
    expected = environment or (
        (next((teams[t] for t in claims if t in teams), default))
        if known and len(claims) < 2 and not damaged
        else None
    )
    published = table(bundles, teams, default)
    if expected:
        answer = resolved(published, name, configured)
        assert answer.environment == expected
        assert f"'{expected}'" in answer.steps[-1]
    else:
        where, what, remedy = refusal(published, name, configured)
        assert where == f"bundle '{name}'"
        assert what
        assert remedy
