"""`task`: from the supervisor's start of a task until the user's function runs, and until it has pandas.

Each way to run a component is a deployment of its own: scheduler with LocalExecutor, API server, SQLite. All
of them are up the whole time; the rivals take turns, one task at a time on the whole machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from benchmarks.airflow_project import PLAIN, AirflowProject, Deployments, bundle
from benchmarks.local_executor import local_executor
from benchmarks.report import Comparison
from benchmarks.rivals import STOCK, Field, Rival
from benchmarks.settings import Settings
from tests.e2e.airflow import AirflowDeployment

ROUNDS = 20
ZERO = "Secrets backends loaded for worker"
"""What Airflow's supervisor says last, in the executor's worker process, before it starts the task's child.

It comes after all of the scheduler's work and waiting, and before anything in which the rivals differ.
"""

_DAG = """\
from airflow.providers.standard.operators.python import {operator}
from airflow.sdk import DAG


def work(note):
    import time

    begun = time.time()
    import pandas

    with open(note, "w", encoding="utf-8") as stream:
        stream.write(f"{{begun}} {{time.time()}} {{pandas.__version__}}")


with DAG("{dag}", schedule=None):
    {operator}(task_id="work", python_callable=work, op_args=["{notes}/{{{{ run_id }}}}"], {more})
"""


@dataclass(frozen=True)
class Way:
    """An operator in a deployment."""

    name: str
    rival: Rival
    dag: str
    operator: str = "PythonOperator"
    more: str = ""


@dataclass(frozen=True)
class TaskStart:
    """Seconds from the supervisor's start of the task to the function's first line, and to pandas."""

    begun: float
    pandas: float


def compare(settings: Settings) -> list[Comparison]:
    """Both lengths of time, for each way."""
    field = Field(settings, 1)
    folder = settings.folder / "task"
    (folder / "notes").mkdir(parents=True, exist_ok=True)
    ways = list(_ways(field, folder))
    for way in ways:
        _write_dag(folder, way)
    taken: dict[str, list[TaskStart]] = {way.name: [] for way in ways}
    with ExitStack() as stack:
        deployments = Deployments(settings, field.plain)
        running = {
            rival.key: stack.enter_context(
                local_executor(
                    deployments,
                    field,
                    rival,
                    folder / rival.key,
                    AIRFLOW__LOGGING__JSON_LOGS="True",
                    UV_COMPILE_BYTECODE="1",  # for PythonVirtualenvOperator
                )
            )
            for rival in field.rivals
        }
        for number in range(1 + (settings.rounds or ROUNDS)):
            for way in ways:
                measured = _run(running[way.rival.key], way, folder)
                if number:  # the round before fills caches, and makes PythonVirtualenvOperator's environment
                    taken[way.name].append(measured)
    against = (ways[0].name,)
    notes = (field.plain.versions(),)
    begun = {name: [one.begun for one in measured] for name, measured in taken.items()}
    ready = {name: [one.pandas for one in measured] for name, measured in taken.items()}
    return [
        Comparison("task: start of the child to the function's first line", begun, against, notes=notes),
        Comparison("task: start of the child to pandas imported", ready, against, notes=notes),
    ]


def _ways(field: Field, folder: Path) -> Iterator[Way]:
    """Every rival with PythonOperator, and stock Airflow with its operators for other environments."""
    for rival in field.rivals:
        yield Way(rival.name, rival, f"start_{rival.key}")
        if rival == STOCK:
            yield from _stock_operators(field.plain, folder)


def _stock_operators(project: AirflowProject, folder: Path) -> Iterator[Way]:
    python = project.bin(PLAIN) / "python"
    pandas = project.packages(PLAIN)["pandas"]
    more = f'python="{python}", expect_airflow=False'
    yield Way("stock, ExternalPythonOperator", STOCK, "start_external", "ExternalPythonOperator", more)
    cache = folder / "venvs"
    more = f'requirements=["pandas=={pandas}"], venv_cache_path="{cache}", system_site_packages=False'
    name = "stock, PythonVirtualenvOperator, cached"
    yield Way(name, STOCK, "start_virtualenv", "PythonVirtualenvOperator", more)


def _write_dag(folder: Path, way: Way) -> None:
    """One bundle for each rival, so that a deployment has its own Dags alone."""
    text = _DAG.format(operator=way.operator, dag=way.dag, notes=folder / "notes", more=way.more)
    file = folder / way.rival.key / bundle(0) / f"{way.dag}.py"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def _run(deployment: AirflowDeployment, way: Way, folder: Path) -> TaskStart:
    """Run a task to its end, and compare the function's clock with the supervisor's line before it."""
    before = len(_zeros(deployment))
    run = deployment.trigger(way.dag)
    state = deployment.finished(way.dag, run, timeout=600)
    zeros = _zeros(deployment)[before:]
    if state != "success" or len(zeros) != 1:
        log = deployment.log(way.dag, run, "work")
        raise RuntimeError(f"{way.name}: {state}, {len(zeros)} tasks started: {log[-3000:]}")
    begun, pandas, _ = (folder / "notes" / run).read_text(encoding="utf-8").split()
    return TaskStart(float(begun) - zeros[0], float(pandas) - zeros[0])


def _zeros(deployment: AirflowDeployment) -> list[float]:
    """When the supervisors of this scheduler's executor have started a task's child, in seconds."""
    found = []
    for line in deployment.output("scheduler").splitlines():
        if ZERO in line:
            record: Mapping[str, str] = json.loads(line)
            found.append(datetime.fromisoformat(record["timestamp"].replace("Z", "+00:00")).timestamp())
    return found
