"""A component for each bundle: the stock one, inside the bundle's environment, on any Airflow 3."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.airflow import AirflowDeployment
from tests.e2e.conftest import GRIDS, Deploy, Estate
from tests.e2e.kinds import envman

pytestmark = pytest.mark.registry


@pytest.fixture
def airflow(estate: Estate, deploy: Deploy, tmp_path: Path) -> AirflowDeployment:
    """On SQLite: the environments of the estate's bundles have no driver for PostgreSQL."""
    return deploy(
        estate.bundle_list(), AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{tmp_path}/airflow.db"
    )


def test_each_bundle_has_a_dag_processor_of_its_own(airflow: AirflowDeployment) -> None:
    for bundle in ("bundle_a", "bundle_b", "bundle_c"):
        finished = airflow.run(
            *envman("launch", "dag-processor", "--bundle", bundle, "--", "--num-runs", "1")
        )
        assert finished.returncode == 0, finished.stdout + finished.stderr
        assert "envman launch:" not in finished.stderr
    dags = dict(airflow.rows("select bundle_name, count(*) from dag group by bundle_name"))
    tags = dict(airflow.rows("select dag_id, name from dag_tag where dag_id like 'plain%'"))
    errors = airflow.rows("select filename from import_error")
    assert dags == {"bundle_a": 16, "bundle_b": 16, "bundle_c": 1}
    assert tags == {f"plain_{letter}": f"grid {GRIDS[letter]}" for letter in ("a", "b")}
    assert errors == [("broken.py",)]


def test_a_team_has_a_dag_processor_of_its_own(airflow: AirflowDeployment) -> None:
    finished = airflow.run(*envman("launch", "dag-processor", "--team", "team_b", "--", "--num-runs", "1"))
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert airflow.rows("select distinct bundle_name from dag") == [("bundle_b",)]
