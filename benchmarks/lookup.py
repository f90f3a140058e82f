"""`lookup`: what one workload's look at the world costs, and the check at a component's start, by bundles.

In this process, with nothing started: a root folder with ten environments, and more and more bundles.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measure import Action, Sample, take_turns
from benchmarks.report import Comparison
from benchmarks.settings import Settings
from envman.airflow.bundle_interpreter import look, of_bundle
from envman.airflow.start import check_bundles
from tests.airflow.published import Published

SIZES = (10, 1_000, 10_000)
ENVIRONMENTS = 10
ROUNDS = 15
REPEATED = 20
"""How often a workload's look is taken for one sample: a single one takes less than the clock is good for."""

ALONE_UP_TO = 1_000
"""Beyond so many bundles reading everything anew for each takes minutes."""

JSON, WORKLOAD = "json.load of the same content", "envman, one workload's look"
ALONE, START = "a look for each bundle", "envman, a start's look at all"


def compare(settings: Settings) -> list[Comparison]:
    """For each number of bundles a workload and a start against their rivals; and between the numbers.

    All values are processor time: nothing waits for anything here.
    """
    deployments = [_Deployment(settings.folder / f"lookup-{size}", size) for size in SIZES]
    actions: dict[str, Action] = {}
    for one in deployments:
        actions |= {f"{one.size} {name}": act for name, act in one.actions().items()}
    samples = take_turns(actions, settings.rounds or ROUNDS, warm_up=1)
    values = {name: [sample.cpu for sample in found] for name, found in samples.items()}

    def rows(size: int, *names: str) -> dict[str, list[float]]:
        return {name: values[f"{size} {name}"] for name in names if f"{size} {name}" in values}

    comparisons = []
    for size in SIZES:
        comparisons.append(
            Comparison(f"lookup: one workload, {size} bundles", rows(size, JSON, WORKLOAD), (JSON,))
        )
        found = rows(size, JSON, ALONE, START)
        rivals = tuple(name for name in (JSON, ALONE) if name in found)
        comparisons.append(Comparison(f"lookup: a start, {size} bundles", found, rivals))
    for name in (WORKLOAD, START):
        between = {f"{size} bundles": values[f"{size} {name}"] for size in SIZES}
        title = f"lookup: does the number of bundles count? {name}"
        comparisons.append(Comparison(title, between, (f"{SIZES[0]} bundles",)))
    return comparisons


class _Deployment:
    """A root folder, and an Airflow configuration with bundles, half of which envman.toml knows, too."""

    def __init__(self, folder: Path, size: int) -> None:
        self.size = size
        folder.mkdir()
        self._published = Published(folder)
        self._names = [f"bundle_{number:05}" for number in range(size)]
        environments = [f"env_{number}" for number in range(ENVIRONMENTS)]
        for name in environments:
            self._published.build(name, f"generation-of-{name}")
        teams = {f"team_{number}": name for number, name in enumerate(environments)}
        homes = {name: (environments[index % ENVIRONMENTS], "") for index, name in enumerate(self._names)}
        own = dict(list(homes.items())[size // 2 :])
        more = [("limits", name, "memory=1073741824 pids=200") for name in environments]
        more += [("team-queue", team, f"queue_of_{team}") for team in teams]
        more += [("bundle-queue", name, "etl") for name in own]
        variables = {name: {"TZ": "UTC"} for name in environments}
        self._published.publish(own, teams, variables, more)
        self._published.configure(
            {name: f"team_{index % ENVIRONMENTS}" for index, name in enumerate(self._names)}
        )
        self._json = folder / "same.json"
        content = {"bundles": homes, "teams": teams, "environments": variables, "more": more}
        self._json.write_text(json.dumps(content), encoding="utf-8")

    def actions(self) -> dict[str, Action]:
        """What is measured, by the rows' names."""
        found = {
            JSON: self._timed(self._load, REPEATED),
            WORKLOAD: self._timed(lambda: of_bundle(self._names[-1]).close(), REPEATED),
            START: self._timed(lambda: check_bundles(look(), [], with_images=False), 1),
        }
        if self.size <= ALONE_UP_TO:
            found[ALONE] = self._timed(self._each_alone, 1)
        return found

    def _load(self) -> None:
        with self._json.open(encoding="utf-8") as stream:
            json.load(stream)

    def _each_alone(self) -> None:
        for name in look().airflow().teams:
            look().resolve(name)

    def _timed(self, act: Callable[[], object], times: int) -> Action:
        def run() -> Sample:
            with self._as_component():
                wall, cpu = time.perf_counter(), time.process_time()
                for _ in range(times):
                    act()
                return Sample((time.perf_counter() - wall) / times, (time.process_time() - cpu) / times)

        return run

    @contextmanager
    def _as_component(self) -> Iterator[None]:
        """Variables and import path as in a component of this deployment."""
        before = dict(os.environ)
        os.environ.update(self._published.variables())
        sys.path.insert(0, str(self._published.site))
        importlib.invalidate_caches()
        try:
            yield
        finally:
            sys.path.remove(str(self._published.site))
            os.environ.clear()
            os.environ.update(before)
