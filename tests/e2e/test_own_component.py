"""A component for each bundle: the stock one, inside the bundle's environment, on any Airflow 3."""

from __future__ import annotations

import sqlite3

import pytest

from tests.e2e.conftest import GRIDS, Deploy, Estate
from tests.e2e.kinds import envman

pytestmark = pytest.mark.registry


def test_each_bundle_has_a_dag_processor_of_its_own(estate: Estate, deploy: Deploy) -> None:
    airflow = deploy(estate.bundle_list())
    for bundle in ("bundle_a", "bundle_b", "bundle_c"):
        finished = airflow.run(
            *envman("launch", "dag-processor", "--bundle", bundle, "--", "--num-runs", "1")
        )
        assert finished.returncode == 0, finished.stdout + finished.stderr
        assert "envman launch:" not in finished.stderr
    with sqlite3.connect(airflow.home / "airflow.db") as database:
        dags = dict(database.execute("select bundle_name, count(*) from dag group by bundle_name"))
        tags = dict(database.execute("select dag_id, name from dag_tag where dag_id like 'plain%'"))
        errors = [row[0] for row in database.execute("select filename from import_error")]
    assert dags == {"bundle_a": 14, "bundle_b": 14, "bundle_c": 1}
    assert tags == {f"plain_{letter}": f"grid {GRIDS[letter]}" for letter in ("a", "b")}
    assert errors == ["broken.py"]


def test_a_team_has_a_dag_processor_of_its_own(estate: Estate, deploy: Deploy) -> None:
    airflow = deploy(estate.bundle_list())
    finished = airflow.run(*envman("launch", "dag-processor", "--team", "team_b", "--", "--num-runs", "1"))
    assert finished.returncode == 0, finished.stdout + finished.stderr
    with sqlite3.connect(airflow.home / "airflow.db") as database:
        assert {row[0] for row in database.execute("select bundle_name from dag")} == {"bundle_b"}
