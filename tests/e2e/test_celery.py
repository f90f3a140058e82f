"""Celery and Airflow's teams: one shared worker and triggerer, and a worker for a team. See test_executors.py, too."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.e2e.airflow import AirflowDeployment
from tests.e2e.conftest import BOTH_WAYS, GRIDS, PYTHONS, Deploy, Estate
from tests.e2e.kinds import ENDS, LETTERS, Kinds, envman, in_its_own
from tests.e2e.services import redis

pytestmark = pytest.mark.registry

WAYS = BOTH_WAYS if os.environ.get("ENVMAN_E2E_ALL") else ["warm"]

by_letter = pytest.mark.parametrize("letter", LETTERS)


@pytest.fixture(scope="module")
def airflow(estate: Estate, deploy: Deploy) -> Iterator[AirflowDeployment]:
    """Airflow with `multi_team` on. Two bundles are team_b's; one of them has an environment of its own."""
    with redis() as broker:
        made = deploy(
            estate.bundle_list(teams={"bundle_b": "team_b", "bundle_c": "team_b"}),
            AIRFLOW__CORE__MULTI_TEAM="True",
            AIRFLOW__CORE__EXECUTOR="CeleryExecutor;team_b=CeleryExecutor",
            AIRFLOW__CELERY__BROKER_URL=broker,
            AIRFLOW__CELERY__WORKER_CONCURRENCY="2",
            AIRFLOW__TEAM_B___CELERY__BROKER_URL=broker.replace("/0", "/1"),
            AIRFLOW__TEAM_B___CELERY__WORKER_CONCURRENCY="2",
        )
        made.environ["AIRFLOW__TEAM_B___CELERY__RESULT_BACKEND"] = made.environ[
            "AIRFLOW__CELERY__RESULT_BACKEND"
        ]
        team = made.run(f"{made.stock}/airflow", "teams", "create", "team_b")
        assert team.returncode == 0, team.stdout + team.stderr
        made.start_api_server()
        yield made
        made.stop_all()


@pytest.fixture(scope="module")
def kinds(airflow: AirflowDeployment) -> Kinds:
    """Every kind of Dag of bundle_b, whose tasks run on a worker of its own; others' run on the shared one."""
    airflow.start("dag-processor", *envman("launch", "dag-processor"))
    airflow.start("scheduler", *envman("launch", "scheduler"))
    queues = "default,queue-that-nobody-configured-a"
    airflow.start("worker", *envman("launch", "worker", "--", "--queues", queues))
    own = ["--skip-serve-logs", "--queues", "default,queue-that-nobody-configured-b"]
    airflow.start("worker-b", *envman("launch", "worker", "--bundle", "bundle_b", "--", *own))
    airflow.start("triggerer", *envman("launch", "triggerer"))
    return Kinds(airflow).run("plain_a", "deferred_a", *(f"{kind}_b" for kind in ENDS))


def test_every_run_ends_as_in_stock_airflow(kinds: Kinds) -> None:
    wanted = {f"{kind}_b": end for kind, end in ENDS.items()}
    assert kinds.ends == wanted | {"plain_a": "success", "deferred_a": "success"}


@by_letter
def test_a_task_runs_in_its_bundles_interpreter(kinds: Kinds, letter: str) -> None:
    assert in_its_own(letter, kinds.value(f"plain_{letter}", "where"))
    assert kinds.value(f"plain_{letter}", "same")[:2] == ["of everybody", "there"]


@by_letter
def test_one_triggerer_serves_the_triggers_of_all_teams(kinds: Kinds, letter: str) -> None:
    assert kinds.value(f"deferred_{letter}", "wait")[:2] == [PYTHONS[letter], GRIDS[letter]]


def test_callbacks_run_in_the_bundles_interpreter(kinds: Kinds) -> None:
    assert in_its_own("b", kinds.note("task_callback_b"))
    assert in_its_own("b", kinds.note("dag_callback_b"))


def test_a_probe_finds_both_workers_at_work(kinds: Kinds) -> None:
    """The one of a team has envman's guard in it, so it leaves beats, too."""
    told = kinds.airflow.run(*envman("launch", "worker", "--health"))
    assert told.returncode == 0, told.stdout
    assert told.stdout.count("worker: process ") == 2


def test_a_killed_task_on_a_queue_that_nobody_configured_cleans_up(kinds: Kinds) -> None:
    airflow = kinds.airflow
    run = airflow.trigger("long_a")
    started = kinds.note("started_a")
    assert in_its_own("a", started)
    airflow.api("PATCH", f"/api/v2/dags/long_a/dagRuns/{run}/taskInstances/wait", {"new_state": "failed"})
    assert kinds.note("on_kill_a")["pid"] == started["pid"]


def test_a_worker_of_ones_own_refuses_what_came_into_its_queue_by_mistake(kinds: Kinds) -> None:
    """Both bundles of the team are in its executor's default queue; the worker is there for one of them."""
    airflow = kinds.airflow
    run = airflow.trigger("only_c")
    assert airflow.finished("only_c", run) == "failed"
    log = airflow.log("only_c", run, "one")
    assert "its environment is 'env_c', this worker is there for 'env_b' alone" in log


def test_a_worker_of_ones_own_runs_its_tasks_in_its_own_interpreter(kinds: Kinds) -> None:
    """As stock Airflow does, in a fork: no interpreter is started for each task."""
    told = [line for line in kinds.airflow.output("worker-b").splitlines() if line.startswith("  bundle_")]
    assert [line.split()[:2] for line in told] == [["bundle_b", "env_b"]]
    started = kinds.airflow.trigger("long_b")
    assert in_its_own("b", kinds.note("started_b"))
    assert kinds.airflow.workloads("task bundle_b") == []
    kinds.airflow.api(
        "PATCH", f"/api/v2/dags/long_b/dagRuns/{started}/taskInstances/wait", {"new_state": "failed"}
    )
    assert in_its_own("b", kinds.note("on_kill_b"))
