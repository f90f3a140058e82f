from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import envman
from envman import __version__
from envman.image import launcher
from envman.usecases.images.image_contents import stage_launcher

DEBIAN = "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"


@pytest.fixture
def command(tmp_path: Path) -> Path:
    """The launcher, as it would stand in an image, but elsewhere."""
    stage_launcher(tmp_path / "lib")
    program = tmp_path / "envman"
    source = (Path(envman.__file__).parent / launcher.SOURCE).read_text(encoding="utf-8")
    assert f'"{launcher.PACKAGES}"' in source
    text = launcher.program_text(sys.executable, source).replace(launcher.PACKAGES, str(tmp_path / "lib"))
    program.write_text(text, encoding="utf-8")
    program.chmod(0o755)
    return program


def run(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *arguments], capture_output=True, text=True, check=False, timeout=60, env={}
    )


def test_it_stands_alone(command: Path) -> None:
    """Neither envman's dependencies nor what makes environments: `-S` would leave the former out, too."""
    text = command.read_text(encoding="utf-8")
    command.write_text(text.replace(f"#!{sys.executable}", f"#!{sys.executable} -IS"), encoding="utf-8")
    assert run(command, "--version").stdout == f"envman {__version__}\n"
    for name in ("exec", "launch", "container-entrypoint"):
        finished = run(command, name, "--help")
        assert (finished.returncode, finished.stdout.partition(" [")[0][:13]) == (0, "Usage: envman")
    refused = run(command, "exec", "--bundle", "bundle_a", "--root", "/nonexistent", "--", "true")
    assert refused.returncode == 125
    assert "Traceback" not in refused.stderr


def test_what_is_not_there_is_told(command: Path) -> None:
    finished = run(command, "build")
    assert finished.returncode == 2
    assert "the launcher alone" in finished.stderr


def test_envman_behind_the_entrypoint_is_envman(command: Path) -> None:
    """`podman run IMAGE envman exec ...`: the entrypoint comes first."""
    assert run(command, "container-entrypoint", "envman", "--version").stdout == f"envman {__version__}\n"


def test_nothing_else_of_envman_is_in_an_image(tmp_path: Path) -> None:
    stage_launcher(tmp_path)
    rooms = {path.relative_to(tmp_path / "envman").parts[0] for path in tmp_path.rglob("*.py")}
    assert rooms == {
        *("__init__.py", "__main__.py", "errors.py", "names.py", "airflow", "confine", "door", "inside"),
        *("launch", "resolver", "signing", "store", "system"),
    }
    assert sorted(path.name for path in (tmp_path / "envman/store").iterdir()) == [
        "__init__.py",
        "layout.py",
        "listed_files.py",
        "root.py",
        "signed.py",
    ]
    assert sorted(path.name for path in (tmp_path / "envman/system").iterdir()) == [
        "__init__.py",
        "beneath.py",
        "lock_holders.py",
        "trusted_path.py",
    ]


def test_an_account_is_added_where_its_number_is_free() -> None:
    added = launcher.passwd_with_user(DEBIAN)
    assert added == DEBIAN + "airflow:x:50000:0:Airflow:/opt/airflow:/usr/sbin/nologin\n"
    assert launcher.passwd_with_user(added) is None
    taken = launcher.passwd_with_user("airflow:x:100:100::/:/bin/sh\n")
    assert taken is not None
    assert taken.splitlines()[1].startswith("airflow50000:x:50000:0:")


@pytest.mark.parametrize("user", [None, "", "0", "root", "0:0", "root:root"])
def test_an_image_of_root_is_given_a_user(user: str | None) -> None:
    base = {"config": {"User": user, "Env": ["PATH=/bin"]}}
    settings = launcher.settings(base, "/venv", {}, "")
    assert settings.user == "50000:0"
    assert settings.environ == {
        "PATH": "/bin:/opt/envman/bin",
        "ENVMAN_ROOT": "/venv",
        "HOME": "/opt/airflow",
        "AIRFLOW_HOME": "/opt/airflow",
    }
    assert settings.working_folder == "/opt/airflow"


def test_a_base_with_a_user_keeps_it() -> None:
    base = {
        "config": {"User": "airflow", "WorkingDir": "/srv", "Env": ["AIRFLOW_HOME=/srv/airflow", "HOME=/h"]}
    }
    settings = launcher.settings(base, "/venv", {}, "")
    assert (settings.user, settings.working_folder) == ("airflow", "/srv")
    assert settings.environ["AIRFLOW_HOME"] == "/srv/airflow"
    assert "HOME" not in settings.environ
    assert settings.entrypoint == ("/opt/envman/bin/envman", "container-entrypoint")
