"""Everything on one machine, by one command: a newcomer's Airflow."""

from __future__ import annotations

import signal

import pytest

from tests.e2e.airflow import PATIENCE, AirflowDeployment
from tests.e2e.conftest import Deploy
from tests.e2e.kinds import LETTERS, envman, in_its_own

pytestmark = pytest.mark.registry

COMPONENTS = ("scheduler", "dag-processor", "api-server", "triggerer")


@pytest.fixture(scope="module")
def airflow(deploy: Deploy) -> AirflowDeployment:
    made = deploy(NO_COLOR="1", PYTHONUNBUFFERED="1")
    made.start("standalone", *envman("launch", "standalone"))
    made.wait_for("all of it", lambda: "Airflow is ready" in made.output("standalone"))
    made.wait_for("the API server", made.is_healthy)
    return made


def test_each_component_says_what_it_is(airflow: AirflowDeployment) -> None:
    said = airflow.output("standalone")
    assert "envman launch: standalone, Airflow " in said
    for name in COMPONENTS:
        assert f"{name:10} | envman launch: {name}, Airflow " in said
    assert "api-server | envman launch: api-server, Airflow" in said
    assert ": it runs no bundle's code" in said
    assert "may have read this component's variables" not in said


def test_tasks_run_in_their_bundles_interpreters(airflow: AirflowDeployment) -> None:
    airflow.wait_for("the Dags", lambda: {f"plain_{letter}" for letter in LETTERS} <= airflow.dag_ids())
    airflow.api("POST", "/api/v2/variables", {"key": "shared", "value": "of everybody"})
    shared = {"connection_id": "shared", "conn_type": "http", "host": "there"}
    airflow.api("POST", "/api/v2/connections", shared)
    runs = {letter: airflow.trigger(f"plain_{letter}") for letter in LETTERS}
    for letter, run in runs.items():
        assert airflow.finished(f"plain_{letter}", run) == "success"
        assert in_its_own(letter, airflow.xcom(f"plain_{letter}", run, "where"))


def test_it_ends_as_one(airflow: AirflowDeployment) -> None:
    assert airflow.stop("standalone", signal.SIGINT, PATIENCE) == 0
    assert "Complete" in airflow.output("standalone")
    for name in COMPONENTS:
        assert airflow.children(f"component.py {name}") == []
