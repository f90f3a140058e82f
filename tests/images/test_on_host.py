"""`--on-host`: this machine's interpreter in place of the base's, at /venv in a mount namespace of the test."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PYTHON, Deployment, Result
from tests.images.own_base import make_base, own_python
from tests.images.test_build import IMAGE_ERROR, build

VENV = Path("/venv")


@pytest.fixture(autouse=True)
def _venv() -> Iterator[None]:
    """A place to mount at."""
    made = not VENV.exists()
    if made:
        VENV.mkdir()
    yield
    if made:
        VENV.rmdir()


def on_host(images: Deployment, *arguments: str, before: str = "") -> Result:
    """A build with an empty file system at /venv."""
    script = f'mount -t tmpfs tmpfs /venv; {before}\n"$@"'
    command = images.command("image", "build", "--on-host", *arguments)
    finished = subprocess.run(
        ["unshare", "-m", "sh", "-ec", script, "sh", *command],
        cwd=images.folder,
        env=images.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return Result(finished.returncode, finished.stdout, finished.stderr)


def test_the_image_is_the_same_as_from_the_sandbox(images: Deployment) -> None:
    inside = build(images, "--all-in-one", "--tag", "team/inside:1")[0]
    result = on_host(images, "--all-in-one", "--tag", "team/outside:1", "--json")
    assert result.exit_code == 0, result.stderr
    assert result.json["result"][0]["digest"] == inside["digest"]


def test_another_interpreter_is_refused_with_what_differs(images: Deployment, tmp_path: Path) -> None:
    python = own_python(PYTHON)
    base = make_base(tmp_path / "base", python, changed={python: b"another"})
    result = on_host(images, "env_a", "--tag", "team/never:1", "--base", base)
    assert result.exit_code == IMAGE_ERROR
    assert f"{python}: {python} differs" in result.stderr
    assert "Build without --on-host" in result.stderr


def test_what_is_in_the_way_stays(images: Deployment) -> None:
    result = on_host(images, "env_a", "--tag", "team/never:1", before="mkdir /venv/somebodys")
    assert result.exit_code == IMAGE_ERROR
    assert "/venv: there is something in it" in result.stderr


def test_it_is_for_envmans_own_engine(images: Deployment) -> None:
    result = images.run("image", "build", "env_a", "--tag", "a:1", "--on-host", "--engine", "buildah")
    assert result.exit_code == 2
    assert "--on-host" in result.stderr


def test_nothing_unchanged_is_built_again(images: Deployment) -> None:
    again = json.dumps(images.command("image", "build", "--on-host", "env_a", "--tag", "team/twice:1"))
    words = " ".join(json.loads(again))
    result = on_host(images, "env_a", "--tag", "team/twice:1", "--json", before=f"{words} >&2;")
    assert result.exit_code == 0, result.stderr
    assert all(layer["reused"] for layer in result.json["result"][0]["layers"])
