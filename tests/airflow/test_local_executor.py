"""A LocalExecutor that ends: no process of it is left without a word."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.airflow.client_side import forget
from tests.stand_in import write_modules

NAMES = ("envman.airflow.local_executor",)
EXECUTOR = '''
class LocalExecutor:
    """As Airflow's: a word for each that is still alive, and whoever takes one ends."""

    def __init__(self):
        self.workers = {name: [] for name in "abc"}
        self.activity_queue = self
        self.ended = []

    def put(self, word):
        alive = [name for name in self.workers if name not in self.ended]
        self.ended += alive[-1:]

    def end(self):
        for name in self.workers:
            if name not in self.ended:
                self.put(None)
        self.waits_for = {*self.workers} - {*self.ended}
'''


@pytest.fixture
def executor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    write_modules(tmp_path / "modules", {"airflow.executors.local_executor": EXECUTOR})
    monkeypatch.syspath_prepend(tmp_path / "modules")
    forget(NAMES)
    yield importlib.import_module(NAMES[0])
    forget(NAMES)


def test_a_process_that_ends_early_leaves_none_without_a_word(executor: Any) -> None:
    airflows = executor.LocalExecutor()
    airflows.end()
    assert airflows.waits_for == {"a"}  # what it holds against
    executor.install()
    ours = executor.LocalExecutor()
    ours.end()
    assert ours.waits_for == set()
