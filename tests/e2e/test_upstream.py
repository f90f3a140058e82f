"""What envman leans on in Airflow without a promise is there; where one has moved, its name is said."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from envman.airflow.upstream import NAMES
from tests.e2e.conftest import Estate

pytestmark = pytest.mark.registry

CODE = """
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location("upstream", sys.argv[1])
upstream = importlib.util.module_from_spec(spec)
spec.loader.exec_module(upstream)
print(json.dumps({str(one): one.is_there() for one in upstream.NAMES}))
"""


@pytest.mark.parametrize("environment", ["core", "env_a", "env_b", "env_c"])
def test_no_name_has_moved(estate: Estate, environment: str, tmp_path: Path) -> None:
    upstream = Path(__file__).parents[2] / "envman/airflow/upstream.py"
    variables = {**estate.environ, "AIRFLOW_HOME": str(tmp_path)}
    command = [str(estate.python(environment)), "-c", CODE, str(upstream)]
    answer = subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout
    found = json.loads(answer.splitlines()[-1])
    assert [name for name, there in found.items() if not there] == []
    assert len(found) == len({str(one) for one in NAMES})
