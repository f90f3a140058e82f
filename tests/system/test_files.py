"""Files that can't be written, and a user that has no home."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from envman.errors import EnvmanError
from envman.system.files import (
    cache_folder,
    file_problem,
    is_below,
    is_gone,
    let_all_read,
    write_atomic,
    write_new,
)


def test_a_user_without_an_account_and_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_: object) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", classmethod(nobody))
    with pytest.raises(EnvmanError, match="ENVMAN_CACHE_DIR"):
        cache_folder({})
    assert cache_folder({"ENVMAN_CACHE_DIR": "/cache"}) == Path("/cache")
    assert cache_folder({"XDG_CACHE_HOME": "/cache"}) == Path("/cache/envman")


def test_what_this_user_can_not_see_is_not_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an interpreter below the home of another user."""
    (tmp_path / "file").touch()
    missing = [f"{tmp_path}/none", f"{tmp_path}/file/below"]
    assert [is_gone(path) for path in (*missing, str(tmp_path))] == [True, True, False]

    def denied(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", denied)
    assert not is_gone("/root/.pyenv/python")


def test_of_a_copy_to_a_full_disk_the_target_is_named() -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "/root/source", None, "/full/target")
    assert file_problem("", full).what == "/full/target: No space left on device"
    assert is_below(full, "/full")
    assert not is_below(full, "/root")
    denied = OSError(errno.EACCES, "Permission denied", "/root/source", None, "/other/target")
    assert is_below(denied, "/root")
    assert is_below(denied, "/other")


def test_a_file_that_can_not_take_its_place_is_named_and_not_the_new_one(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="directory") as caught:
        write_atomic(tmp_path, "text")
    assert (caught.value.filename, caught.value.filename2) == (str(tmp_path), None)
    assert list(tmp_path.parent.glob(".*.new")) == []


def test_a_new_file_takes_nothings_place_and_names_itself(tmp_path: Path) -> None:
    write_new(tmp_path / "new", "text\n", 0o600)
    assert ((tmp_path / "new").read_text(), (tmp_path / "new").stat().st_mode & 0o777) == ("text\n", 0o600)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("new", "link"):
        with pytest.raises(FileExistsError) as caught:
            write_new(tmp_path / name, "other")
        assert caught.value.filename == str(tmp_path / name)
    assert not (tmp_path / "elsewhere").exists()


def test_all_may_read_a_folder_and_not_what_it_shares_with_others(tmp_path: Path) -> None:
    cache, folder = tmp_path / "cache", tmp_path / "made"
    (folder / "bin").mkdir(parents=True, mode=0o700)
    for name, mode in (("cache", 0o600), ("made/bin/run", 0o700), ("made/own", 0o640)):
        (tmp_path / name).write_text(name)
        (tmp_path / name).chmod(mode)
    (folder / "linked").hardlink_to(cache)
    (folder / "link").symlink_to(cache)
    let_all_read(folder)
    modes = {one.name: oct(one.lstat().st_mode & 0o777) for one in folder.rglob("*") if not one.is_symlink()}
    assert modes == {"bin": "0o755", "run": "0o755", "own": "0o644", "linked": "0o644"}
    assert (oct(cache.stat().st_mode & 0o777), cache.stat().st_nlink) == ("0o600", 1)
    assert (folder / "linked").read_text() == "cache"
