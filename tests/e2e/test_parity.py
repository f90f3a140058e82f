"""Airflow's own example Dags, parsed by the stock Dag processor and by the shared one in an equal environment."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.airflow import AirflowDeployment, publish, with_records
from tests.e2e.conftest import BOTH_WAYS, LOCAL_BUNDLE, Deploy, Estate
from tests.e2e.kinds import envman

pytestmark = pytest.mark.registry

WAYS = BOTH_WAYS if os.environ.get("ENVMAN_E2E_ALL") else ["warm"]

TABLES = {
    "serialized": "select dag_id, data from serialized_dag order by dag_id",
    "import errors": "select filename, bundle_name, stacktrace from import_error order by filename",
    "warnings": "select dag_id, warning_type, message from dag_warning order by dag_id",
    "tags": "select dag_id, name from dag_tag order by dag_id, name",
    "assets": 'select name, uri, "group", extra from asset order by name, uri',
}


OPTIONS = ("--num-runs", "1")

Given = dict[str, str]
Rows = dict[str, list[tuple[Any, ...]]]


@pytest.fixture(scope="session")
def examples(estate: Estate) -> tuple[list[dict[str, object]], Given]:
    """The folders of Airflow's example Dags as bundles, and variables; they are parsed in the environment `core`."""
    packages = next((estate.root / "core/lib").glob("python3*/site-packages"))
    folders = {
        "examples": packages / "airflow/example_dags",
        "standard": packages / "airflow/providers/standard/example_dags",
    }
    bundles: list[dict[str, object]] = []
    for name, folder in folders.items():
        assert list(folder.glob("*.py")), folder
        bundles.append({"name": name, "classpath": LOCAL_BUNDLE, "kwargs": {"path": str(folder)}})
    same = {"AIRFLOW__CORE__DAGS_FOLDER": str(estate.folder / "dags"), "PYTHONHASHSEED": "7"}
    return bundles, same


@pytest.fixture(scope="session")
def stock(deployer: Deploy, examples: tuple[list[dict[str, object]], Given]) -> Rows:
    """What the stock Dag processor makes of them."""
    airflow = deployer(examples[0], **examples[1])
    return parse(airflow, f"{airflow.stock}/airflow", "dag-processor", *OPTIONS)


def parse(airflow: AirflowDeployment, *command: str) -> Rows:
    finished: subprocess.CompletedProcess[str] = airflow.run(*command, timeout=900)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return {name: airflow.rows(query) for name, query in TABLES.items()}


def test_the_shared_dag_processor_gives_the_same_as_the_stock_one(
    estate: Estate, deploy: Deploy, examples: tuple[list[dict[str, object]], Given], stock: Rows
) -> None:
    airflow = deploy(examples[0], **examples[1])
    text = (estate.root / ".state/table").read_text()
    try:
        publish(estate.root, with_records(text, "bundle\texamples\tcore\t", "bundle\tstandard\tcore\t"))
        shared = parse(airflow, *envman("launch", "dag-processor", "--", *OPTIONS))
    finally:
        publish(estate.root, text)
    assert len(stock["serialized"]) > 60
    for name in TABLES:
        if name != "serialized":
            assert shared[name] == stock[name], name
    theirs = dict(stock["serialized"])
    ours = dict(shared["serialized"])
    assert ours.keys() == theirs.keys()
    assert {dag for dag in ours if ours[dag] != theirs[dag]} == set()


def test_a_dag_that_did_not_change_gets_no_new_version(deploy: Deploy, tmp_path: Path) -> None:
    """The order of a set, which reaches the serialized Dag, is the same in each interpreter of a generation."""
    text = (
        "from airflow.sdk import DAG, BaseOperator\n"
        "class Many(BaseOperator):\n"
        "    template_fields = tuple({'one', 'two', 'three', 'four', 'five', 'six', 'seven'})\n"
        "    one = two = three = four = five = six = seven = 'x'\n"
        "with DAG('steady', schedule=None):\n    Many(task_id='t')\n"
    )
    (tmp_path / "steady.py").write_text(text)
    bundle = {"name": "bundle_a", "classpath": LOCAL_BUNDLE, "kwargs": {"path": str(tmp_path)}}
    airflow = deploy([bundle], AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL="0")
    versions = []
    for _ in range(3):
        finished = airflow.run(*envman("launch", "dag-processor", "--", "--num-runs", "1"))
        assert finished.returncode == 0, finished.stdout + finished.stderr
        versions += airflow.rows("select count(*), max(cast(data as text)) from serialized_dag")
    assert versions[0][0] == 1
    assert versions[0] == versions[1] == versions[2]
