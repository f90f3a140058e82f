from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from envman.errors import ResolveError, SpecError, StoreError
from envman.resolver.table import render_table
from envman.store import layout
from envman.store.root import current_generation, find_project, find_root, read_table

TABLE = render_table({"b": ("env_a", "")}, {}, {"env_a": ((), {})}, None)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "project" / "deep" / "down").mkdir(parents=True)
    (tmp_path / "project" / "envman.toml").write_text('root = "out"\n', encoding="utf-8")
    return tmp_path / "project"


def publish(root: Path, text: str) -> str:
    path = Path(layout.table_path(str(root)))
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    return str(root)


def test_the_option_wins_over_the_variable_and_that_over_the_project(project: Path) -> None:
    environ = {"ENVMAN_ROOT": "/from/variable"}
    assert find_root(environ, "/from/option", str(project)) == "/from/option"
    assert find_root(environ, None, str(project)) == "/from/variable"
    assert find_root({}, None, str(project)) == str(project / "out")


@pytest.mark.parametrize("folder", [".", "deep", "deep/down"])
def test_the_project_is_the_nearest_one_upwards(project: Path, folder: str) -> None:
    assert find_project({}, str(project / folder)) == str(project)
    assert find_root({}, None, str(project / folder)) == str(project / "out")


def test_a_project_inside_another_comes_first(project: Path) -> None:
    (project / "deep" / "envman.toml").write_text("", encoding="utf-8")
    assert find_project({}, str(project / "deep" / "down")) == str(project / "deep")
    assert find_root({}, None, str(project / "deep" / "down")) == "/venv"


def test_a_named_project_wins_over_the_nearest_one(project: Path, tmp_path: Path) -> None:
    assert find_project({"ENVMAN_PROJECT": str(project)}, str(tmp_path)) == str(project)


def test_a_relative_path_counts_from_the_working_folder(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    assert find_root({}, "there", ".") == str(project / "there")
    assert find_root({"ENVMAN_ROOT": "../there"}, None, ".") == str(project.parent / "there")
    assert find_project({"ENVMAN_PROJECT": "deep"}, ".") == str(project / "deep")
    assert find_root({}, None, "deep") == str(project / "out")


def test_without_any_of_these_the_root_is_not_known(tmp_path: Path) -> None:
    assert find_project({}, str(tmp_path)) is None
    with pytest.raises(ResolveError, match="ENVMAN_ROOT"):
        find_root({"ENVMAN_ROOT": ""}, None, str(tmp_path))


@pytest.mark.parametrize(
    ("text", "where", "word"),
    [
        (b"root = \n", "envman.toml", "can't be read"),
        (b"root = '\xff'\n", "envman.toml", "can't be read"),
        (b"root = 1\n", "envman.toml: root", "not a string"),
        (b'root = "a\\u0000"\n', "envman.toml: root", "NUL"),
        (b"root = " + 10_000 * b"[", "envman.toml", "can't be read"),
    ],
)
def test_a_project_whose_root_can_not_be_read_is_refused(
    project: Path, text: bytes, where: str, word: str
) -> None:
    (project / "envman.toml").write_bytes(text)
    with pytest.raises(SpecError) as caught:
        find_root({}, None, str(project))
    (problem,) = caught.value.problems
    assert problem.where == f"{project}/{where}"
    assert word in problem.what
    assert problem.remedy


def test_a_named_project_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"gone/envman\.toml: can't be read"):
        find_root({"ENVMAN_PROJECT": str(tmp_path / "gone")}, None, str(tmp_path))


def test_the_published_table_is_read(tmp_path: Path) -> None:
    assert read_table(publish(tmp_path, TABLE)).bundle("b") == ("env_a", "")


def test_where_nothing_is_published_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(ResolveError, match="envman build") as caught:
        read_table(str(tmp_path))
    assert caught.value.problems[0].where == str(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "{}", TABLE[:-1], TABLE.replace("table 2", "table 9"), TABLE + "team\tt\te\n"]
)
def test_a_damaged_table_is_refused_with_its_path(tmp_path: Path, text: str) -> None:
    root = publish(tmp_path, text)
    with pytest.raises(StoreError) as caught:
        read_table(root)
    assert caught.value.problems[0].where == layout.table_path(root)
    assert "envman publish" in caught.value.problems[0].remedy


def test_a_table_that_is_no_text_or_no_file_is_refused(tmp_path: Path) -> None:
    root = publish(tmp_path, TABLE)
    Path(layout.table_path(root)).write_bytes(b"\xff")
    with pytest.raises(StoreError, match="does not start"):
        read_table(root)
    Path(layout.table_path(root)).unlink()
    Path(layout.table_path(root)).mkdir()
    with pytest.raises(StoreError, match="can't be read"):
        read_table(root)


def test_the_current_generation_is_where_the_environments_name_points_to(tmp_path: Path) -> None:
    (tmp_path / "env_a").symlink_to(layout.link_target("3f9c2a7b10de-2"))
    assert current_generation(str(tmp_path), "env_a") == "3f9c2a7b10de-2"


@pytest.mark.parametrize("name", ["gone", "folder", "file"])
def test_an_environment_that_points_nowhere_is_not_built(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(ResolveError, match=f"Run: envman build {name}"):
        current_generation(str(tmp_path), name)


def test_a_project_that_can_not_be_looked_for_is_an_error_and_not_the_next_one(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(file: str) -> os.stat_result:
        if "deep" in file:
            raise PermissionError(errno.EACCES, "Permission denied", file)
        return Path(file).stat()

    monkeypatch.setattr(os, "lstat", look)
    with pytest.raises(SpecError, match="Permission denied") as caught:
        find_project({}, str(project / "deep"))
    assert caught.value.problems[0].where == str(project / "deep/envman.toml")


def test_a_project_whose_file_is_a_pipe_is_refused_and_not_waited_for(project: Path) -> None:
    os.mkfifo(project / "deep/envman.toml")
    with pytest.raises(SpecError, match="pipe"):
        find_root({}, None, str(project / "deep"))


def test_a_folder_that_was_deleted_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(SpecError, match="deleted"):
        find_project({}, ".")
    assert find_root({"ENVMAN_ROOT": "/venv"}, None, ".") == "/venv"
