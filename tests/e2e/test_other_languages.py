"""Tasks and Dag files that Airflow gives to another runtime: refused, as it would run past user and limits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.airflow import AirflowDeployment
from tests.e2e.conftest import LOCAL_BUNDLE, MINOR, Deploy
from tests.e2e.kinds import envman

pytestmark = pytest.mark.registry

DAG = """
from airflow.sdk import DAG, task

with DAG("routed", schedule=None):

    @task(queue="typescript")
    def one():
        return 1

    one()
"""
NODE = '#!/bin/sh\nenv > "{note}"\n'


@pytest.fixture(scope="module")
def airflow(deploy: Deploy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowDeployment]:
    """A bundle with a file of another language beside Python's, and a coordinator that would leave a note."""
    folder = tmp_path_factory.mktemp("bundle")
    (folder / "routed.py").write_text(DAG)
    (folder / "native.min.mjs").write_text("//# airflowBundle=1\n")
    node = folder.with_name("node")
    coordinator = {
        "classpath": "airflow.sdk.coordinators.node.NodeCoordinator",
        "kwargs": {"node_executable": str(node)},
    }
    made = deploy(
        [{"name": "bundle_a", "classpath": LOCAL_BUNDLE, "kwargs": {"path": str(folder)}}],
        AIRFLOW__SDK__COORDINATORS=json.dumps({"ts": coordinator}),
        AIRFLOW__SDK__QUEUE_TO_COORDINATOR=json.dumps({"typescript": "ts"}),
    )
    node.write_text(NODE.format(note=made.home / "notes/ran"))
    node.chmod(0o755)
    made.start_api_server()
    made.start("dag-processor", *envman("launch", "dag-processor"))
    made.start("scheduler", *envman("launch", "scheduler"))
    made.wait_for("the Dag", lambda: "routed" in made.dag_ids())
    yield made
    assert not (made.home / "notes/ran").exists()


def test_a_component_says_at_its_start_what_it_will_refuse(airflow: AirflowDeployment) -> None:
    for component in ("dag-processor", "scheduler"):
        assert "envman launch: warning: [sdk] coordinators: ts;" in airflow.output(component)
        assert "tasks of these queues fail: typescript" in airflow.output(component)


def test_a_task_of_its_queue_fails_and_its_log_says_why(airflow: AirflowDeployment) -> None:
    run = airflow.trigger("routed")
    assert airflow.finished("routed", run) == "failed"
    log = airflow.log("routed", run, "one")
    assert "[sdk] queue_to_coordinator: 'typescript': the coordinator 'ts' would run this task without" in log
    assert "so it was not started" in log


def test_a_file_of_its_language_is_an_import_error(airflow: AirflowDeployment) -> None:
    if MINOR < (3, 4):  # where Airflow knows no such files, and lists none
        assert airflow.import_errors() == {}
        return
    errors = airflow.wait_for("the import error", airflow.import_errors)
    assert list(errors) == ["bundle_a/native.min.mjs"]
    (text,) = errors.values()
    assert "This file was not parsed." in text
    assert "[sdk] coordinators: a coordinator would run this file without the user, limits" in text


def test_nothing_of_it_was_started(airflow: AirflowDeployment) -> None:
    """Its runtime, a script here, would have written down the variables that it got."""
    assert "routed" in airflow.dag_ids()
    assert not Path(airflow.home / "notes/ran").exists()
