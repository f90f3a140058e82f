"""`envman test --dag`: one Dag, of one bundle, on an Airflow that is thrown away."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Deployment
from tests.e2e.conftest import PYTHONS

pytestmark = pytest.mark.registry

SALES = """
import os
import sys

from airflow.sdk import DAG, BaseHook, Variable, task
from beside import NAME

with DAG("sales", schedule=None):

    @task
    def extract():
        connection = BaseHook.get_connection("warehouse")
        print("by print", connection.password, connection.host, Variable.get("region"))
        os.write(1, connection.get_uri().encode() + b"\\n")
        print(Variable.get("api_token"), os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
        return [1, 2]

    @task(retries=5)
    def load(number):
        if number == 2:
            raise RuntimeError("no two")
        print(f"loaded {number} {NAME} {sys.version_info[1]}")

    load.expand(number=extract())
"""


def test_a_dag_runs_once_in_its_own_environment_and_database(estate: Deployment, tmp_path: Path) -> None:
    for bundle in ("a", "b"):  # a Dag of one name in each
        (tmp_path / bundle).mkdir()
        (tmp_path / bundle / "sales.py").write_text(SALES)
        (tmp_path / bundle / "beside.py").write_text(f"NAME = 'of_{bundle}'\n")
    (tmp_path / "c.yaml").write_text("warehouse: postgres://me:hunter2-secret@db.example/main\n")
    (tmp_path / "v.json").write_text('{"region": "eu-west", "api_token": "tok-123456789"}')
    files = ("--connections", str(tmp_path / "c.yaml"), "--variables", str(tmp_path / "v.json"))
    deployment = {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql://nobody:nothing@127.0.0.1:1/none",
        "AIRFLOW__SECRETS__BACKEND": "no.such.Backend",
        "TMPDIR": str(tmp_path),
    }
    words = ("test", "bundle_a", "--path", str(tmp_path / "a"), "--dag", "sales", "--json")
    run = estate.run(*words, *files, variables=deployment)
    assert run.exit_code == 1, run.stderr
    result = run.json["result"]
    ended = {(task["task"], task["index"]): task["state"] for task in result["tasks"]}
    assert ended == {("extract", -1): "success", ("load", 0): "success", ("load", 1): "failed"}
    assert (result["environment"], result["state"]) == ("env_a", "failed")
    assert [problem["where"] for problem in run.json["problems"]] == ["task 'load[1]'"]
    assert f"loaded 1 of_a {PYTHONS['a'].partition('.')[2]}" in run.stderr
    assert "by print *** db.example eu-west" in run.stderr
    assert f"*** sqlite:///{tmp_path}/envman-test-" in run.stderr
    for secret in ("hunter2-secret", "tok-123456789"):
        assert secret not in run.stdout + run.stderr
    assert not list(tmp_path.glob("envman-test-*"))
    (tmp_path / "b/broken.py").write_text(
        "from airflow.sdk import DAG, BaseHook\n"
        "raise RuntimeError(BaseHook.get_connection('warehouse').get_uri())\n"
    )
    unknown = estate.run("test", "bundle_a", "--path", str(tmp_path / "b"), "--dag", "sale", *files)
    assert "broken.py: RuntimeError: ***" in unknown.stderr
    assert "hunter2-secret" not in unknown.stderr
    assert unknown.exit_code == 2
    assert "Did you mean 'sales'?" in unknown.stderr
