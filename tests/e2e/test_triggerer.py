"""The shared triggerer: runners that crash, block or are replaced, unvetted triggers, callbacks and assets."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.airflow import AirflowDeployment
from tests.e2e.conftest import BOTH_WAYS, GRIDS, PYTHONS, Deploy, Estate
from tests.e2e.kinds import envman

pytestmark = pytest.mark.registry

WAYS = BOTH_WAYS if os.environ.get("ENVMAN_E2E_ALL") else ["warm"]

ALERTS = '''
"""Deadlines that pass at once, with a callback in the executor and one in the triggerer."""
from datetime import datetime, timedelta

from airflow.sdk import DAG, AsyncCallback, DeadlineAlert, DeadlineReference, SyncCallback, task
import json, os, sys


def alert(kind, when=None, context=None):
    note = {{"python": "{{}}.{{}}".format(*sys.version_info[:2]), "when": str(when), "type": type(when).__name__}}
    path = os.path.join(os.environ["E2E_NOTES"], f"alert_{{kind}}_{letter}")
    with open(path + ".new", "w") as stream:
        json.dump(note, stream)
    os.rename(path + ".new", path)


def late(name, callback):
    with DAG(
        f"{{name}}_{letter}",
        schedule=None,
        deadline=DeadlineAlert(
            reference=DeadlineReference.DAGRUN_QUEUED_AT, interval=timedelta(seconds=1), callback=callback
        ),
    ) as dag:

        @task
        def slow():
            import time

            time.sleep(12)

        slow()
    return dag


sync = late("sync", SyncCallback(alert, {{"kind": "sync", "when": datetime(2026, 1, 1)}}))
later = late("async", AsyncCallback("envman_e2e_{letter}.late", {{}}))
'''


def runner_of(airflow: AirflowDeployment, environment: str) -> int:
    """The process that runs an environment's triggers."""
    found = airflow.workloads(f"triggers {environment}")
    assert len(found) == 1, found
    return found[0]


@pytest.fixture(scope="module")
def airflow(estate: Estate, deploy: Deploy) -> Iterator[AirflowDeployment]:
    made = deploy(
        AIRFLOW__TRIGGERER__RUNNER_HEALTH_CHECK_THRESHOLD="8",
        AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC="2",
    )
    alerts = {letter: estate.folder / f"bundles/bundle_{letter}/alerts.py" for letter in ("a", "b")}
    for letter, file in alerts.items():
        file.write_text(ALERTS.format(letter=letter))
    made.start_api_server()
    made.start("dag-processor", *envman("launch", "dag-processor"))
    made.start("scheduler", *envman("launch", "--", "airflow", "scheduler"))
    made.start("triggerer", *envman("launch", "triggerer"))
    made.wait_for("all Dags", lambda: {"sync_b", "sync_a", "crashing_b", "crashing_a"} <= made.dag_ids())
    yield made
    for file in alerts.values():  # the estate is that of all modules
        file.unlink()


def test_a_runner_that_crashes_is_started_again_and_the_others_do_not_notice(
    airflow: AirflowDeployment,
) -> None:
    other = airflow.trigger("deferred_b")
    run = airflow.trigger("crashing_a")
    assert airflow.finished("deferred_b", other) == "success"
    bystander = runner_of(airflow, "env_b")
    assert airflow.finished("crashing_a", run) == "success"
    python, grid, pid = airflow.xcom("crashing_a", run, "wait")
    assert (python, grid) == (PYTHONS["a"], GRIDS["a"])
    assert pid == runner_of(airflow, "env_a")
    assert runner_of(airflow, "env_b") == bystander
    assert "Trigger runner exited with 9; starting it again" in airflow.output("triggerer")


def test_a_runner_that_blocks_is_ended_and_the_others_do_not_wait(airflow: AirflowDeployment) -> None:
    run = airflow.trigger("blocking_a")
    mark = airflow.home / "notes/trigger_block_envman_e2e_a"
    airflow.wait_for("the trigger to block", mark.exists)
    other = airflow.trigger("deferred_b")
    assert airflow.finished("deferred_b", other) == "success"
    assert airflow.state("blocking_a", run) == "running"
    assert airflow.finished("blocking_a", run) == "success"
    assert "Trigger runner does not answer" in airflow.output("triggerer")


def test_a_runner_that_is_killed_is_started_again(airflow: AirflowDeployment) -> None:
    first = airflow.trigger("deferred_b")
    airflow.finished("deferred_b", first)
    os.kill(runner_of(airflow, "env_b"), signal.SIGKILL)
    second = airflow.trigger("deferred_b")
    assert airflow.finished("deferred_b", second) == "success"


@pytest.mark.parametrize("letter", ["a", "b"])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_deadlines_callback_runs_in_the_bundles_interpreter(
    airflow: AirflowDeployment, letter: str, kind: str
) -> None:
    """The synchronous ones run below the executor, the others in the triggerer."""
    airflow.trigger(f"{kind}_{letter}")
    path = airflow.home / f"notes/alert_{kind}_{letter}"
    airflow.wait_for("the alert", path.exists, 120)
    assert json.loads(path.read_text())["python"] == PYTHONS[letter]


def test_a_trigger_class_that_is_not_allowed_fails_its_task_and_says_so(
    estate: Estate, airflow: AirflowDeployment
) -> None:
    table = estate.root / ".state/table"
    text = table.read_text()
    try:
        table.write_text(text.rstrip("\n") + "\ntrigger\tairflow.providers.*\t-\n")
        run = airflow.trigger("deferred_a")
        assert airflow.finished("deferred_a", run) == "failed"
    finally:
        table.write_text(text)
    log = airflow.log("deferred_a", run, "wait")
    assert (
        "The trigger class envman_e2e_a.Waiting is not allowed in this deployment: airflow.providers.*" in log
    )


def test_a_bundle_that_loses_its_environment_fails_its_tasks_and_their_log_says_so(
    estate: Estate, airflow: AirflowDeployment
) -> None:
    table = estate.root / ".state/table"
    text = table.read_text()
    try:
        table.write_text(text.replace("team\tteam_b\tenv_b", "team\tteam_b\tgone"))
        run = airflow.trigger("retried_b")
        assert airflow.finished("retried_b", run) == "failed"
    finally:
        table.write_text(text)
    assert "environment 'gone'" in airflow.log("retried_b", run, "second_time")


def test_all_runners_end_with_the_triggerer(airflow: AirflowDeployment) -> None:
    mine = [runner_of(airflow, "env_a"), runner_of(airflow, "env_b")]
    assert airflow.stop("triggerer", signal.SIGTERM) == 0
    assert not [pid for pid in mine if Path(f"/proc/{pid}").exists()]
