"""Which files of a folder count, and their digest: the same in every checkout."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from envman.errors import SpecError
from envman.spec import source_tree
from envman.spec.source_tree import read_tree, unchanged

FILES = {
    ".gitignore": "*.log\n/libs/a/secret/\n",
    "libs/.gitignore": "*.tmp\n",
    "libs/a/.gitignore": "!keep.log\n",
    "libs/a/m.py": "X = 1\n",
    "libs/a/keep.log": "kept",
    "libs/a/pkg/data.csv": "1,2\n",
}
LEFT_OUT = (
    *("x.log", "y.tmp", "secret/s.txt", "pkg/__pycache__/m.cpython-311.pyc", "m.pyc", ".git/HEAD"),
    *(".venv/bin/python", "env/pyvenv.cfg", "env/lib.py", ".mypy_cache/x", "a.egg-info/PKG-INFO"),
    *("build/lib/m.py", "dist/a.whl", "cache/CACHEDIR.TAG", "cache/x", "venvs/.gen/x"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path, text in FILES.items():
        write(tmp_path / path, text)
    return tmp_path


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_what_git_ignores_and_tools_leave_behind_does_not_count(folder: Path) -> None:
    before = read_tree(str(folder), "libs/a")
    assert [one.path for one in before.files] == [".gitignore", "keep.log", "m.py", "pkg/data.csv"]
    for path in LEFT_OUT:
        write(folder / "libs/a" / path, "changed")
    assert read_tree(str(folder), "libs/a") == before


@pytest.mark.parametrize(
    "change",
    [
        lambda a: (a / "m.py").write_text("X = 2\n"),
        lambda a: (a / "m.py").chmod(0o755),
        lambda a: (a / "m.py").rename(a / "n.py"),
        lambda a: write(a / "build/__init__.py", ""),
        lambda a: (a / "link.py").symlink_to("m.py"),
    ],
)
def test_whatever_a_wheel_may_be_made_of_changes_the_digest(
    folder: Path, change: Callable[[Path], object]
) -> None:
    before = read_tree(str(folder), "libs/a").digest
    change(folder / "libs/a")
    assert read_tree(str(folder), "libs/a").digest != before


def test_a_copy_has_one_time_and_two_modes_whoever_wrote_it(folder: Path, tmp_path: Path) -> None:
    (folder / "libs/a/m.py").chmod(0o600)
    (folder / "libs/a/pkg/data.csv").chmod(0o777)
    (folder / "libs/a/link").symlink_to("pkg")
    copy = tmp_path / "copy"
    copy.mkdir()
    tree = read_tree(str(folder), "libs/a", copy)
    assert tree.digest == read_tree(str(folder), "libs/a").digest
    found = {path: (copy / path).stat() for path in ("m.py", "pkg/data.csv")}
    assert [oct(one.st_mode & 0o7777) for one in found.values()] == ["0o644", "0o755"]
    assert {one.st_mtime for one in found.values()} == {source_tree.SAME_TIME}
    assert (copy / "link/data.csv").read_text() == "1,2\n"
    assert sorted(one.name for one in copy.iterdir()) == [".gitignore", "keep.log", "link", "m.py", "pkg"]


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("/etc/passwd", "the link l leads out of it"),
        ("../../.gitignore", "the link l leads out of it"),
        ("x.log", "the link l leads to x.log, which does not count or is not there"),
        ("pkg/../secret/s.txt", "the link l leads to secret/s.txt, which does not count or is not there"),
        ("l", "the link l leads to l, which does not count or is not there"),
    ],
)
def test_a_link_to_what_does_not_count_is_refused(folder: Path, target: str, said: str) -> None:
    for path in ("x.log", "secret/s.txt"):
        write(folder / "libs/a" / path, "")
    (folder / "libs/a/l").symlink_to(target)
    with pytest.raises(SpecError, match=said):
        read_tree(str(folder), "libs/a")


def test_a_link_by_way_of_another_is_followed_to_its_end(folder: Path) -> None:
    (folder / "libs/a/up").symlink_to("pkg")
    (folder / "libs/a/l").symlink_to("up/data.csv")
    read_tree(str(folder), "libs/a")
    (folder / "libs/a/l").unlink()
    (folder / "libs/a/l").symlink_to("up/gone.csv")
    with pytest.raises(SpecError, match=r"leads to pkg/gone\.csv"):
        read_tree(str(folder), "libs/a")


def test_a_link_that_leads_out_by_way_of_another_is_refused(folder: Path) -> None:
    a = folder / "libs/a"
    write(a / "deep/secret.py", "a decoy, where `..` behind a link is only crossed out")
    write(folder / "libs/secret.py", "of somebody else")
    (a / "deep/er").mkdir()
    (a / "deep/er/up").symlink_to("../../pkg")
    (a / "l.py").symlink_to("deep/er/up/../../secret.py")
    assert (a / "l.py").read_text() == "of somebody else"
    with pytest.raises(SpecError, match=r"the link l\.py leads to \.\./secret\.py"):
        read_tree(str(folder), "libs/a")


def test_links_that_read_alike_have_their_own_digests(folder: Path) -> None:
    write(folder / "libs/a/x", "")
    write(folder / "libs/a/x b", "")
    (folder / "libs/a/b c").symlink_to("x")
    before = read_tree(str(folder), "libs/a").digest
    (folder / "libs/a/b c").unlink()
    (folder / "libs/a/c").symlink_to("x b")
    assert read_tree(str(folder), "libs/a").digest != before


def test_a_pipe_an_odd_name_and_a_flood_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(folder / "libs/a/pipe")
    with pytest.raises(SpecError, match="holds pipe, which is neither a file nor a folder"):
        read_tree(str(folder), "libs/a")
    (folder / "libs/a/pipe").unlink()
    write(folder / "libs/a/new\nline", "")
    with pytest.raises(SpecError, match="a name that can't be printed"):
        read_tree(str(folder), "libs/a")
    (folder / "libs/a/new\nline").unlink()
    monkeypatch.setattr(source_tree, "MOST_FILES", 3)
    with pytest.raises(SpecError, match="has more than 3 files"):
        read_tree(str(folder), "libs/a")


def test_a_folder_that_changes_while_it_is_read_is_told(folder: Path) -> None:
    before = read_tree(str(folder), "libs/a").digest
    write(folder / "libs/a/m.py", "X = 3\n")
    with pytest.raises(SpecError, match="changed while it was read"):
        unchanged("libs/a", read_tree(str(folder), "libs/a"), before)


def test_of_the_projects_folder_what_declares_the_deployment_does_not_count(folder: Path) -> None:
    before = read_tree(str(folder), ".")
    write(folder / "environments/env_a.lock", "")
    write(folder / "envman.toml", "")
    assert read_tree(str(folder), ".") == before
    write(folder / "code/environments/m.py", "")
    assert read_tree(str(folder), ".") != before
