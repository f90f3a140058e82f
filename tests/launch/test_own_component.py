from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from envman.errors import Problem, ResolveError
from envman.launch.airflow_configuration import AirflowConfiguration
from envman.launch.own_component import own_component
from envman.resolver.snapshot import Snapshot
from envman.resolver.table import Table, render_table

BUNDLES = {
    "a": ("env_a", ""),
    "a_too": ("env_a", "t"),
    "b": ("", "t"),
    "c": ("env_c", "u"),
    "lone": ("env_a", ""),
}
TEAMS = {"t": "env_a", "u": "env_b", "nobodys": "env_a"}
MULTI_TEAM = "AIRFLOW__CORE__MULTI_TEAM"
QUEUES_ENABLED = "AIRFLOW__TRIGGERER__QUEUES_ENABLED"
BUNDLE_LIST = "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"
DEFAULT_QUEUE = "AIRFLOW__OPERATORS__DEFAULT_QUEUE"
Answer = tuple[str, list[str], dict[str, str]]


@pytest.fixture(autouse=True)
def airflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An Airflow without any setting of ours; returns its configuration file."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    for name in ("AIRFLOW_CONFIG", MULTI_TEAM, QUEUES_ENABLED, BUNDLE_LIST):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "airflow.cfg"


def table(*more: tuple[str, str, str]) -> Table:
    environments = {name: ((), {}) for name in ("env_a", "env_b", "env_c")}
    return Table(render_table(BUNDLES, TEAMS, environments, None, more))


QUEUE = ("bundle-queue", "a", "etl")
TEAM_QUEUE = ("team-queue", "t", "team-etl")


def own(published: Table, component: str, *bundles: str, team: str = "", words: str = "") -> Answer:
    configuration = AirflowConfiguration(os.environ)
    snapshot = Snapshot("/venv", published, configuration.bundles)
    return own_component(snapshot, configuration, component, list(bundles), team, words.split())


def refusal(published: Table, component: str, *bundles: str, team: str = "", words: str = "") -> Problem:
    with pytest.raises(ResolveError) as caught:
        own(published, component, *bundles, team=team, words=words)
    (problem,) = caught.value.problems
    assert problem.remedy
    return problem


def test_a_dag_processor_keeps_to_its_bundle() -> None:
    environment, words, variables = own(table(), "dag-processor", "a", words="--num-runs 1")
    assert environment == "env_a"
    assert words == ["dag-processor", "--bundle-name", "a", "--num-runs", "1"]
    assert variables == {}


def test_a_dag_processor_takes_several_bundles_of_one_environment() -> None:
    environment, words, _ = own(table(), "dag-processor", "lone", "a", "lone")
    assert environment == "env_a"
    assert words == ["dag-processor", "--bundle-name", "lone", "--bundle-name", "a"]


def test_a_dag_processor_of_a_team_has_all_its_bundles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BUNDLE_LIST, json.dumps([{"name": "airflows", "team_name": "t"}, {"name": "other"}]))
    environment, words, _ = own(table(), "dag-processor", team="t")
    assert environment == "env_a"
    assert words[1:] == ["--bundle-name", "a_too", "--bundle-name", "airflows", "--bundle-name", "b"]


def test_tasks_that_name_no_queue_get_the_one_of_their_bundle_or_team() -> None:
    published = table(QUEUE, TEAM_QUEUE)
    assert own(published, "dag-processor", "a")[2] == {DEFAULT_QUEUE: "etl"}
    assert own(published, "dag-processor", "b")[2] == {DEFAULT_QUEUE: "team-etl"}
    assert own(published, "dag-processor", team="t")[2] == {DEFAULT_QUEUE: "team-etl"}
    assert own(published, "dag-processor", "lone")[2] == {}


@pytest.mark.parametrize("bundles", [("a", "b"), ("a", "lone"), ("lone", "a")])
def test_one_dag_processor_has_one_queue(bundles: tuple[str, str]) -> None:
    problem = refusal(table(QUEUE, TEAM_QUEUE), "dag-processor", *bundles)
    assert "several queues" in problem.what
    assert "a has etl" in problem.what


@pytest.mark.parametrize("component", ["dag-processor", "worker", "triggerer"])
def test_bundles_of_several_environments_are_refused(component: str) -> None:
    problem = refusal(table(), component, "a", "c", words="-q x")
    assert problem.where == "bundles 'a', 'c'"
    assert problem.what == "several environments: a in env_a, c in env_c"


def test_a_team_whose_bundle_lives_elsewhere_is_refused() -> None:
    problem = refusal(table(), "dag-processor", team="u")
    assert problem.where == "team 'u'"
    assert problem.what == "several environments: the team itself in env_b, c in env_c"


@pytest.mark.parametrize(("team", "said"), [("nobodys", "has no bundle"), ("gone", "has no environment")])
def test_a_team_without_bundles_or_environment_is_refused(team: str, said: str) -> None:
    problem = refusal(table(), "dag-processor", team=team)
    assert problem.where == f"team '{team}'"
    assert said in problem.what


def test_an_unknown_bundle_is_refused() -> None:
    assert refusal(table(), "worker", "gone", words="-q x").where == "bundle 'gone'"


# workers


def test_a_worker_serves_its_bundles_or_teams_queue() -> None:
    published = table(QUEUE, TEAM_QUEUE)
    assert own(published, "worker", "a")[:2] == ("env_a", ["celery", "worker", "--queues", "etl"])
    assert own(published, "worker", "b")[1] == ["celery", "worker", "--queues", "team-etl"]
    assert own(published, "worker", team="t")[1] == ["celery", "worker", "--queues", "team-etl"]
    assert own(published, "worker", "a", words="--concurrency 2")[1][-2:] == ["--concurrency", "2"]


@pytest.mark.parametrize("words", ["-q x", "-qx", "--queues x", "--queues=x", "--concurrency 2 -q x,y"])
def test_a_worker_serves_the_queues_that_are_passed(words: str) -> None:
    for published in (table(), table(QUEUE)):
        assert own(published, "worker", "a", words=words)[1] == ["celery", "worker", *words.split()]


@pytest.mark.parametrize("words", ["", "--concurrency 2", "--queue", "--quiet", "x=--queues"])
def test_a_worker_that_nothing_keeps_from_others_tasks_is_refused(words: str) -> None:
    problem = refusal(table(), "worker", "a", words=words)
    assert "everybody's tasks" in problem.what
    assert "--queues" in problem.remedy


def test_a_worker_of_bundles_with_different_queues_is_refused_unless_it_names_them() -> None:
    published = table(QUEUE)
    assert "everybody's tasks" in refusal(published, "worker", "a", "lone").what
    assert own(published, "worker", "a", "lone", words="-q etl,x")[1] == ["celery", "worker", "-q", "etl,x"]


@pytest.mark.parametrize("where", ["variable", "file"])
def test_a_worker_says_its_team_where_airflow_has_teams(
    where: str, airflow: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = table(TEAM_QUEUE)
    assert "--team" not in own(published, "worker", "b")[1]
    if where == "variable":
        monkeypatch.setenv(MULTI_TEAM, "True")
    else:
        airflow.write_text("[core]\nmulti_team = true\n", encoding="utf-8")
    assert own(published, "worker", "b")[1][2:] == ["--team", "t", "--queues", "team-etl"]
    assert own(published, "worker", team="t", words="-q x")[1][2:] == ["--team", "t", "-q", "x"]
    assert own(table(QUEUE), "worker", "a")[1][2:] == ["--queues", "etl"]


def test_a_broker_of_the_teams_own_is_enough_where_airflow_has_teams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__T___CELERY__BROKER_URL", "redis://team-t")
    assert "everybody's tasks" in refusal(table(), "worker", team="t").what
    monkeypatch.setenv(MULTI_TEAM, "True")
    assert own(table(), "worker", team="t")[1] == ["celery", "worker", "--team", "t"]
    assert "everybody's tasks" in refusal(table(), "worker", "lone").what
    monkeypatch.delenv("AIRFLOW__T___CELERY__BROKER_URL")
    assert "everybody's tasks" in refusal(table(), "worker", team="t").what


# triggerers


def test_a_triggerer_that_nothing_keeps_from_others_triggers_is_refused() -> None:
    for words in ("", "--queues x", "-q x"):
        problem = refusal(table(QUEUE), "triggerer", "a", words=words)
        assert "everybody's triggers" in problem.what
        assert "queues_enabled" in problem.remedy


@pytest.mark.parametrize("where", ["variable", "file"])
def test_a_triggerer_keeps_to_its_queue_where_airflow_queues_triggers(
    where: str, airflow: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if where == "variable":
        monkeypatch.setenv(QUEUES_ENABLED, "true")
    else:
        airflow.write_text("[triggerer]\nqueues_enabled = 1\n", encoding="utf-8")
    published = table(QUEUE)
    assert own(published, "triggerer", "a")[:2] == ("env_a", ["triggerer", "--queues", "etl"])
    assert own(published, "triggerer", "a", words="--queues=x")[1] == ["triggerer", "--queues=x"]
    assert "everybody's triggers" in refusal(published, "triggerer", "lone").what


def test_a_triggerer_keeps_to_its_team_where_airflow_has_teams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MULTI_TEAM, "True")
    assert own(table(), "triggerer", team="t")[:2] == ("env_a", ["triggerer", "--team-name", "t"])
    assert own(table(), "triggerer", "b", words="--capacity 5")[1][1:] == [
        "--team-name",
        "t",
        "--capacity",
        "5",
    ]
    assert "everybody's triggers" in refusal(table(), "triggerer", "lone").what


def test_a_team_with_a_queue_names_both_or_its_deferred_tasks_would_wait_forever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(MULTI_TEAM, "True")
    monkeypatch.setenv(QUEUES_ENABLED, "True")
    words = own(table(TEAM_QUEUE), "triggerer", team="t")[1]
    assert words == ["triggerer", "--team-name", "t", "--queues", "team-etl"]
    words = own(table(), "triggerer", team="t", words="--queues x")[1]
    assert words == ["triggerer", "--team-name", "t", "--queues", "x"]


def test_a_team_of_several_environments_keeps_nobodys_work_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MULTI_TEAM, "True")
    monkeypatch.setenv("AIRFLOW__U___CELERY__BROKER_URL", "redis://team-u")
    monkeypatch.setenv(BUNDLE_LIST, json.dumps([{"name": "other", "team_name": "u"}]))
    for component in ("triggerer", "worker"):
        problem = refusal(table(), component, "c")
        assert problem.where == "team 'u'"
        assert problem.what.endswith("have it, too: c in env_c, other in env_b")
    queue = ("bundle-queue", "c", "of-c")
    assert own(table(queue), "worker", "c")[1][2:] == ["--team", "u", "--queues", "of-c"]


def test_a_list_of_allowed_triggers_needs_the_shared_triggerer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MULTI_TEAM, "True")
    published = table(("trigger", "airflow.*", "-"), TEAM_QUEUE)
    problem = refusal(published, "triggerer", team="t")
    assert problem.where == "envman.toml: triggerer.allow"
    assert "envman launch triggerer" in problem.remedy
    assert own(published, "worker", team="t")[0] == "env_a"


@pytest.mark.parametrize("component", ["worker", "triggerer"])
def test_a_queue_that_another_environment_has_too_keeps_nobodys_work_away(
    component: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(QUEUES_ENABLED, "True")
    shared = (("bundle-queue", "lone", "etl"), ("bundle-queue", "a", "etl"))
    assert own(table(*shared), component, "a")[1][-2:] == ["--queues", "etl"]
    problem = refusal(table(*shared, ("team-queue", "u", "etl")), component, "a")
    assert problem.where == "queue 'etl'"
    assert problem.what.endswith("have it, too: a in env_a, c in env_c, lone in env_a")
    monkeypatch.setenv(BUNDLE_LIST, json.dumps([{"name": "other", "team_name": "u"}]))
    problem = refusal(table(("team-queue", "u", "of-u")), component, "c")
    assert problem.what.endswith("have it, too: c in env_c, other in env_b")


def test_teams_that_airflow_keeps_apart_may_have_queues_of_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MULTI_TEAM, "True")
    monkeypatch.setenv(QUEUES_ENABLED, "True")
    published = table(("team-queue", "t", "etl"), ("team-queue", "u", "etl"))
    assert own(published, "triggerer", "c")[1][1:] == ["--team-name", "u", "--queues", "etl"]
    assert refusal(published, "worker", "c").where == "queue 'etl'"
    monkeypatch.setenv("AIRFLOW__U___CELERY__BROKER_URL", "redis://team-u")
    assert own(published, "worker", "c")[1][2:] == ["--team", "u", "--queues", "etl"]


def test_a_bundle_that_runs_nowhere_has_no_work_to_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BUNDLE_LIST, json.dumps([{"name": "homeless", "team_name": "no_environment"}]))
    published = table(QUEUE, ("team-queue", "no_environment", "etl"))
    assert own(published, "worker", "a")[0] == "env_a"


@pytest.mark.parametrize(("component", "words"), [("dag-processor", ""), ("triggerer", "")])
def test_a_stock_component_of_a_bundle_with_shared_folders_is_refused(component: str, words: str) -> None:
    published = table(("shared", "a", "../common"), QUEUE)
    problem = refusal(published, component, "a", words=words)
    assert "finds no shared folders, and there are some for: a" in problem.what
    assert own(published, "worker", "a")[0] == "env_a"
    assert own(published, "dag-processor", "lone")[0] == "env_a"
