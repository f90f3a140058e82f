"""`teams`: eight real teams' environments built from nothing, against uv alone with the same locks."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Generator, Sequence
from itertools import count, pairwise
from pathlib import Path
from statistics import median

from benchmarks.disk import Disk, disk
from benchmarks.measure import Command, Sample, clean_environment, loop, run
from benchmarks.report import Comparison
from benchmarks.settings import Settings
from envman.store.folder import Store

ROUNDS = 2
LOOP = "uv venv + uv pip sync, one after the other"
FIRST, BUILD = "envman build, no bytecode yet", "envman build, bytecode in its store"
COLD = "envman build"
LINKS, COMPILED = "uv venv + uv pip sync, downloads and links alone", "uv venv + uv pip sync, with bytecode"
ADDED = "envman build"
HELD_OUT = "warehouse"
"""The team that comes when ten environments are there: the other seven, and three variants."""

MORE = ("finance", "ops", "web")
AIRFLOW = "apache-airflow=="

_SETS = Path(__file__).parent / "teams"


class TeamsProject:
    """The eight sets as an envman project, and both ways to build them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.folder = settings.folder / "teams"
        self.cache = self.folder / "cache"
        self.uv_cache: Path | None = None
        self.names = sorted(file.stem for file in _SETS.glob("*.in"))
        self.ten = [name for name in self.names if name != HELD_OUT] + [f"{name}_more" for name in MORE]
        self.interpreters: dict[str, str] = {}
        self.steps: list[dict[str, float]] = []

    def prepare(self) -> None:
        """Write the specs, lock them, build them once so that uv's cache holds everything."""
        (self.folder / "environments").mkdir(parents=True, exist_ok=True)
        airflow = ""
        for name in self.names:
            first, *requirements = (_SETS / f"{name}.in").read_text(encoding="utf-8").splitlines()
            python = first.removeprefix("# python ")
            airflow = next(line for line in requirements if line.startswith(AIRFLOW)).removeprefix(AIRFLOW)
            self._spec(name, python, requirements)
            if name in MORE:
                self._spec(f"{name}_more", python, [*requirements, "tabulate"])
        project = f'root = "root"\nairflow-version = "{airflow}"\n'
        (self.folder / "envman.toml").write_text(project, encoding="utf-8")
        self._run("lock")
        self._run("build")
        for name in {*self.names, *self.ten}:
            root = str(self.folder / "root")
            manifest = Store(root).manifest((self.folder / "root" / name).resolve().name)
            assert manifest is not None  # it was built a moment ago
            self.interpreters[name] = manifest.interpreter.executable
        shutil.rmtree(self.folder / "root")

    def _spec(self, name: str, python: str, requirements: list[str]) -> None:
        spec = f'requires-python = "=={python}.*"\ndependencies = {requirements}\n'
        (self.folder / "environments" / f"{name}.toml").write_text(spec, encoding="utf-8")

    def _run(self, *words: str | Path, clock: _StageClock | None = None) -> Sample:
        command: Command = [self.settings.envman, *words, "--jobs", str(self.settings.jobs)]
        environment = self._environment() | {"ENVMAN_CACHE_DIR": str(self.cache)}
        return run(command, environment, self.folder, clock.line if clock else None)

    def _environment(self) -> dict[str, str]:
        return clean_environment() | ({"UV_CACHE_DIR": str(self.uv_cache)} if self.uv_cache else {})

    def _offline(self) -> list[str]:
        return [] if self.uv_cache else ["--offline"]

    def build(self, target: Path) -> Sample:
        """All eight with envman, its stages timed by the lines that it prints."""
        clock = _StageClock()
        sample = self._run("build", *self.names, *self._offline(), "--root", target, clock=clock)
        self.steps.append(clock.seconds())
        return sample

    def build_first(self, target: Path) -> Sample:
        """The same, and nothing was ever compiled."""
        shutil.rmtree(self.cache, ignore_errors=True)
        return self.build(target)

    def sync(self, target: Path) -> Sample:
        """All eight with uv, as a shell script would."""
        return self._sync(target, self.names, ["--compile-bytecode"])

    def _sync(self, target: Path, names: Sequence[str], options: Sequence[str]) -> Sample:
        uv = self.settings.uv
        commands: list[Command] = []
        for name in names:
            lock = self.folder / "environments" / f"{name}.lock"
            commands.append([uv, "venv", "--no-project", "--python", self.interpreters[name], target / name])
            python = target / name / "bin" / "python"
            commands.append([uv, "pip", "sync", lock, "--python", python, "--require-hashes", *options])
            commands[-1] = [*commands[-1], *self._offline()]
        return loop(commands, self._environment(), self.folder)()

    def add(self, target: Path) -> dict[str, Sample]:
        """One more environment where ten are, with envman, and with uv alone.

        What of the downloads is not in uv's cache is fetched by both.
        """
        root = target / "root"
        self._run("build", *self.ten, *self._offline(), "--root", root)
        mine = self.uv_cache
        if mine:  # links of the files: what one side fetches, the other one does not have
            self.uv_cache = self.folder / "uv-cache-of-uv"
            shutil.rmtree(self.uv_cache, ignore_errors=True)
            run(["cp", "-al", mine, self.uv_cache], clean_environment(), self.folder)
        os.sync()
        taken = {LINKS: self._sync(target, [HELD_OUT], [])}
        os.sync()
        if not mine:
            taken[COMPILED] = self._sync(target / "compiled", [HELD_OUT], ["--compile-bytecode"])
        self.uv_cache = mine
        os.sync()
        return {**taken, ADDED: self._run("build", HELD_OUT, *self._offline(), "--root", root)}


class _StageClock:
    """When each environment reached each stage."""

    def __init__(self) -> None:
        self._seen: dict[str, list[tuple[str, float]]] = {}

    def line(self, text: str) -> None:
        environment, stage, *_ = [*text.split(": "), ""]
        self._seen.setdefault(environment, []).append((stage, time.perf_counter()))

    def seconds(self) -> dict[str, float]:
        """Seconds by stage, summed over the environments."""
        total: dict[str, float] = {}
        for stages in self._seen.values():
            for (stage, begun), (_, ended) in pairwise(stages):
                total[stage] = total.get(stage, 0.0) + ended - begun
        return total


def compare(settings: Settings) -> list[Comparison]:
    """Wall time, processor time and disk of both ways: caches warm, caches cold, one more where ten are."""
    project = TeamsProject(settings)
    project.prepare()
    rounds = settings.rounds or ROUNDS
    found = [*_warm(project, rounds), _added(project, rounds, "caches warm")]
    project.uv_cache = project.folder / "uv-cache"
    found.append(_cold(project))
    for folder in (project.uv_cache, project.cache):
        shutil.rmtree(folder, ignore_errors=True)
    found.append(_added(project, 1, "its packages not in the cache"))
    return found


def targets(project: TeamsProject, label: str) -> Generator[Path, None, None]:
    """Empty folders, one after the other; each goes when the next one is asked for."""
    for number in count():
        target = project.folder / f"{label}-{number}"
        shutil.rmtree(target, ignore_errors=True)  # of a run that was interrupted
        target.mkdir()
        os.sync()  # or one side would wait for what the other has written
        yield target
        shutil.rmtree(target)


def _warm(project: TeamsProject, rounds: int) -> list[Comparison]:
    sides: dict[str, Callable[[Path], Sample]] = {
        LOOP: project.sync,
        FIRST: project.build_first,
        BUILD: project.build,
    }
    samples: dict[str, list[Sample]] = {side: [] for side in sides}
    disks: dict[str, list[Disk]] = {side: [] for side in sides}
    folders = targets(project, "warm")
    for _ in range(rounds):
        for side, build in sides.items():
            target = next(folders)
            samples[side].append(build(target))
            disks[side].append(disk(target))
    folders.close()
    total = "teams: eight environments from nothing, uv's cache warm"
    stages = (f"stages of envman build: {_shares(project.steps)}",)
    measures: dict[str, dict[str, list[float]]] = {
        "wall time": {side: [sample.wall for sample in taken] for side, taken in samples.items()},
        "processor time": {side: [sample.cpu for sample in taken] for side, taken in samples.items()},
        "disk": {side: [item.total for item in taken] for side, taken in disks.items()},
        "disk beyond what uv's cache holds already": {
            side: [item.own for item in taken] for side, taken in disks.items()
        },
    }
    return [
        Comparison(
            f"{total}, {name}",
            taken,
            (LOOP,),
            notes=stages if name == "wall time" else (),
            unit="bytes" if name.startswith("disk") else "seconds",
        )
        for name, taken in measures.items()
    ]


def _cold(project: TeamsProject) -> Comparison:
    """Everything downloaded once by each side."""
    folders = targets(project, "cold")
    walls: dict[str, list[float]] = {}
    for side, build in {LOOP: project.sync, COLD: project.build_first}.items():
        shutil.rmtree(project.uv_cache or "", ignore_errors=True)
        walls[side] = [build(next(folders)).wall]
    folders.close()
    return Comparison("teams: eight environments from nothing, uv's cache empty, wall time", walls, (LOOP,))


def _added(project: TeamsProject, rounds: int, state: str) -> Comparison:
    folders = targets(project, "added")
    taken = [project.add(next(folders)) for _ in range(rounds)]
    folders.close()
    walls = {side: [samples[side].wall for samples in taken] for side in taken[0]}
    return Comparison(f"teams: one environment where ten are, {state}, wall time", walls, (LINKS,))


def _shares(rounds: list[dict[str, float]]) -> str:
    medians = {stage: median(item.get(stage, 0.0) for item in rounds) for stage in rounds[0]}
    whole = sum(medians.values())
    return ", ".join(f"{stage} {seconds / whole:.0%}" for stage, seconds in medians.items())
