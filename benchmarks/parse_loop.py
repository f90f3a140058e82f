"""`parse`: the Dag processor's loop over files that import pandas, and the parse of a single file."""

from __future__ import annotations

import resource
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import mean, median

from benchmarks.airflow_project import SERVER, Deployments, bundle, bundle_list, end_servers, write_dags
from benchmarks.metrics import Metric, MetricsListener
from benchmarks.processes import processor_seconds
from benchmarks.report import Comparison
from benchmarks.rivals import Field, Rival, check_warm
from benchmarks.settings import Settings

ROUNDS = 3
FILES = (10, 100, 1000)
FEW_FILES = 10
"""Of the round before, which is not counted."""
PROCESSES = 2
QUEUED, PARSED = "dag_processing.file_path_queue_size", "dag_processing.last_duration"
"""What the manager reports when its queue has changed, and for each file whose result it has read."""

_DAG = """\
import pandas
from airflow.sdk import dag, task


@dag(schedule=None)
def dag_{number:04}():
    @task
    def load():
        return len(pandas.DataFrame({{"column": [1, 2, 3]}}))

    @task
    def store(rows):
        print(rows)

    store(load())


dag_{number:04}()
"""


_PLAIN = _DAG.replace("import pandas\n", "").replace('len(pandas.DataFrame({{"column": [1, 2, 3]}}))', "3")
"""The same, but it imports nothing but Airflow."""


@dataclass(frozen=True)
class Case:
    """How many files, over how many environments, each with so many bundles."""

    files: int
    environments: int
    bundles_each: int = 1

    @property
    def bundles(self) -> int:
        """How many bundles there are."""
        return self.environments * self.bundles_each

    def __str__(self) -> str:
        s = "" if self.environments == 1 else "s"
        return f"{self.files} files, {self.environments} environment{s}"


@dataclass(frozen=True)
class ParseRun:
    """Seconds of one Dag processor: to its first queue, to its first result, of its first loop, of a later
    one, of a file; and of processor time of the component and of all fork servers, until its end.
    """

    start: float
    result: float
    first: float
    later: float | None
    file: float
    processor: float


def compare(settings: Settings) -> list[Comparison]:
    """For each number of files and environments: the loops, a single file, the start."""
    field = Field(settings, max(settings.teams))
    bench = ParseBench(settings, field)
    cases = [Case(files, count) for count in settings.teams for files in settings.files or FILES]
    for rival in field.rivals:  # not counted: it fills the page cache
        bench.run(rival, Case(min(FEW_FILES, cases[0].files), cases[0].environments), loops=1)
    return [comparison for case in cases for comparison in _compare_one(settings, bench, field, case)]


def _compare_one(settings: Settings, bench: ParseBench, field: Field, case: Case) -> list[Comparison]:
    """All rivals in each round, so that a busy minute of the machine hits all of them alike."""
    runs: dict[str, list[ParseRun]] = {rival.name: [] for rival in field.rivals}
    for _ in range(settings.rounds or ROUNDS):
        for rival in field.rivals:
            runs[rival.name].append(bench.run(rival, case, settings.loops))
    against = (field.rivals[0].name,)
    notes = (f"{field.plain.versions()}; {PROCESSES} parsing processes",)

    def table(what: str, values: dict[str, list[float]]) -> Comparison:
        return Comparison(f"parse: {what}, {case}", values, against, notes=notes)

    tables = [table("first loop", {name: [run.first for run in taken] for name, taken in runs.items()})]
    later = {name: [run.later for run in taken if run.later is not None] for name, taken in runs.items()}
    if settings.loops > 1:
        tables.append(table("later loops", later))
    tables.append(table("a single file", {name: [run.file for run in taken] for name, taken in runs.items()}))
    tables.append(table("start", {name: [run.start for run in taken] for name, taken in runs.items()}))
    return tables


class ParseBench:
    """Runs one Dag processor after another, each with a database and a home of its own."""

    def __init__(self, settings: Settings, field: Field) -> None:
        self._folder = settings.folder
        self._dag = _PLAIN if settings.plain else _DAG
        self._field = field
        self.deployments = Deployments(settings, field.plain)

    def run(self, rival: Rival, case: Case, loops: int) -> ParseRun:
        """Parse every file `loops` times; raises RuntimeError where a file was not parsed as it should."""
        dags = self.dags(case)
        project = self._field.project(rival)
        with MetricsListener("dag_processing") as listener:
            deployment = self.deployments.make(
                project,
                rival.environment(project),
                bundle_list(dags, case.bundles),
                AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES=str(PROCESSES),
                AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL="0",
                **listener.variables,
            )
            words = ["dag-processor", "--num-runs", str(loops)]
            started, used = time.perf_counter(), _processor_of_children()
            try:
                finished = deployment.run(*self._field.command(rival, deployment, *words), timeout=14400)
                used = _processor_of_children() - used
                used += sum(map(processor_seconds, deployment.children(SERVER)))
            finally:
                end_servers(deployment)
        if finished.returncode:
            raise RuntimeError(f"{rival.name}: {finished.stdout[-3000:]}{finished.stderr[-3000:]}")
        check_warm(rival, finished.stdout + finished.stderr)
        file = _file_seconds(deployment.home / "airflow.db", case)
        return replace(_evaluate(listener.heard, started, case.files, loops, file), processor=used)

    def dags(self, case: Case) -> Path:
        """The files, dealt out to the bundles in turn."""
        files = {
            f"{bundle(number % case.bundles)}/dag_{number:04}.py": self._dag.format(number=number)
            for number in range(case.files)
        }
        return write_dags(self._folder / "dags", files)


def _evaluate(heard: Sequence[Metric], started: float, files: int, loops: int, file: float) -> ParseRun:
    """Find the loops in what the manager has reported.

    A loop begins when the manager has its files in the queue, the later ones when the one before has ended;
    it ends with the result of the last file, which is the `files`-th in the order of time.
    """
    queued = next(metric.at for metric in heard if metric.name == QUEUED and metric.value > 0)
    parsed = [metric.at for metric in heard if metric.name == PARSED]
    if len(parsed) != files * loops:
        raise RuntimeError(f"{len(parsed)} parses reported, not {files * loops}")
    ends = [queued, *parsed[files - 1 :: files]]
    seconds = [end - begin for begin, end in pairwise(ends)]
    later = mean(seconds[1:]) if seconds[1:] else None
    return ParseRun(queued - started, parsed[0] - started, seconds[0], later, file, 0.0)


def _processor_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _file_seconds(database: Path, case: Case) -> float:
    """The median of the parses' durations, as the manager has written them beside the Dags."""
    connection = sqlite3.connect(database)
    try:
        durations: list[float] = [row[0] for row in connection.execute("SELECT last_parse_duration FROM dag")]
        errors = connection.execute("SELECT filename, stacktrace FROM import_error").fetchall()
    finally:
        connection.close()
    if errors or len(durations) != case.files:
        raise RuntimeError(f"{len(durations)} Dags of {case.files}, import errors: {errors[:1]}")
    return median(durations)
