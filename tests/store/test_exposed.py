from __future__ import annotations

import os
from pathlib import Path

import pytest

from envman.store.exposed import writable_by_more
from envman.store.folder import Store


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with a table and a generation, as a build makes them under a umask of 022."""
    root = tmp_path / "home" / "venv"
    for folder in (".gen/0123456789ab", ".state", ".lock"):
        (root / folder).mkdir(parents=True)
    (root / ".state/table").touch()
    (root / ".gen/0123456789ab/envman.json").touch()
    for path in (tmp_path, root.parent, root, *root.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return root


def exposed(root: Path) -> list[str]:
    found = [path for path, _ in writable_by_more(Store(str(root)), ["0123456789ab"])]
    return [os.path.relpath(path, root) for path in found]


def test_what_only_its_owner_writes_is_not_exposed(root: Path) -> None:
    (root / ".lock").chmod(0o777)  # builders of several users lock there; nothing in it runs
    assert exposed(root) == []


@pytest.mark.parametrize("path", [".", ".gen", ".state", ".gen/0123456789ab", ".state/table"])
@pytest.mark.parametrize("mode", [0o757, 0o1757])
def test_what_everybody_writes_is_exposed(root: Path, path: str, mode: int) -> None:
    (root / path).chmod(mode)
    assert exposed(root) == [path]


def test_a_group_of_others_exposes_and_the_owners_own_does_not(root: Path) -> None:
    (root / ".gen").chmod(0o775)
    owner = (root / ".gen").stat()
    assert exposed(root) == ([] if owner.st_uid == owner.st_gid else [".gen"])
    if os.geteuid() == 0:
        os.chown(root / ".gen", 0, 4711)
        assert exposed(root) == [".gen"]


def test_a_folder_above_the_root_exposes_it_unless_it_is_sticky(root: Path) -> None:
    root.parent.chmod(0o777)
    assert exposed(root) == [".."]
    root.parent.chmod(0o1777)
    assert exposed(root) == []
