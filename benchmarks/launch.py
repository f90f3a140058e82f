"""`exec`: a whole `envman exec`, from the start of its console script to the end of the command."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.measure import Action, Command, action, clean_environment, take_turns
from benchmarks.projects import TinyProject, make_project
from benchmarks.report import Comparison
from benchmarks.settings import Settings

BARE, UV_RUN, SHIM = "bare interpreter", "uv run", "least shim"
BY_ROOT = "envman exec, ENVMAN_ROOT"
BY_PROJECT = "envman exec, envman.toml"
BY_TEAM = "envman exec, team of Airflow's list"

_SHIM = "import os, sys\nos.execv(sys.argv[1], sys.argv[1:])\n"


def compare(settings: Settings) -> list[Comparison]:
    """One comparison for each number of environments, and one between the numbers."""
    elsewhere = settings.folder / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    (elsewhere / "shim.py").write_text(_SHIM, encoding="utf-8")
    actions: dict[str, Action] = {}
    for size in settings.sizes:
        project = make_project(settings, size, distinct=False)
        found = _actions(settings, project, elsewhere)
        actions.update({f"{size} {name}": act for name, act in found.items()})
    walls = {
        name: [sample.wall for sample in samples]
        for name, samples in take_turns(actions, settings.runs).items()
    }
    comparisons = [
        Comparison(
            f"exec: one command, {size} environments published",
            {name.partition(" ")[2]: values for name, values in walls.items() if name.startswith(f"{size} ")},
            (BARE, UV_RUN, SHIM),
        )
        for size in settings.sizes
    ]
    between = {f"{size} environments": walls[f"{size} {BY_ROOT}"] for size in settings.sizes}
    few = f"{settings.sizes[0]} environments"
    return [*comparisons, Comparison("exec: does the number of environments count?", between, (few,))]


def _actions(settings: Settings, project: TinyProject, elsewhere: Path) -> dict[str, Action]:
    """The last bundle of the table is asked for; all rows run the same interpreter with the same words."""
    last = project.count - 1
    python = project.generation(last) / "bin" / "python"
    words = ["python", "-c", "pass"]
    plain = clean_environment()
    rooted = clean_environment(ENVMAN_ROOT=str(project.root))
    listed = {**rooted, "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": _airflow_bundles(project)}
    envman: list[str | Path] = [settings.envman, "exec", "--bundle"]
    uv_run: Command = [settings.uv, "run", "--no-project", "--python", python, "--", *words]
    return {
        BARE: action([python, *words[1:]], plain, elsewhere),
        UV_RUN: action(uv_run, plain, elsewhere),
        SHIM: action([settings.python, "shim.py", python, *words[1:]], plain, elsewhere),
        BY_ROOT: action([*envman, f"bundle_{last:04}", "--", *words], rooted, elsewhere),
        BY_PROJECT: action([*envman, f"bundle_{last:04}", "--", *words], plain, project.folder),
        BY_TEAM: action([*envman, f"airflow_{last:04}", "--", *words], listed, elsewhere),
    }


def _airflow_bundles(project: TinyProject) -> str:
    return json.dumps(
        [
            {
                "name": f"airflow_{number:04}",
                "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
                "kwargs": {},
                "team_name": f"team_{number:04}",
            }
            for number in range(project.count)
        ]
    )
