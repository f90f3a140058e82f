"""`memory`: one shared set of components for N environments against N sets of stock components.

A set is a Dag processor, a triggerer and a scheduler with LocalExecutor. The API server, which each of these
small deployments needs to run a task, is the same in both and is not counted.
"""

from __future__ import annotations

import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.airflow_project import (
    SERVER,
    Deployments,
    bundle,
    bundle_list,
    end_servers,
    environment,
    write_dags,
)
from benchmarks.processes import family, pss
from benchmarks.report import Comparison
from benchmarks.rivals import STOCK, Field, Rival, check_warm
from benchmarks.settings import Settings
from tests.e2e.airflow import AirflowDeployment

WORKERS = 2
"""Processes of LocalExecutor for each environment; a shared scheduler has as many as all others together."""

COMPONENTS = ("dag-processor", "triggerer", "scheduler")
SERVERS = "fork servers"
PAUSE = 5.0
"""Seconds between two looks at the memory."""

SETTLED = 0.01
"""By which part of it the memory may change from one look to the next, `LOOKS` times in a row."""

LOOKS = 3
PATIENCE = 900.0

_DAG = """\
from datetime import timedelta

import pandas
from airflow.providers.standard.sensors.time_delta import TimeDeltaSensor
from airflow.sdk import DAG

with DAG("wait_{number:02}", schedule=None):
    TimeDeltaSensor(task_id="wait", delta=timedelta(days=1), deferrable=True)
"""


@dataclass(frozen=True)
class Usage:
    """Bytes of all counted processes together, and of each kind of process."""

    total: int
    kinds: dict[str, int]
    servers: list[int]


@dataclass(frozen=True)
class Part:
    """A deployment, the environments that it serves, and its components' process IDs."""

    deployment: AirflowDeployment
    numbers: Sequence[int]
    components: dict[str, int]


def compare(settings: Settings) -> list[Comparison]:
    """One comparison for each number of environments."""
    field = Field(settings, max(settings.teams))
    bench = MemoryBench(settings, field)
    comparisons = []
    for count in settings.teams:
        values: dict[str, list[float]] = defaultdict(list)
        notes = [f"{field.plain.versions()}; {WORKERS} executor processes for each environment"]
        for number in range(settings.rounds or 1):
            for rival in field.rivals:
                usage = bench.run(rival, count)
                values[_row(rival)].append(usage.total)
                if number == 0:
                    notes.append(f"{_row(rival)}: {_in_words(usage)}")
        title = f"memory: {count} environment{'s' * (count > 1)}, sum of PSS"
        against = (_row(field.rivals[0]),)
        comparisons.append(Comparison(title, values, against, unit="bytes", notes=tuple(notes)))
    return comparisons


def _row(rival: Rival) -> str:
    return "a stock set for each" if rival == STOCK else f"one shared set, {rival.name}"


def _in_words(usage: Usage) -> str:
    words = [f"{kind} {size / 1e6:.0f} MB" for kind, size in usage.kinds.items()]
    if usage.servers:
        words.append(f"{len(usage.servers)} servers, the median {median(usage.servers) / 1e6:.0f} MB")
    return ", ".join(words)


class MemoryBench:
    """Starts sets of components, brings every environment to work, and looks at their memory."""

    def __init__(self, settings: Settings, field: Field) -> None:
        self._settings = settings
        self._field = field
        self._deployments = Deployments(settings, field.plain)

    def run(self, rival: Rival, count: int) -> Usage:
        """Measure one rival. The sets are all up at the same time, since PSS depends on who shares."""
        files = {f"{bundle(number)}/wait.py": _DAG.format(number=number) for number in range(count)}
        dags = write_dags(self._settings.folder / "dags", files)
        groups = [[number] for number in range(count)] if rival == STOCK else [list(range(count))]
        with ExitStack() as stack:
            parts = [self._start(stack, rival, dags, group) for group in groups]
            for part in parts:
                _bring_to_work(part)
            usage = _settled(lambda: _usage(parts))
            for part in parts:
                for component in COMPONENTS:
                    check_warm(rival, part.deployment.output(component))
            return usage

    def _start(self, stack: ExitStack, rival: Rival, dags: Path, numbers: Sequence[int]) -> Part:
        project = self._field.project(rival)
        everyone = bundle_list(dags, numbers[-1] + 1)
        deployment = stack.enter_context(
            self._deployments.make(
                project,
                environment(numbers[0]) if rival == STOCK else rival.environment(project),
                [everyone[number] for number in numbers],
                AIRFLOW__CORE__PARALLELISM=str(WORKERS * len(numbers)),
                AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION="False",
            )
        )
        stack.callback(end_servers, deployment)
        deployment.start_api_server()
        components = {
            component: deployment.start(component, *self._field.command(rival, deployment, component)).pid
            for component in COMPONENTS
        }
        return Part(deployment, numbers, components)


def _bring_to_work(part: Part) -> None:
    """Every environment has parsed a file, run a task, and has a trigger that waits."""
    deployment = part.deployment
    wanted = {f"wait_{number:02}" for number in part.numbers}
    deployment.wait_for("the Dags", lambda: wanted <= deployment.dag_ids(), PATIENCE)
    for dag in wanted:
        deployment.trigger(dag)
    database = deployment.home / "airflow.db"
    deployment.wait_for("the triggers", lambda: _held_triggers(database) == len(wanted), PATIENCE)


def _held_triggers(database: Path) -> int:
    """How many triggers a triggerer has taken."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        query = "SELECT COUNT(*) FROM trigger WHERE triggerer_id IS NOT NULL"
        return int(connection.execute(query).fetchone()[0])
    except sqlite3.OperationalError:  # locked by a component that writes
        return 0
    finally:
        connection.close()


def _usage(parts: Sequence[Part]) -> Usage:
    """Each process counts once; a fork server belongs to no component, since several use it."""
    kinds: dict[str, int] = defaultdict(int)
    servers: list[int] = []
    for part in parts:
        firsts = [(SERVERS, server) for server in part.deployment.children(SERVER)]
        servers += [pss(server) for _, server in firsts]
        counted: set[int] = set()
        for kind, first in [*firsts, *part.components.items()]:
            for process in family(first):
                if process.pid not in counted:
                    kinds[kind] += pss(process.pid)
                    counted.add(process.pid)
    return Usage(sum(kinds.values()), dict(kinds), servers)


def _settled(look: Callable[[], Usage]) -> Usage:
    """Look again and again, until the memory stays as it is; raises TimeoutError."""
    until = time.monotonic() + PATIENCE
    before, calm = look(), 0
    while time.monotonic() < until:
        time.sleep(PAUSE)
        now = look()
        calm = calm + 1 if abs(now.total - before.total) < SETTLED * before.total else 0
        if calm == LOOKS:
            return now
        before = now
    raise TimeoutError(f"the memory has not settled within {PATIENCE} s")
