"""`noop`: a whole `envman build` with nothing to do, against `uv pip sync` with nothing to do."""

from __future__ import annotations

from benchmarks.measure import Action, Command, action, clean_environment, loop, take_turns
from benchmarks.projects import TinyProject, make_project
from benchmarks.report import Comparison
from benchmarks.settings import Settings

ROUNDS = 7
SYNC, BUILD = "uv pip sync, one after the other", "envman build"


def compare(settings: Settings) -> list[Comparison]:
    """One comparison for each number of environments, and one where all share one generation."""
    projects = {
        f"{size} environments": make_project(settings, size, distinct=True) for size in settings.sizes
    }
    title = f"{settings.many} environments that share one generation"
    projects[title] = make_project(settings, settings.many, distinct=False)
    actions: dict[str, Action] = {}
    for title, project in projects.items():
        actions[f"{title}: {SYNC}"] = _sync(settings, project)
        actions[f"{title}: {BUILD}"] = _build(settings, project)
    samples = take_turns(actions, settings.rounds or ROUNDS, warm_up=1)
    comparisons = []
    for title in projects:
        values = {name: [sample.wall for sample in samples[f"{title}: {name}"]] for name in (SYNC, BUILD)}
        comparisons.append(Comparison(f"noop: nothing to do, {title}", values, (SYNC,)))
    return comparisons


def _build(settings: Settings, project: TinyProject) -> Action:
    command: Command = [settings.envman, "build", "--wheelhouse", project.wheelhouse]
    return action([*command, "--jobs", str(settings.jobs)], clean_environment(), project.folder)


def _sync(settings: Settings, project: TinyProject) -> Action:
    source = ["--no-config", "--no-index", "--find-links", str(project.wheelhouse), "--offline"]
    sync = [str(settings.uv), "pip", "sync", "--require-hashes", *source]
    commands: list[Command] = [
        [*sync, project.lock(number), "--python", project.generation(number) / "bin" / "python"]
        for number in range(project.count)
    ]
    return loop(commands, clean_environment(), project.folder)
