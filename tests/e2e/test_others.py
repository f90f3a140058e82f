"""System tests of five small providers, parsed by the stock Dag processor and by the shared one: the same rows.

`nox -s others` does this with many more packages.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import AIRFLOW
from tests.others.comparison import compare
from tests.others.packages import NEEDED, SMALL, requirement
from tests.others.project import Project
from tests.others.sources import fetch_system_tests

pytestmark = pytest.mark.registry


def test_dags_of_others_are_the_same(tmp_path: Path) -> None:
    systems = fetch_system_tests(SMALL, tmp_path / "systems")
    project = Project(tmp_path / "project", AIRFLOW, {"systems": systems}, components="others")
    project.build([*map(requirement, SMALL), *NEEDED])
    stock = project.stock(tmp_path / "stock")
    shared = project.shared(tmp_path / "shared")
    assert compare(stock, shared) == []
    assert len(stock["serialized Dags"]) >= 10
    assert set(stock["import errors"]) <= {("systems", "system/redis/example_dag_message_queue_trigger.py")}
