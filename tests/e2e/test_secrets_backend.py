"""A secrets backend of the components: workloads are answered by it, and have it only where their spec passes it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.airflow import AirflowDeployment, another_root, publish, with_records
from tests.e2e.conftest import BOTH_WAYS, LOCAL_BUNDLE, Deploy, Estate
from tests.e2e.kinds import envman

pytestmark = pytest.mark.registry

WAYS = BOTH_WAYS if os.environ.get("ENVMAN_E2E_ALL") else ["warm"]

DAG = """
import json
import os
from pathlib import Path

from airflow.configuration import conf, get_custom_secret_backend
from airflow.sdk import DAG, Variable, task


def ask():
    listed = conf.getjson("dag_processor", "dag_bundle_config_list")
    return {
        "variable": Variable.get("kept_in_the_backend"),
        "backend": type(get_custom_secret_backend(worker_mode=True)).__name__,
        "arguments": os.environ.get("AIRFLOW__SECRETS__BACKEND_KWARGS", ""),
        "bundles": [entry["name"] for entry in listed],
        "owner": conf.get("operators", "default_owner"),
    }


(Path(os.environ["E2E_NOTES"]) / "BUNDLE").write_text(json.dumps(ask()))

with DAG("asks_BUNDLE", schedule=None):
    task(ask)()
"""
CLASS = "LocalFilesystemBackend"
BACKEND = f"airflow.secrets.local_filesystem.{CLASS}"
NAMES = ("bundle_a", "bundle_b")


@pytest.fixture(scope="module")
def airflow(deploy: Deploy, estate: Estate, tmp_path_factory: pytest.TempPathFactory) -> AirflowDeployment:
    """The backend's name stands in airflow.cfg, its arguments in a variable, which env_b alone gets."""
    folder = tmp_path_factory.mktemp("bundles")
    for name in NAMES:
        (folder / name).mkdir()
        (folder / name / "asks.py").write_text(DAG.replace("BUNDLE", name))
    kept = folder / "variables.json"
    kept.write_text(json.dumps({"kept_in_the_backend": "found"}))
    made = deploy(
        [{"name": name, "classpath": LOCAL_BUNDLE, "kwargs": {"path": str(folder / name)}} for name in NAMES],
        AIRFLOW__SECRETS__BACKEND_KWARGS=json.dumps({"variables_file_path": str(kept)}),
        AIRFLOW__OPERATORS__DEFAULT_OWNER="somebody",
    )
    settings = made.home / "airflow.cfg"
    text = settings.read_text()
    assert text.count("\nbackend = \n") == 1
    settings.write_text(text.replace("\nbackend = \n", f"\nbackend = {BACKEND}\n"))
    root = another_root(estate.root, made.home / "root")
    table = (root / ".state/table").read_text()
    assert "pass\tenv_b\tE2E_*\n" in table
    publish(root, with_records(table.replace("pass\tenv_b\tE2E_*", "pass\tenv_b\tE2E_* AIRFLOW__SECRETS__*")))
    made.environ["ENVMAN_ROOT"] = str(root)
    made.start_api_server()
    made.start("dag-processor", *envman("launch", "dag-processor"))
    made.start("scheduler", *envman("launch", "scheduler"))
    made.wait_for("the Dags", lambda: made.dag_ids() == {f"asks_{name}" for name in NAMES})
    return made


def wanted(airflow: AirflowDeployment, name: str) -> dict[str, Any]:
    """Both find the variable: one asks its component, the other the backend."""
    has = name == "bundle_b"
    return {
        "variable": "found",
        "backend": CLASS if has else "NoneType",
        "arguments": airflow.environ["AIRFLOW__SECRETS__BACKEND_KWARGS"] if has else "",
        "bundles": [name],
        "owner": "somebody",
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_parse_is_answered(airflow: AirflowDeployment, name: str) -> None:
    assert airflow.import_errors() == {}
    assert json.loads(Path(airflow.home / "notes" / name).read_text()) == wanted(airflow, name)


@pytest.mark.parametrize("name", NAMES)
def test_a_task_is_answered(airflow: AirflowDeployment, name: str) -> None:
    dag = f"asks_{name}"
    run = airflow.trigger(dag)
    assert airflow.finished(dag, run) == "success", airflow.log(dag, run, "ask")
    assert airflow.xcom(dag, run, "ask") == wanted(airflow, name)


def test_the_doctor_names_what_a_file_asks_for_and_what_reaches_nobody(airflow: AirflowDeployment) -> None:
    """bundle_b's file names the same, and gets it."""
    asked = airflow.run("env", "AIRFLOW__SENTRY__SENTRY_DSN=https://key@sentry", *envman("doctor", "--json"))
    findings = json.loads(asked.stdout)["result"]["findings"]
    found = {one["where"]: (one["level"], one["what"]) for one in findings if one["check"] == "variables"}
    what = "asks.py names the variable AIRFLOW__SECRETS__BACKEND_KWARGS, which is set here, and its workloads do not get"
    assert found == {
        "bundle 'bundle_a'": ("warning", what),
        "components": ("information", "set here, and reach no workload: AIRFLOW__SENTRY__SENTRY_DSN"),
    }
    assert "key@sentry" not in asked.stdout
