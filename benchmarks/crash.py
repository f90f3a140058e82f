"""`crash`: what a crash costs: a Dag file that crashes its interpreter, a task whose supervisor is killed."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.airflow_project import Deployments, bundle, bundle_list, end_servers, write_dags
from benchmarks.local_executor import local_executor
from benchmarks.report import Comparison
from benchmarks.rivals import Field, Rival
from benchmarks.settings import Settings
from tests.e2e.airflow import PATIENCE, AirflowDeployment
from tests.waiting import until

ROUNDS = 3
LIMIT = 60.0
"""Seconds after which a task is no longer waited for that nobody supervises; it would go on for an hour."""

_CRASHING = """\
import ctypes, os, time  # a Dag file of Airflow's, as its safe mode sees it

with open("{note}.new", "w", encoding="utf-8") as stream:
    stream.write(f"{{os.getpid()}} {{time.time()}}")
os.rename("{note}.new", "{note}")
ctypes.string_at(0)
"""
_PATIENT = """\
from airflow.sdk import dag, task


@dag(schedule=None)
def patient():
    @task
    def wait():
        import os, time
        from pathlib import Path

        Path("{note}.new").write_text(str(os.getpid()))
        Path("{note}.new").rename("{note}")
        time.sleep(3600)

    wait()


patient()
"""


@dataclass(frozen=True)
class CrashedParse:
    """Seconds until the process had ended, processor time of it all, whether there is an import error."""

    seconds: float
    processor: float
    error: bool


def compare(settings: Settings) -> list[Comparison]:
    """For each rival: how long a file's process is there after its crash; a killed supervisor's task's."""
    field = Field(settings, 1)
    deployments = Deployments(settings, field.plain)
    folder = settings.folder / "crash"
    folder.mkdir(exist_ok=True)
    ended: dict[str, list[float]] = {rival.name: [] for rival in field.rivals}
    used: dict[str, list[float]] = {rival.name: [] for rival in field.rivals}
    alone: dict[str, list[float]] = {}
    errors: dict[str, str] = {}
    for _ in range(settings.rounds or ROUNDS):
        for rival in field.rivals:
            parse = _crash_of_a_file(deployments, field, rival, folder)
            ended[rival.name].append(parse.seconds)
            used[rival.name].append(parse.processor)
            errors[rival.name] = "an import error" if parse.error else "no import error"
    for rival in field.rivals:
        alone[rival.name] = _killed_supervisors(deployments, field, rival, folder, settings.rounds or ROUNDS)
    against = (field.rivals[0].name,)
    notes = (field.plain.versions(),)
    limit = f"{LIMIT:.0f} s at most were waited for"
    left = "; ".join(f"{name}: {what}" for name, what in errors.items())
    return [
        Comparison(
            "crash: a Dag file's SIGSEGV to the end of its process", ended, against, notes=(*notes, left)
        ),
        Comparison("crash: processor time of that Dag processor", used, against, notes=notes),
        Comparison(
            "crash: a task's process after kill -9 of its supervisor", alone, against, notes=(*notes, limit)
        ),
    ]


def _crash_of_a_file(deployments: Deployments, field: Field, rival: Rival, folder: Path) -> CrashedParse:
    """Parse a file that crashes its interpreter, with a Dag processor for that alone."""
    note = folder / "crashed"
    note.unlink(missing_ok=True)
    dags = write_dags(folder / "crashing", {f"{bundle(0)}/crashing.py": _CRASHING.format(note=note)})
    project = field.project(rival)
    deployment = deployments.make(
        project,
        rival.environment(project),
        bundle_list(dags, 1),
        AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT="50",  # as Airflow has it
    )
    before = _used_by_children()
    command = field.command(rival, deployment, "dag-processor", "--num-runs", "1")
    processor = deployment.start("dag-processor", *command)
    try:
        deployment.wait_for("the file", note.exists)
        pid, crashed = note.read_text(encoding="utf-8").split()
        until(lambda: not Path(f"/proc/{pid}").exists(), "the file's process is still there")
        seconds = time.time() - float(crashed)
        processor.wait(PATIENCE)
    finally:
        deployment.stop_all()
        end_servers(deployment)
    return CrashedParse(seconds, _used_by_children() - before, _has_import_error(deployment))


def _used_by_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _has_import_error(deployment: AirflowDeployment) -> bool:
    connection = sqlite3.connect(deployment.home / "airflow.db", timeout=60)
    try:
        return bool(connection.execute("SELECT count(*) FROM import_error").fetchone()[0])
    finally:
        connection.close()


def _killed_supervisors(
    deployments: Deployments, field: Field, rival: Rival, folder: Path, rounds: int
) -> list[float]:
    """Seconds that tasks' processes were there after their supervisor was killed."""
    note = folder / "patient"
    dags = write_dags(folder / "waiting", {f"{bundle(0)}/patient.py": _PATIENT.format(note=note)})
    seconds = []
    with local_executor(deployments, field, rival, dags, AIRFLOW__CORE__PARALLELISM="1") as deployment:
        for _ in range(rounds):
            note.unlink(missing_ok=True)
            run = deployment.trigger("patient")
            deployment.wait_for("the task", note.exists)
            task = int(note.read_text(encoding="utf-8"))
            seconds.append(_lives_on(deployment, task))
            deployment.api("PATCH", f"/api/v2/dags/patient/dagRuns/{run}", {"state": "failed"})
    return seconds


def _lives_on(deployment: AirflowDeployment, task: int) -> float:
    """Kill the supervisor of a task, and measure how long the task's process is there, LIMIT at most."""
    (supervisor,) = deployment.children("airflow worker -- LocalExecutor: ")
    killed = time.monotonic()
    os.kill(supervisor, signal.SIGKILL)
    while Path(f"/proc/{task}").exists():
        if time.monotonic() - killed > LIMIT:
            os.kill(task, signal.SIGKILL)
            return LIMIT
        time.sleep(0.001)
    return time.monotonic() - killed
