"""`teams`: eight real teams' environments built from nothing, against uv alone with the same locks."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median

from benchmarks.disk import Disk, disk
from benchmarks.measure import Command, Sample, clean_environment, loop, run
from benchmarks.report import Comparison
from benchmarks.settings import Settings
from envman.store.generations import read_manifest

ROUNDS = 2
LOOP = "uv venv + uv pip sync, one after the other"
FIRST, BUILD = "envman build, no bytecode yet", "envman build, bytecode in its store"
AIRFLOW = "apache-airflow=="

_SETS = Path(__file__).parent / "teams"


class TeamsProject:
    """The eight sets as an envman project, and both ways to build them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.folder = settings.folder / "teams"
        self.cache = self.folder / "cache"
        self.names = sorted(file.stem for file in _SETS.glob("*.in"))
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
            spec = f'requires-python = "=={python}.*"\ndependencies = {requirements}\n'
            (self.folder / "environments" / f"{name}.toml").write_text(spec, encoding="utf-8")
        project = f'root = "root"\nairflow-version = "{airflow}"\n'
        (self.folder / "envman.toml").write_text(project, encoding="utf-8")
        envman, jobs = self.settings.envman, ["--jobs", str(self.settings.jobs)]
        run([envman, "lock", *jobs], clean_environment(), self.folder)
        run([envman, "build", *jobs], clean_environment(), self.folder)
        for name in self.names:
            root = str(self.folder / "root")
            manifest = read_manifest(root, (self.folder / "root" / name).resolve().name)
            assert manifest is not None  # it was built a moment ago
            self.interpreters[name] = manifest.interpreter.executable
        shutil.rmtree(self.folder / "root")

    def build(self, target: Path) -> Sample:
        """All eight with envman, its stages timed by the lines that it prints."""
        clock = _StageClock()
        command: Command = [self.settings.envman, "build", "--offline", "--root", target]
        environment = clean_environment() | {"ENVMAN_CACHE_DIR": str(self.cache)}
        sample = run([*command, "--jobs", str(self.settings.jobs)], environment, self.folder, clock.line)
        self.steps.append(clock.seconds())
        return sample

    def build_first(self, target: Path) -> Sample:
        """The same, and nothing was ever compiled."""
        shutil.rmtree(self.cache, ignore_errors=True)
        return self.build(target)

    def sync(self, target: Path) -> Sample:
        """All eight with uv, as a shell script would."""
        uv = self.settings.uv
        commands: list[Command] = []
        for name in self.names:
            lock = self.folder / "environments" / f"{name}.lock"
            commands.append([uv, "venv", "--no-project", "--python", self.interpreters[name], target / name])
            python = target / name / "bin" / "python"
            options = ["--require-hashes", "--compile-bytecode", "--offline"]
            commands.append([uv, "pip", "sync", lock, "--python", python, *options])
        return loop(commands, clean_environment(), self.folder)()


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
    """Wall time, processor time and disk of both ways."""
    project = TeamsProject(settings)
    project.prepare()
    sides: dict[str, Callable[[Path], Sample]] = {
        LOOP: project.sync,
        FIRST: project.build_first,
        BUILD: project.build,
    }
    samples: dict[str, list[Sample]] = {side: [] for side in sides}
    disks: dict[str, list[Disk]] = {side: [] for side in sides}
    for number in range(settings.rounds or ROUNDS):
        for side, build in sides.items():
            target = project.folder / f"round-{number}"
            shutil.rmtree(target, ignore_errors=True)  # of a run that was interrupted
            target.mkdir()
            os.sync()  # or one side would wait for what the other has written
            samples[side].append(build(target))
            disks[side].append(disk(target))
            shutil.rmtree(target)
    total = "teams: eight environments from nothing, warm cache"
    return [
        Comparison(
            f"{total}, wall time",
            {side: [sample.wall for sample in taken] for side, taken in samples.items()},
            (LOOP,),
            notes=(f"stages of envman build: {_shares(project.steps)}",),
        ),
        Comparison(
            f"{total}, processor time",
            {side: [sample.cpu for sample in taken] for side, taken in samples.items()},
            (LOOP,),
        ),
        Comparison(
            f"{total}, disk",
            {side: [item.total for item in taken] for side, taken in disks.items()},
            (LOOP,),
            unit="bytes",
        ),
        Comparison(
            f"{total}, disk beyond what uv's cache holds already",
            {side: [item.own for item in taken] for side, taken in disks.items()},
            (LOOP,),
            unit="bytes",
        ),
    ]


def _shares(rounds: list[dict[str, float]]) -> str:
    medians = {stage: median(item.get(stage, 0.0) for item in rounds) for stage in rounds[0]}
    whole = sum(medians.values())
    return ", ".join(f"{stage} {seconds / whole:.0%}" for stage, seconds in medians.items())
