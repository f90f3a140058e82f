"""Locks, read by other tools and from the real index."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from packaging.pylock import Pylock
from uv import find_uv_bin

from envman.spec.parse import parse_toml
from tests.conftest import Deployment

pytestmark = pytest.mark.registry


@pytest.fixture
def locked(registry_deployment: Deployment) -> Deployment:
    """One environment, locked at the real index."""
    registry_deployment.spec("env_a", ["attrs==25.1.0", "six<1.17", "colorama; sys_platform == 'win32'"])
    registry_deployment.ok("lock")
    return registry_deployment


def test_pip_and_uv_read_a_lock_as_it_is(locked: Deployment, tmp_path: Path) -> None:
    lock = str(locked.folder / "environments/env_a.lock")
    subprocess.run([sys.executable, "-m", "virtualenv", "--quiet", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv/bin/python"
    command = [python, "-m", "pip", "install", "--quiet", "--require-hashes", "--requirement", lock]
    subprocess.run(command, check=True, capture_output=True)
    code = "import attr, six; print(attr.__version__, six.__version__)"
    shown = subprocess.run([python, "-c", code], check=True, text=True, capture_output=True).stdout
    assert shown == "25.1.0 1.16.0\n"
    synced = subprocess.run(
        [find_uv_bin(), "pip", "sync", "--require-hashes", "--python", str(python), lock],
        check=False,
        text=True,
        capture_output=True,
    )
    assert synced.returncode == 0, synced.stderr


def test_pylock_follows_pep_751(locked: Deployment) -> None:
    text = locked.ok("export", "env_a", "--format", "pylock").stdout
    lock = Pylock.from_dict(parse_toml(text, "pylock.toml")[0])
    lock.validate()
    assert {package.name: str(package.version) for package in lock.packages} == {
        "attrs": "25.1.0",
        "six": "1.16.0",
    }
    assert all(package.wheels for package in lock.packages)
    plain = locked.ok("export", "env_a", "--format", "requirements").stdout
    assert plain == (locked.folder / "environments/env_a.lock").read_text()


def test_a_wheelhouse_from_the_real_index_builds_without_it(locked: Deployment, tmp_path: Path) -> None:
    locked.ok("wheelhouse", "env_a", str(tmp_path / "wheels"))
    variables = {"UV_CACHE_DIR": str(tmp_path / "cache")}
    locked.ok("build", "--offline", "--wheelhouse", str(tmp_path / "wheels"), variables=variables)
    code = "import attr, six; print(attr.__version__, six.__version__)"
    assert locked.ok("exec", "--environment", "env_a", "--", "python", "-c", code).stdout == "25.1.0 1.16.0\n"


def test_one_lock_installs_from_another_index_unchanged(locked: Deployment, tmp_path: Path) -> None:
    locked.ok("wheelhouse", "env_a", str(tmp_path / "wheels"))
    before = (locked.folder / "environments/env_a.lock").read_text()
    locked.write("uv.toml", f'no-index = true\nfind-links = ["{tmp_path / "wheels"}"]\n')
    locked.ok("lock", "--check")
    locked.ok("build", variables={"UV_CACHE_DIR": str(tmp_path / "cache")})
    assert (locked.folder / "environments/env_a.lock").read_text() == before


def test_the_airflow_version_pins_core_and_task_sdk(registry_deployment: Deployment) -> None:
    deployment = registry_deployment
    deployment.write("envman.toml", 'root = "venv"\nairflow-version = "3.3.2"\n')
    deployment.spec("env_a", ["six"])
    deployment.spec("env_b", ["six"], "airflow = false\n")
    deployment.ok("lock")
    lock = (deployment.folder / "environments/env_a.lock").read_text()
    assert "\napache-airflow-core==3.3.2 " in lock
    assert "\napache-airflow-task-sdk==1.3.2 " in lock
    assert "airflow" not in (deployment.folder / "environments/env_b.lock").read_text().split("\n\n", 1)[1]
    deployment.write("envman.toml", 'root = "venv"\nairflow-version = "3.3.1"\n')
    result = deployment.run("lock", "--check")
    assert result.exit_code == 4
    assert "env_a.toml: airflow-version changed" in result.stderr
    assert "env_b" not in result.stderr


def test_python_is_the_only_thing_that_envman_needs_to_find(locked: Deployment) -> None:
    result = locked.ok("build", "--python", sys.executable, "--json").json["result"]
    assert result[0]["status"] == "built"
