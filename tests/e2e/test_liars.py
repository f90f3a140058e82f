"""Files, tasks, callbacks and triggers of one team that send anything at all: another team's go on, and end as ever."""

from __future__ import annotations

import os
import secrets
import subprocess
from pathlib import Path

import pytest

from tests.e2e.airflow import AirflowDeployment
from tests.e2e.conftest import LOCAL_BUNDLE, Deploy, Estate
from tests.e2e.kinds import envman
from tests.stand_in import resident

pytestmark = pytest.mark.registry

FILES, TASKS, TRIGGERS = 16, 10, 2
COMPONENTS = ("dag-processor", "scheduler", "triggerer")
MOST_GROWTH = 64 * 2**20
SEED = int(os.environ.get("ENVMAN_LIARS_SEED", "") or secrets.randbelow(10**6))

SAY = """
import base64, json, os
from pathlib import Path

PLACES = {"requests": 0, "stdout": 1, "stderr": 2, "logs": 101}

def say(kind, number):
    streams = Path(os.environ["E2E_NOTES"]) / f"{kind}_{number}.json"
    for name, text in json.loads(streams.read_text()).items():
        left = base64.b64decode(text)
        while left:
            left = left[os.write(PLACES[name], left):]
"""
FILE = """
from airflow.sdk import DAG
from say import say

say("parse", {number})
with DAG("file_{number}", schedule=None):
    pass
"""
RUNS = f"""
from datetime import timedelta

from airflow.sdk import DAG, BaseOperator, task
from liars_trigger import Lying
from say import say


def lie(context):
    say("parse", {FILES})


class Deferred(BaseOperator):
    def execute(self, context):
        self.defer(trigger=Lying(0), method_name="done", timeout=timedelta(seconds=100))

    def done(self, context, event):
        pass


with DAG("liars", schedule=None, on_failure_callback=lie):

    @task(execution_timeout=timedelta(seconds=20))
    def lie_in_a_task(number):
        say("task", number)

    lie_in_a_task.expand(number=[*range({TASKS})])
    for number in range({TRIGGERS}):
        Deferred(task_id=f"trigger_{{number}}")
"""
TRIGGER = """
from airflow.triggers.base import BaseTrigger, TriggerEvent
from say import say


class Lying(BaseTrigger):
    def __init__(self, number):
        super().__init__()
        self.number = number

    def serialize(self):
        return ("liars_trigger.Lying", {"number": self.number})

    async def run(self):
        say("triggers", self.number)
        yield TriggerEvent("said")
"""
HONEST = """
from airflow.sdk import DAG, BaseOperator, task
from envman_e2e_b import Waiting


class Deferred(BaseOperator):
    def execute(self, context):
        self.defer(trigger=Waiting(), method_name="done")

    def done(self, context, event):
        return event


with DAG("{name}", schedule=None):
    task(task_id="first")(lambda: "first")() >> Deferred(task_id="second")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the bundles are."""
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(scope="module")
def airflow(estate: Estate, deploy: Deploy, folder: Path) -> AirflowDeployment:
    """All components; the honest team's Dag has run once."""
    bundles: list[dict[str, object]] = []
    for name in ("bundle_a", "bundle_b"):
        (folder / name).mkdir()
        kwargs = {"path": str(folder / name), "refresh_interval": 1}
        bundles.append({"name": name, "classpath": LOCAL_BUNDLE, "kwargs": kwargs})
    made = deploy(
        bundles,
        AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT="20",
        AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL="1",
        AIRFLOW__TRIGGERER__RUNNER_HEALTH_CHECK_THRESHOLD="12",
        AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC="2",
    )
    project = str(Path(__file__).parents[2])
    words = [
        estate.python("core"),
        "-m",
        "tests.door.hostile",
        made.home / "notes",
        str(FILES + 1),
        str(SEED),
    ]
    subprocess.run(words, env=made.environ | {"PYTHONPATH": project}, check=True)
    (folder / "bundle_b/honest.py").write_text(HONEST.format(name="honest"))
    made.start_api_server()
    made.start("dag-processor", *envman("launch", "dag-processor"))
    made.start("scheduler", *envman("launch", "--", "airflow", "scheduler"))
    made.start("triggerer", *envman("launch", "triggerer"))
    made.wait_for("the honest Dag", lambda: "honest" in made.dag_ids())
    be_honest(made)
    return made


def be_honest(airflow: AirflowDeployment) -> None:
    run = airflow.trigger("honest")
    assert airflow.finished("honest", run) == "success"


def memory(airflow: AirflowDeployment) -> dict[str, int]:
    return {name: resident(airflow._running[name].pid) for name in COMPONENTS}


def test_whatever_a_team_sends_another_teams_work_goes_on(airflow: AirflowDeployment, folder: Path) -> None:
    print(f"ENVMAN_LIARS_SEED={SEED}")
    before = memory(airflow)
    theirs, ours = folder / "bundle_a", folder / "bundle_b"
    (theirs / "say.py").write_text(SAY)
    (theirs / "liars_trigger.py").write_text(TRIGGER)
    (theirs / "liars.py").write_text(RUNS)
    for number in range(FILES):
        (theirs / f"file_{number}.py").write_text(FILE.format(number=number))
    (ours / "later.py").write_text(HONEST.format(name="later"))
    airflow.wait_for("another team's new file", lambda: "later" in airflow.dag_ids())
    be_honest(airflow)

    airflow.wait_for("the liars", lambda: "liars" in airflow.dag_ids())
    run = airflow.trigger("liars")
    while airflow.state("liars", run) not in {"success", "failed"}:
        be_honest(airflow)
    be_honest(airflow)

    def told() -> set[str]:
        errors = {place.rpartition("/")[2].removesuffix(".py") for place in airflow.import_errors()}
        return {f"file_{number}" for number in range(FILES)} - errors - airflow.dag_ids()

    airflow.wait_for("a Dag or an error of each file", lambda: not told())
    airflow.check_alive()
    grown = {name: memory(airflow)[name] - bytes_before for name, bytes_before in before.items()}
    assert {name: size for name, size in grown.items() if size > MOST_GROWTH} == {}
