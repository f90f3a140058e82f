"""The README's main job on the package registry, as its readers run it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    """What the job needs of the repository, in a folder of the test's own."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    shutil.copy(PROJECT / "envman.toml", folder)
    for part in ("bundles", "demo", "environments"):
        shutil.copytree(PROJECT / part, folder / part)
    yield folder
    shutil.rmtree(folder)  # a gigabyte that pytest would keep


@pytest.mark.registry
def test_one_airflow_parses_and_runs_each_bundle_in_its_own_interpreter(checkout: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "demo/main_job.py", "--json"],
        cwd=checkout,
        text=True,
        capture_output=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    rows = json.loads(finished.stdout)
    assert [(row["bundle"], row["environment"], row["dags"], row["task"]) for row in rows] == [
        ("bundle_a", "env_a", 2, "sales"),
        ("bundle_b", "env_b", 1, "ledger"),
    ]
    assert rows[0]["pandas"] != rows[1]["pandas"]


def test_the_repositorys_own_locks_answer_their_specs() -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "envman", "lock", "--check"],
        cwd=PROJECT,
        text=True,
        capture_output=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
