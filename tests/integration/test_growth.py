"""What commands ask of files grows with what they look at, and no faster: counted, at three sizes of one root."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping

import pytest

from tests import file_calls
from tests.large_root import LargeRoot, bundle, environment, make_large_root

ENVMAN = (sys.executable, "-m", "envman")
SIZES = (3, 6, 12)
"""Environments, each with two older generations and five bundles; each size is twice the one before."""

CONSTANT = (
    f"exec --bundle {bundle(1)} -- /bin/true",
    f"resolve --bundle {bundle(1)}",
    f"resolve --environment {environment(1)}",
    f"history {environment(1)}",
)
LINEAR = (
    *("list", "publish", "verify", "build --offline", "lock --check", "doctor", "top --once"),
    *("gc --keep 2 --dry-run", "gc --keep 2", "gc --keep 1 --undeclared"),
)
"""In this order: the last ones remove something."""

SLACK = 12
"""Calls: those of a garbage collection or of a cache that is written meanwhile."""


@pytest.fixture(scope="module")
def counts(
    tmp_path_factory: pytest.TempPathFactory, clean_environment: dict[str, str]
) -> Mapping[str, list[dict[str, int]]]:
    """What each command asked for, at each of the sizes."""
    folder = tmp_path_factory.mktemp("growth")
    roots = [
        make_large_root(LargeRoot(folder / str(size), size, 2, 5 * size), ENVMAN, clean_environment)
        for size in SIZES
    ]
    for root in roots:
        for generation in (root.root / ".gen").iterdir():  # as many signatures as there may be
            (root.root / f".state/{environment(0)}@{generation.name}.sig").touch()
    return {
        words: [counted(root, words, clean_environment) for root in roots] for words in (*CONSTANT, *LINEAR)
    }


def counted(root: LargeRoot, words: str, variables: Mapping[str, str]) -> dict[str, int]:
    told = root.folder / "counts.json"
    if "undeclared" in words:
        for number in range(root.environments // 3, root.environments):
            (root.folder / f"environments/{environment(number)}.toml").unlink()
        (root.folder / "envman.toml").write_text('root = "root"\n')
    command = [sys.executable, file_calls.__file__, str(told), str(root.folder), *words.split(" ")]
    finished = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert finished.returncode == (1 if words == "doctor" else 0), finished.stderr
    found: dict[str, int] = json.loads(told.read_text())
    return found


@pytest.mark.parametrize("words", CONSTANT)
def test_what_a_call_does_not_touch_costs_it_nothing(
    counts: Mapping[str, list[dict[str, int]]], words: str
) -> None:
    first, *others = counts[words]
    assert first["opens"] > 0
    assert all(one == first for one in others)


@pytest.mark.parametrize("kind", ["opens", "looks", "entries", "programs"])
@pytest.mark.parametrize("words", LINEAR)
def test_nothing_grows_faster_than_what_is_there(
    counts: Mapping[str, list[dict[str, int]]], words: str, kind: str
) -> None:
    """Twice as much may cost twice as much more; what is quadratic costs four times as much more."""
    small, middle, large = (one.get(kind, 0) for one in counts[words])
    assert large - middle <= 2 * (middle - small) + SLACK
