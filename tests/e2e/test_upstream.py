"""What envman leans on in Airflow without a promise is there; where one has moved, its name is said."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from envman.airflow.upstream import NAMES
from tests.e2e.conftest import Deploy, Estate

pytestmark = pytest.mark.registry

CODE = """
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location("upstream", sys.argv[1])
upstream = importlib.util.module_from_spec(spec)
spec.loader.exec_module(upstream)
print(json.dumps({str(one): one.is_there() for one in upstream.NAMES}))
"""


MOVED = """
import runpy, sys
from airflow.sdk.execution_time.coordinator import CoordinatorManager
del CoordinatorManager.for_queue
sys.argv = [sys.argv[1], "celery", "worker", "--help"]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""A component whose Airflow lacks a name that the hooks of a worker replace."""


def with_a_moved_name(estate: Estate, deploy: Deploy, **variables: str) -> subprocess.CompletedProcess[str]:
    airflow = deploy(estate.bundle_list())
    airflow.environ |= variables
    component = Path(__file__).parents[2] / "envman/airflow/component.py"
    return airflow.run(str(estate.python("env_b")), "-c", MOVED, str(component))


def test_a_shared_component_refuses_to_start_where_a_name_has_moved(estate: Estate, deploy: Deploy) -> None:
    finished = with_a_moved_name(estate, deploy)
    assert finished.returncode == 125
    name = "airflow.sdk.execution_time.coordinator.CoordinatorManager.for_queue"
    assert f"has moved: {name}" in finished.stderr


def test_a_worker_of_ones_own_is_the_stock_one_then_and_says_what_is_not_guarded(
    estate: Estate, deploy: Deploy
) -> None:
    finished = with_a_moved_name(estate, deploy, ENVMAN_HOME="env_b")
    assert finished.returncode == 0, finished.stderr
    assert "--concurrency" in finished.stdout
    assert "CoordinatorManager.for_queue. This is the stock worker: a task of another" in finished.stderr
    assert "is not refused, but runs in 'env_b'" in finished.stderr


@pytest.mark.parametrize("environment", ["core", "env_a", "env_b", "env_c"])
def test_no_name_has_moved(estate: Estate, environment: str, tmp_path: Path) -> None:
    upstream = Path(__file__).parents[2] / "envman/airflow/upstream.py"
    variables = {**estate.environ, "AIRFLOW_HOME": str(tmp_path)}
    command = [str(estate.python(environment)), "-c", CODE, str(upstream)]
    answer = subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout
    found = json.loads(answer.splitlines()[-1])
    needed = {str(one) for one in NAMES if one.is_needed()}
    assert [name for name, there in found.items() if not there and name in needed] == []
    assert set(found) == {str(one) for one in NAMES}
