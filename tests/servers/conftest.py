from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.running import write_airflow


@pytest.fixture
def run_folder() -> Iterator[Path]:
    """A folder for sockets, whose path is as short as theirs have to be."""
    with tempfile.TemporaryDirectory(prefix="envman-") as folder:
        yield Path(folder)


@pytest.fixture
def airflow(tmp_path: Path) -> Path:
    return write_airflow(tmp_path / "airflow")
