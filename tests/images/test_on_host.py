"""`--on-host`: this machine's interpreter in place of the base's, at a /venv that only the test has.

In a namespace of the test's own bubblewrap makes another root folder, of everything that is in the machine's, with
an empty file system at /venv. The machine's own root folder stays as it is.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.conftest import PYTHON, Deployment, Result
from tests.images.own_base import make_base
from tests.images.test_build import IMAGE_ERROR, build
from tests.interpreters import interpreter


def own_root() -> list[str]:
    """The words that start a command in a root folder like the machine's, in which /venv is its own."""
    words = ["bwrap", "--die-with-parent"]
    for path in sorted(Path("/").iterdir()):
        if path.is_symlink():
            words += ["--symlink", str(path.readlink()), str(path)]
        elif path.name != "venv":
            words += ["--dev-bind", str(path), str(path)]
    return [*words, "--tmpfs", "/venv", "--"]


def on_host(images: Deployment, *arguments: str, before: str = "") -> Result:
    """A build with an empty file system at /venv."""
    command = images.command("image", "build", "--on-host", *arguments)
    finished = subprocess.run(
        [*own_root(), "sh", "-ec", f'{before}\n"$@"', "sh", *command],
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
    python = interpreter(PYTHON)
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
