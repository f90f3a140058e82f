"""`scale`: a shared Dag processor for very many environments, and a stock one with everything installed.

The environments are the same one generation, since building hundreds would take hours; their fork servers are
one each all the same. What environments have of their own in memory is what each server imports, whatever
files it comes from. `memory` measures environments that differ.
"""

from __future__ import annotations

import sqlite3
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.airflow_project import SERVER, bundle_list, end_servers
from benchmarks.parse_loop import PROCESSES, Case, ParseBench, ParseRun
from benchmarks.processes import family, processor_seconds, pss
from benchmarks.report import Comparison
from benchmarks.rivals import STOCK, WARM, Field, Rival, check_warm
from benchmarks.settings import Settings
from tests.e2e.airflow import AirflowDeployment

ENVIRONMENTS = (1, 10, 50, 200)
FILES = 5
"""Of each bundle; with five bundles for each environment, 200 of them have 1,000 bundles and 5,000 files."""

SETS = 3
"""Stock Dag processors that really run; those of more environments are so many times the same."""

IDLE = 30.0
"""Seconds in which the processor time of an idle Dag processor is measured."""

PATIENCE = 120.0
"""Seconds that all Dag processors of a case together have to parse their files, with `EACH` for each file."""

EACH = 5.0

MEMORY_GOAL, PROCESSOR_GOAL = 0.1, 1.5
"""With 200 environments: of the memory of a stock Dag processor for each, of the idle processor of one."""


@dataclass(frozen=True)
class Idle:
    """What idle Dag processors take: bytes (PSS), and processor seconds for each second."""

    memory: float
    processor: float
    servers: int


def compare(settings: Settings) -> list[Comparison]:
    """For each number of environments: the start, the loops, and what it takes to be there."""
    counts = settings.environments or ENVIRONMENTS
    field = Field(settings, max(counts), alike=True)
    bench = ScaleBench(settings, field)
    each = max(settings.files, default=FILES) * settings.bundles
    cases = [Case(each * count, count, settings.bundles) for count in counts]
    warm_up = WARM if WARM in field.rivals else field.rivals[0]
    bench.loops(warm_up, cases[0])  # not counted: it fills the page cache
    return [comparison for case in cases for comparison in _compare_one(settings, bench, field, case)]


def _compare_one(settings: Settings, bench: ScaleBench, field: Field, case: Case) -> list[Comparison]:
    """All rivals in each round, so that a busy minute of the machine hits all of them alike."""
    runs: dict[str, list[ParseRun]] = defaultdict(list)
    idle: dict[str, list[Idle]] = defaultdict(list)
    for _ in range(settings.rounds or 1):
        for rival in field.rivals:
            runs[rival.name].append(bench.loops(rival, case))
            idle[rival.name].append(bench.idle(rival, case))
    first = field.rivals[0].name
    each = f"a stock one for each, extrapolated from {min(SETS, case.environments)}"
    servers = ", ".join(str(one.servers) for taken in idle.values() for one in taken if one.servers) or "no"
    budget = f" with a budget of {settings.server_memory}" if settings.server_memory else ""
    notes = (
        f"{field.plain.versions()}; {case.bundles} bundles, {PROCESSES} parsing processes; while idle "
        f"{servers} fork servers{budget}",
        f"Goals with 200 environments: {MEMORY_GOAL} of the memory of a stock one for each, "
        f"{PROCESSOR_GOAL} of the idle processor of one",
    )

    def table(what: str, values: dict[str, list[float]], unit: str = "seconds") -> Comparison:
        return Comparison(f"scale: {what}, {case}", values, (first,), unit=unit, notes=notes)

    def times(what: str) -> dict[str, list[float]]:
        return {name: [getattr(run, what) or 0.0 for run in taken] for name, taken in runs.items()}

    tables = [
        table("processor time of all loops", times("processor")),
        table("start until files are queued", times("start")),
        table("start until the first result", times("result")),
        table("first loop", times("first")),
    ]
    if settings.loops > 1:
        tables.append(table("later loops", times("later")))
    memory = {name: [one.memory for one in taken] for name, taken in idle.items()}
    processor = {name: [one.processor for one in taken] for name, taken in idle.items()}
    if STOCK in field.rivals:
        for values in (memory, processor):
            values[each] = [one * case.environments for one in values[STOCK.name]]
    tables.append(table("memory of idle Dag processors (PSS)", memory, "bytes"))
    tables.append(table("processor time in a second while idle", processor))
    return tables


class ScaleBench:
    """Runs one Dag processor after another."""

    def __init__(self, settings: Settings, field: Field) -> None:
        self._settings = settings
        self._field = field
        self._parses = ParseBench(settings, field)

    def loops(self, rival: Rival, case: Case) -> ParseRun:
        """Parse all files, and again."""
        return self._parses.run(rival, case, self._settings.loops)

    def idle(self, rival: Rival, case: Case) -> Idle:
        """What is there once all files were parsed. Several stock ones share what their files share."""
        dags = self._parses.dags(case)
        count = min(SETS, case.environments) if rival == STOCK else 1
        with ExitStack() as stack:
            sets = [self._start(stack, rival, dags, case) for _ in range(count)]
            for one, _ in sets:
                _wait_for_all(one, case, PATIENCE + EACH * case.files * count)
                check_warm(rival, one.output("dag-processor"))
            members = [pid for one, component in sets for pid in _members(one, component)]
            before, began = sum(map(processor_seconds, members)), time.perf_counter()
            time.sleep(IDLE)
            used = (sum(map(processor_seconds, members)) - before) / (time.perf_counter() - began)
            servers = sum(len(one.children(SERVER)) for one, _ in sets)
            return Idle(sum(map(pss, members)) / count, used / count, servers)

    def _start(self, stack: ExitStack, rival: Rival, dags: Path, case: Case) -> tuple[AirflowDeployment, int]:
        project = self._field.project(rival)
        deployment = stack.enter_context(
            self._parses.deployments.make(
                project,
                rival.environment(project),
                bundle_list(dags, case.bundles),
                AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES=str(PROCESSES),
            )
        )
        stack.callback(end_servers, deployment)
        command = self._field.command(rival, deployment, "dag-processor")
        return deployment, deployment.start("dag-processor", *command).pid


def _members(deployment: AirflowDeployment, component: int) -> list[int]:
    return [*{one.pid for first in [component, *deployment.children(SERVER)] for one in family(first)}]


def _wait_for_all(deployment: AirflowDeployment, case: Case, patience: float) -> None:
    """Until each file was parsed."""
    database = deployment.home / "airflow.db"

    def parsed() -> bool:
        connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
        try:
            return bool(connection.execute("SELECT COUNT(*) FROM dag").fetchone()[0] == case.files)
        except sqlite3.OperationalError:  # locked by the component that writes
            return False
        finally:
            connection.close()

    deployment.wait_for("the Dags", parsed, patience)
