"""`crash`: what a crash costs: a Dag file that crashes its interpreter, a task whose supervisor is killed."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import time
from pathlib import Path

from benchmarks.airflow_project import Deployments, bundle, bundle_list, end_servers, write_dags
from benchmarks.local_executor import local_executor
from benchmarks.report import Comparison
from benchmarks.rivals import Field, Rival
from benchmarks.settings import Settings
from tests.e2e.airflow import AirflowDeployment
from tests.waiting import until

ROUNDS = 3
LIMIT = 60.0
"""Seconds after which a task is no longer waited for that nobody supervises; it would go on for an hour."""

_CRASHING = """\
import ctypes, time

with open("{note}", "w", encoding="utf-8") as stream:
    stream.write(str(time.time()))
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


def compare(settings: Settings) -> list[Comparison]:
    """For each rival: a file's crash until its import error, in seconds; a killed supervisor's task."""
    field = Field(settings, 1)
    deployments = Deployments(settings, field.plain)
    folder = settings.folder / "crash"
    folder.mkdir(exist_ok=True)
    errors: dict[str, list[float]] = {rival.name: [] for rival in field.rivals}
    used: dict[str, list[float]] = {rival.name: [] for rival in field.rivals}
    alone: dict[str, list[float]] = {rival.name: [] for rival in field.rivals}
    for _ in range(settings.rounds or ROUNDS):
        for rival in field.rivals:
            wall, processor = _crash_of_a_file(deployments, field, rival, folder)
            errors[rival.name].append(wall)
            used[rival.name].append(processor)
    for rival in field.rivals:
        alone[rival.name] = _killed_supervisors(deployments, field, rival, folder, settings.rounds or ROUNDS)
    against = (field.rivals[0].name,)
    notes = (field.plain.versions(),)
    limit = f"{LIMIT:.0f} s at most were waited for"
    return [
        Comparison("crash: a Dag file's SIGSEGV to its import error", errors, against, notes=notes),
        Comparison("crash: processor time of that Dag processor", used, against, notes=notes),
        Comparison(
            "crash: a task's process after kill -9 of its supervisor", alone, against, notes=(*notes, limit)
        ),
    ]


def _crash_of_a_file(
    deployments: Deployments, field: Field, rival: Rival, folder: Path
) -> tuple[float, float]:
    """Seconds from the crash to the file's import error; processor time of it all."""
    note = folder / "crashed"
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
    deployment.start("dag-processor", *command)
    try:
        until(lambda: _has_import_error(deployment), lambda: deployment.output("dag-processor")[-3000:])
        wall = time.time() - float(note.read_text(encoding="utf-8"))
        deployment.stop("dag-processor", signal.SIGINT)
        return wall, _used_by_children() - before
    finally:
        deployment.stop_all()
        end_servers(deployment)


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
