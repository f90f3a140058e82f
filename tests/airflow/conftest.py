from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from envman.airflow.built_airflow import built_interpreter, own_airflow
from tests.airflow.published import Published


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
