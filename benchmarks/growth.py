"""`grow`: what commands cost with many environments, generations and bundles, against a quarter of them."""

from __future__ import annotations

import shutil
from functools import partial

from benchmarks.measure import Action, Sample, clean_environment, run, take_turns
from benchmarks.report import Comparison
from benchmarks.settings import Settings
from tests.large_root import LargeRoot, bundle, environment, make_large_root

ROUNDS = 3
SIZES = (50, 200)
OLD, BUNDLES = 4, 5
"""Older generations and bundles of each environment: 200 of them have 1,000 of both."""

COMMANDS = (
    *("list", "verify", "publish", "build --offline", "lock --check", "gc --dry-run"),
    *(f"history {environment(1)}", f"resolve --bundle {bundle(1)}"),
    *(f"exec --bundle {bundle(1)} -- /bin/true", "top --once"),
)
DOCTOR = "doctor"
"""It starts an interpreter of each environment, and says what it finds by its exit code."""


def compare(settings: Settings) -> list[Comparison]:
    """Processor time and the time on the clock of each command, at both sizes."""
    roots = [_made(settings, size) for size in settings.environments or SIZES]
    commands = [*COMMANDS, DOCTOR]
    actions: dict[str, Action] = {}
    for root in roots:
        for words in commands:
            actions[f"{words}: {_size(root)}"] = partial(_run, settings, root, words)
    samples = take_turns(actions, settings.rounds or ROUNDS, warm_up=1)
    comparisons = []
    for words in commands:
        for kind, title in {"cpu": "processor time", "wall": "time on the clock"}.items():
            values = {
                _size(root): [getattr(sample, kind) for sample in samples[f"{words}: {_size(root)}"]]
                for root in roots
            }
            comparisons.append(Comparison(f"grow: envman {words}, {title}", values, (_size(roots[0]),)))
    return comparisons


def _made(settings: Settings, size: int) -> LargeRoot:
    folder = settings.folder / f"large-{size}"
    shutil.rmtree(folder, ignore_errors=True)
    root = LargeRoot(folder, size, OLD, BUNDLES * size)
    return make_large_root(root, [str(settings.envman)], clean_environment())


def _size(root: LargeRoot) -> str:
    return f"{root.environments} environments, {root.generations} generations, {root.bundles} bundles"


def _run(settings: Settings, root: LargeRoot, words: str) -> Sample:
    codes = (0, 1) if words == DOCTOR else (0,)
    return run([settings.envman, *words.split(" ")], clean_environment(), root.folder, codes=codes)
