"""Two teams whose environments hold a stand-in for Airflow: its commands tell how they were started."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Deployment
from tests.wheels import make_wheel

TELL = """\
import json
import os
import sys


def main():
    told = {"words": sys.argv[1:], "pid": os.getpid(), "prefix": sys.prefix, "variables": dict(os.environ)}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
"""
PROJECT = """\
root = "venv"

[bundles]
bundle_a = { environment = "env_a", queue = "etl" }
bundle_a2 = { environment = "env_a" }
bundle_b = { team = "team_b" }
bundle_s = { environment = "env_b", shared = ["../common"] }

[teams]
team_b = { environment = "env_b", queue = "etl_b" }
"""


@pytest.fixture(scope="module")
def airflow_teams(
    tmp_path_factory: pytest.TempPathFactory, wheelhouse: Path, clean_environment: dict[str, str]
) -> Deployment:
    """A module's tests share it, and leave it as it is."""
    folder = tmp_path_factory.mktemp("teams")
    workload = "airflow/sdk/execution_time/execute_workload.py"
    packages = {
        f"{path}/__init__.py": "" for path in ("airflow", "airflow/sdk", "airflow/sdk/execution_time")
    }
    files = {"airflow_fake/__init__.py": TELL, workload: TELL, **packages}
    make_wheel(
        folder / "wheels", "airflow-fake", "1.0", files=files, console_script="airflow = airflow_fake:main"
    )
    made = Deployment(folder / "project", dict(clean_environment))
    made.write("envman.toml", PROJECT)
    links = json.dumps([str(wheelhouse), str(folder / "wheels")])
    made.write("uv.toml", f"no-index = true\nfind-links = {links}\n")
    made.spec("env_a", ["airflow-fake", "frame>=2"])
    made.spec("env_b", ["airflow-fake", "frame<2"], '[variables]\nkeep-out = ["SECRET_*"]\n')
    made.ok("lock")
    made.ok("build")
    return made
