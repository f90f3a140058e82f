"""Credentials of an environment in a whole Airflow: a secrets backend of its own, and a file for its programs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from envman.resolver.credential import COMMAND, FILE, Credential
from envman.resolver.table import render_table
from tests.e2e.airflow import AirflowDeployment, another_root, publish, with_records
from tests.e2e.conftest import BOTH_WAYS, LOCAL_BUNDLE, Deploy, Estate
from tests.e2e.kinds import envman

pytestmark = pytest.mark.registry

WAYS = BOTH_WAYS if os.environ.get("ENVMAN_E2E_ALL") else ["warm"]

DAG = """
import json
import os
import subprocess
from pathlib import Path

from airflow.sdk import DAG, Variable, task
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import BaseOperator
from asking_BUNDLE import Asking


def ask():
    path = os.environ.get("KEY_FILE", "/dev/null")
    print("it is said: " + os.environ.get("FROM_A_COMMAND", ""))
    return {
        "variable": Variable.get("kept_in_the_teams_backend", default="none"),
        "by a program": subprocess.check_output(["cat", path], text=True),
        "command": os.environ.get("FROM_A_COMMAND", ""),
        "at the start": "FROM_A_COMMAND" in Path("/proc/self/environ").read_text(errors="replace"),
        "file": path,
    }


class Deferring(BaseOperator):
    def execute(self, context):
        self.defer(trigger=Asking(), method_name="resume")

    def resume(self, context, event):
        return event


(Path(os.environ["E2E_NOTES"]) / "BUNDLE").write_text(json.dumps(ask()))

with DAG("asks_BUNDLE", schedule=None):
    task(ask)() >> BashOperator(task_id="shell", bash_command='cat "${KEY_FILE:-/dev/null}" | head -n 1')
    Deferring(task_id="deferring")
"""
TRIGGER = """
import os
from pathlib import Path

from airflow.triggers.base import BaseTrigger, TriggerEvent


class Asking(BaseTrigger):
    def serialize(self):
        return (__name__ + ".Asking", {})

    async def run(self):
        self.log.info("the runner says: %s", os.environ.get("FROM_A_COMMAND", ""))
        path = os.environ.get("KEY_FILE", "/dev/null")
        yield TriggerEvent([Path(path).read_text(), os.environ.get("FROM_A_COMMAND", "")])
"""
BACKEND = "airflow.secrets.local_filesystem.LocalFilesystemBackend"
NAMES = ("bundle_a", "bundle_b")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the component may read: the team's secrets."""
    folder = tmp_path_factory.mktemp("kept")
    (folder / "variables.json").write_text(json.dumps({"kept_in_the_teams_backend": "found"}))
    (folder / "arguments").write_text(
        json.dumps({"variables_file_path": str(folder / "variables.json")}) + "\n"
    )
    (folder / "key").write_text("the first key\n")
    command = folder / "command"
    command.write_text("#!/bin/sh\necho of-a-command\n")
    command.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def airflow(
    deploy: Deploy, estate: Estate, kept: Path, tmp_path_factory: pytest.TempPathFactory
) -> AirflowDeployment:
    """env_b has credentials, env_a has none; the components have a backend of their own, without arguments."""
    (kept / "key").write_text("the first key\n")  # the other way has exchanged it
    folder = tmp_path_factory.mktemp("bundles")
    for name in NAMES:
        (folder / name).mkdir()
        (folder / name / "asks.py").write_text(DAG.replace("BUNDLE", name))
        (folder / name / f"asking_{name}.py").write_text(TRIGGER)
    made = deploy(
        [{"name": name, "classpath": LOCAL_BUNDLE, "kwargs": {"path": str(folder / name)}} for name in NAMES],
        AIRFLOW__WORKERS__SECRETS_BACKEND_KWARGS=json.dumps({"token": "the-components-own"}),
    )
    credentials = (
        Credential(
            "arguments", FILE, (str(kept / "arguments"),), "AIRFLOW__WORKERS__SECRETS_BACKEND_KWARGS", False
        ),
        Credential("command", COMMAND, (str(kept / "command"),), "FROM_A_COMMAND", False),
        Credential("key", FILE, (str(kept / "key"),), "KEY_FILE", True),
    )
    record = ("credentials", "env_b", *(one.text() for one in credentials))
    line = render_table({}, {}, {}, None, [record]).splitlines()[1]
    root = another_root(estate.root, made.home / "root", line)
    table = (root / ".state/table").read_text()
    wanted = f"environment\tenv_b\t+AIRFLOW__WORKERS__SECRETS_BACKEND={BACKEND}\n"
    assert "environment\tenv_b\t\n" in table
    publish(root, with_records(table.replace("environment\tenv_b\t\n", wanted)))
    made.environ["ENVMAN_ROOT"] = str(root)
    made.start_api_server()
    made.start("dag-processor", *envman("launch", "dag-processor"))
    made.start("scheduler", *envman("launch", "scheduler"))
    made.start("triggerer", *envman("launch", "triggerer"))
    made.wait_for("the Dags", lambda: made.dag_ids() == {f"asks_{name}" for name in NAMES})
    return made


NOTHING = {"variable": "none", "by a program": "", "command": "", "at the start": False, "file": "/dev/null"}


def wanted(found: dict[str, Any], key: str) -> dict[str, Any]:
    return {
        "variable": "found",
        "by a program": key,
        "command": "of-a-command",
        "at the start": False,
        "file": found["file"],
    }


def test_a_parse_has_its_environments(airflow: AirflowDeployment) -> None:
    assert airflow.import_errors() == {}
    found = {name: json.loads((airflow.home / "notes" / name).read_text()) for name in NAMES}
    assert found == {"bundle_a": NOTHING, "bundle_b": wanted(found["bundle_b"], "the first key\n")}
    assert not Path(found["bundle_b"]["file"]).exists()


def test_tasks_and_triggers_have_their_environments_as_they_are_when_they_start(
    airflow: AirflowDeployment, kept: Path
) -> None:
    """A secret was exchanged meanwhile, without a start of anything."""
    (kept / "key.new").write_text("the second key\n")
    (kept / "key.new").replace(kept / "key")
    runs = {name: airflow.trigger(f"asks_{name}") for name in NAMES}
    for name, run in runs.items():
        dag = f"asks_{name}"
        assert airflow.finished(dag, run) == "success", [
            airflow.log(dag, run, one) for one in ("ask", "deferring")
        ]
    found = {name: airflow.xcom(f"asks_{name}", run, "ask") for name, run in runs.items()}
    assert found == {"bundle_a": NOTHING, "bundle_b": wanted(found["bundle_b"], "the second key\n")}
    assert airflow.xcom("asks_bundle_b", runs["bundle_b"], "shell") == "the second key"
    assert airflow.xcom("asks_bundle_b", runs["bundle_b"], "deferring") == [
        "the second key\n",
        "of-a-command",
    ]
    assert airflow.xcom("asks_bundle_a", runs["bundle_a"], "deferring") == ["", ""]
    for task, words in (("ask", "it is said: ***"), ("deferring", "the runner says: ***")):
        log = airflow.log("asks_bundle_b", runs["bundle_b"], task)
        assert words in log
        assert "of-a-command" not in log


def test_a_secret_that_can_not_be_read_fails_that_environments_task_alone(
    airflow: AirflowDeployment, kept: Path
) -> None:
    (kept / "key").unlink()
    runs = {name: airflow.trigger(f"asks_{name}") for name in NAMES}
    ends = {name: airflow.finished(f"asks_{name}", run) for name, run in runs.items()}
    (kept / "key").write_text("the third key\n")
    assert ends == {"bundle_a": "success", "bundle_b": "failed"}
    log = airflow.log("asks_bundle_b", runs["bundle_b"], "ask")
    assert (
        f"environment 'env_b': credential 'key': {kept / 'key'} can't be read: No such file or directory"
        in log
    )
