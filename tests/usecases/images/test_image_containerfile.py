"""What of a project a build context holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from envman.errors import SpecError, UsageError
from envman.spec.workspace import open_workspace
from envman.usecases.images.image_containerfile import containerfile, context_files


def project(folder: Path, spec: str, **files: str) -> Path:
    (folder / "environments").mkdir(parents=True)
    (folder / "envman.toml").write_text('root = "/venv"\n[defaults]\nrequires-python = "==3.12.*"\n', "utf-8")
    (folder / "environments/env_a.toml").write_text(spec, "utf-8")
    (folder / "environments/env_b.toml").write_text("", "utf-8")
    for path, text in files.items():
        target = folder / path.replace("__", "/").replace("_txt", ".txt").replace("_toml", ".toml")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
    return folder


def test_the_specs_and_what_they_name(tmp_path: Path) -> None:
    spec = (
        'requirements-files = ["../team/all.txt"]\nconstraints = ["../limits.txt", "https://a.example/c"]\n'
    )
    folder = project(
        tmp_path,
        spec,
        team__all_txt="-r more.txt\n",
        team__more_txt="six\n",
        limits_txt="six<2\n",
        uv_toml="",
    )
    (folder / "dags.py").touch()
    assert context_files(open_workspace(folder)) == (
        "envman.toml",
        "environments",
        "limits.txt",
        "team/all.txt",
        "team/more.txt",
        "uv.toml",
    )


def test_code_of_ones_own_comes_with_what_says_which_files_count(tmp_path: Path) -> None:
    folder = project(tmp_path, 'sources = ["../libs/own"]\n')
    for path in ("libs/own/pyproject.toml", "libs/own/own.py", ".gitignore", "libs/.gitignore"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    (folder / "libs/own/pyproject.toml").write_text('[project]\nname = "own"\nversion = "1"\n', "utf-8")
    assert context_files(open_workspace(folder)) == (
        *("envman.toml", "environments", ".gitignore", "libs/.gitignore", "libs/own"),
    )


def test_the_projects_own_folder_can_be_no_source_of_a_containerfile(tmp_path: Path) -> None:
    folder = project(tmp_path, 'sources = [{ path = "..", name = "own" }]\n', code_py="")
    with pytest.raises(UsageError, match="the project's folder is a source"):
        context_files(open_workspace(folder))


def test_a_file_outside_of_the_project(tmp_path: Path) -> None:
    (tmp_path / "all.txt").write_text("six\n", "utf-8")
    folder = project(tmp_path / "project", 'requirements-files = ["../../all.txt"]\n')
    with pytest.raises(SpecError, match="outside of the project's folder"):
        open_workspace(folder)


def test_a_file_that_a_containerfile_cant_name(tmp_path: Path) -> None:
    (tmp_path / "all of it.txt").write_text("six\n", "utf-8")
    folder = project(tmp_path, 'requirements-files = ["../all of it.txt"]\n')
    with pytest.raises(UsageError, match="can't name it"):
        context_files(open_workspace(folder))


@pytest.mark.parametrize(
    ("names", "base", "wheel", "what"),
    [
        ([], "debian:12", None, "2 environments would be 2 images"),
        (["env_a"], None, None, "no base image is stated"),
        (["env_a"], "oci:folder:name", None, "can't begin from a file"),
        (["env_a"], "debian:12", "dist/envman.whl", "there is no file dist/envman.whl"),
    ],
)
def test_what_can_be_no_containerfile(
    names: list[str], base: str | None, wheel: str | None, what: str, tmp_path: Path
) -> None:
    workspace = open_workspace(project(tmp_path, ""))
    with pytest.raises(UsageError, match=what):
        containerfile(workspace, names, base, all_in_one=False, wheel=wheel)
