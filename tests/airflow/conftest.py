from __future__ import annotations

import importlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from envman.airflow.built_airflow import built_interpreter, own_airflow
from tests.airflow.client_side import FRESH, LIBRARIES, Component, forget
from tests.airflow.published import Published
from tests.stand_in import MODULES, children_of, subreaper, write_modules


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Published]:
    """A component's surroundings; nothing is built or published yet."""
    made = Published(tmp_path)
    monkeypatch.syspath_prepend(made.site)
    for name in ("AIRFLOW_CONFIG", "ENVMAN_COLD", "ENVMAN_HOME", "ENVMAN_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in made.variables().items():
        monkeypatch.setenv(name, value)
    for cached in (own_airflow, built_interpreter):
        cached.cache_clear()
    yield made
    for cached in (own_airflow, built_interpreter):
        cached.cache_clear()


@pytest.fixture
def component(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Component]:
    modules = tmp_path / "modules"
    write_modules(modules, {**MODULES, **LIBRARIES})
    monkeypatch.syspath_prepend(modules)
    monkeypatch.setenv("ENVMAN_RUN", str(tmp_path / "run"))
    forget(FRESH)
    tracker, client = (importlib.import_module(name) for name in FRESH[:2])
    made = Component(tmp_path, client, tracker, importlib.import_module("psutil"))
    known = set(children_of(os.getpid()))
    with subreaper():
        yield made
        for one in made.ends:
            one.close()
        for child in made.children:
            if child._status is None:
                child.close()
        for interpreter in made.interpreters:
            interpreter.close()
        for pid in set(children_of(os.getpid())) - known:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    forget(FRESH)
