"""From a live interpreter to an environment with exactly its versions, through the command line.

The interpreter is real, and so are uv and the build. Airflow is a small wheel of that name, as the real one with all that
it needs takes minutes to lock and to build.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from uv import find_uv_bin

from tests.conftest import Deployment
from tests.wheels import make_wheel


@pytest.fixture
def live(tmp_path: Path, deployment: Deployment, wheelhouse: Path) -> Path:
    """An interpreter whose packages contradict each other: frame 2.2 wants grid 2, and a package that is not there."""
    wheels = tmp_path / "wheels"
    sdk = {"airflow/sdk/__init__.py": "", "airflow/__init__.py": ""}
    made = [
        make_wheel(wheels, "apache-airflow-core", "3.3.2", ["apache-airflow-task-sdk==1.3.2"]),
        make_wheel(wheels, "apache-airflow-task-sdk", "1.3.2", files=sdk),
        make_wheel(wheels, "lacking", "1.0", ["nowhere-to-be-found>=1"]),
    ]
    own = make_wheel(tmp_path / "own", "company-rules", "1.4")
    found = [next(wheelhouse.glob(f"{name}-*.whl")) for name in ("frame-2.2", "grid-1.0")]
    deployment.environment |= {
        "UV_CONFIG_FILE": str(deployment.folder / "uv.toml"),
        "UV_FIND_LINKS": str(wheels),
    }
    python = tmp_path / "live/bin/python"
    for words in (
        ("venv", "--quiet", "--python", sys.executable, str(tmp_path / "live")),
        (
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
            "--python",
            str(python),
            *made[1:],
            *found,
            own,
        ),
        # as an index gives it: no direct_url.json
        ("pip", "install", "--quiet", "--no-deps", "--no-index", "--python", str(python), made[0]),
    ):
        subprocess.run([find_uv_bin(), *words], check=True, env=deployment.environment, timeout=60)
    for direct in (tmp_path / "live").rglob("direct_url.json"):
        if "company_rules" not in str(direct):
            direct.unlink()
    return python


def test_the_lock_and_the_build_have_exactly_todays_versions(deployment: Deployment, live: Path) -> None:
    units = deployment.write(
        "units/scheduler.service", f"[Service]\nExecStart={live.parent}/airflow scheduler\n"
    )
    words = (
        "adopt",
        "init",
        "--airflow",
        str(live),
        "--systemd",
        str(units.parent),
        "new",
        "--lock",
        "--json",
    )
    result = deployment.ok(*words).json["result"]
    today = [
        "apache-airflow-core==3.3.2",
        "apache-airflow-task-sdk==1.3.2",
        "frame==2.2",
        "grid==1.0",
        "lacking==1.0",
    ]
    assert result["pins"] == today
    assert result["overrides"] == ["grid==1.0", "nowhere-to-be-found ; python_version < '0'"]
    assert [(one["package"], one["locked"]) for one in result["differences"]] == [("company-rules", "")]
    deployment.environment["ENVMAN_PROJECT"] = str(deployment.folder / "new")
    deployment.ok("build")
    code = "from importlib.metadata import distributions as d; print(*sorted(f'{x.name}=={x.version}' for x in d()))"
    inside = deployment.ok("exec", "--environment", "airflow", "--", "python", "-c", code)
    assert inside.stdout.split() == today
    launched = f"launch scheduler --root {deployment.folder}/new/.venvs"
    assert launched in (deployment.folder / "new/start-commands.diff").read_text()
    again = deployment.run(*words)
    assert (again.exit_code, again.json["result"]) == (2, None)


def test_without_the_index_the_project_is_written_and_the_lock_is_said_to_fail(
    deployment: Deployment, live: Path, tmp_path: Path
) -> None:
    deployment.environment["UV_FIND_LINKS"] = str(tmp_path)
    failed = deployment.run("adopt", "init", "--airflow", str(live), "new", "--lock")
    assert failed.exit_code == 5
    assert "5 packages are pinned; 1 differ between today and its spec" in failed.stdout
    assert "apache-airflow-core" in failed.stderr
    assert json.loads((deployment.folder / "new/adoption.json").read_text())["airflow"] == "3.3.2"
