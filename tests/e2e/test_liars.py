"""One estate of liars: parses, tasks, a callback and triggers that say anything, while another team's go on.

ENVMAN_E2E_SEED says what they say.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.airflow import AirflowDeployment
from tests.e2e.conftest import BOTH_WAYS, LOCAL_BUNDLE, SOURCE, Deploy, Estate
from tests.e2e.kinds import envman

pytestmark = pytest.mark.registry

WAYS = BOTH_WAYS if os.environ.get("ENVMAN_E2E_ALL") else ["warm"]
SEED = os.environ.get("ENVMAN_E2E_SEED", "0")
LIARS = 12
"""So many files, and so many tasks, of which a third ends, a third stays and a third goes on."""
NAMES = ["huge", *map(str, range(LIARS))]
FILES = {f"parse_{name}.py": f"parse_{name}" for name in NAMES}
FILE = "from lie import lie\nfrom airflow.sdk import DAG\nlie('parse', '{name}')\ndag = DAG('parse_{name}', schedule=None)\n"
MOST_GROWTH = 64 * 2**20
"""Bytes by which the memory of a component may have grown at the end."""
TOLD = "a request of 4,294,967,295 bytes"


@dataclass
class Attack:
    """What was there before and after; times in seconds."""

    airflow: AirflowDeployment
    before: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)
    ends: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    run: str = ""

    def honest_run(self) -> None:
        """Run the other team's task and trigger to their end."""
        began = time.monotonic()
        run = self.airflow.trigger("honest")
        self.ends.append(self.airflow.finished("honest", run))
        self.times.append(time.monotonic() - began)

    def memory(self) -> dict[str, int]:
        """Bytes of each component, or of the largest process of its own."""
        return {
            name: max(map(resident, [process.pid, *executors(process.pid)]))
            for name, process in self.airflow._running.items()
            if name != "api-server"
        }


def executors(parent: int) -> list[int]:
    """The processes in which a LocalExecutor supervises tasks."""
    found = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(pid) for pid in found if b"LocalExecutor" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def resident(pid: int) -> int:
    """Bytes that a process has in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


@pytest.fixture(scope="module")
def attack(deploy: Deploy, estate: Estate, tmp_path_factory: pytest.TempPathFactory) -> Attack:
    """The honest ones run; the liars run, and stay until the honest ones have run once more."""
    folder = tmp_path_factory.mktemp("liars")
    bundles: list[dict[str, object]] = []
    for name in ("bundle_a", "bundle_b"):
        shutil.copytree(SOURCE / "hostile/liars" / name, folder / name)
        kwargs = {"path": str(folder / name), "refresh_interval": 2}
        bundles.append({"name": name, "classpath": LOCAL_BUNDLE, "kwargs": kwargs})
    airflow = deploy(
        bundles,
        E2E_LIARS=json.dumps(NAMES),
        AIRFLOW__CORE__PARALLELISM="20",
        AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES=str(
            LIARS // 3 + 2
        ),  # those that stay, the huge one, and one more
        AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL="1",
        AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC="2",
    )
    airflow.start_api_server()
    airflow.start("dag-processor", *envman("launch", "dag-processor"))
    airflow.start("scheduler", *envman("launch", "scheduler"))
    airflow.start("triggerer", *envman("launch", "triggerer"))
    streams = airflow.home / "notes/streams"
    estate.in_the_component(streams, "tests.door.streams", str(streams), str(LIARS), SEED)
    airflow.wait_for("all Dags", lambda: {"liars", "honest"} <= airflow.dag_ids())
    made = Attack(airflow)
    made.honest_run()
    made.before = made.memory()
    for file in FILES:
        (folder / "bundle_a" / file).write_text(FILE.format(name=file[len("parse_") : -len(".py")]))
    made.run = airflow.trigger("liars")
    lied(airflow, "parse", "task", "triggers")
    shutil.copy(folder / "bundle_b/honest.py", folder / "bundle_b/later.py")
    later = (folder / "bundle_b/later.py").read_text().replace('"honest"', '"later"')
    (folder / "bundle_b/later.py").write_text(later)
    made.honest_run()
    airflow.wait_for("another parse of the honest team", lambda: "later" in airflow.dag_ids())
    assert airflow.state("liars", made.run) == "running"
    (airflow.home / "notes/the honest are done").touch()
    airflow.wait_for("the callback", (airflow.home / "notes/lied_callback_0").exists)
    airflow.wait_for("all files", lambda: not unknown_files(airflow))
    for task in ("lying[0]", "defers_huge"):
        airflow.wait_for(f"the end of {task}", lambda t=task: ended(airflow, made.run, t))
    airflow.api("PATCH", f"/api/v2/dags/liars/dagRuns/{made.run}", {"state": "failed"})
    airflow.wait_for("the end of all tasks", lambda: not airflow.workloads("task bundle_a"))
    made.honest_run()
    made.after = made.memory()
    return made


def lied(airflow: AirflowDeployment, *kinds: str) -> None:
    """Wait until one of each kind has lied."""
    for kind in kinds:
        airflow.wait_for(f"a lie of {kind}", lambda k=kind: [*(airflow.home / "notes").glob(f"lied_{k}_*")])


def unknown_files(airflow: AirflowDeployment) -> list[str]:
    """Lying files of which neither a Dag nor an import error tells."""
    dags, errors = airflow.dag_ids(), airflow.import_errors()
    return [file for file, dag in FILES.items() if dag not in dags and f"bundle_a/{file}" not in errors]


def ended(airflow: AirflowDeployment, run: str, task: str) -> bool:
    found: dict[str, dict[str, Any]] = airflow.tasks("liars", run)
    return task in found and found[task]["state"] in {"success", "failed"}


def test_the_honest_ones_end_as_ever(attack: Attack) -> None:
    print(f"seconds of the honest run before, during and after: {attack.times}")
    assert attack.ends == ["success"] * 3


def test_the_components_live_and_have_not_grown(attack: Attack) -> None:
    attack.airflow.check_alive()
    grown = {name: attack.after[name] - before for name, before in attack.before.items()}
    print(f"bytes more: {grown}")
    assert {name: size for name, size in grown.items() if size > MOST_GROWTH} == {}


def test_a_liar_reads_why_it_was_ended(attack: Attack) -> None:
    airflow = attack.airflow
    assert TOLD in airflow.import_errors()["bundle_a/parse_huge.py"]
    assert TOLD in airflow.log("liars", attack.run, "lying[0]")
    assert "This trigger has ended its runner again and again" in airflow.log(
        "liars", attack.run, "defers_huge"
    )
