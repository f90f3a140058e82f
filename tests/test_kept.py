"""A kept folder is put back as it was, at its place, and says who is left in it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests import kept


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    made.mkdir()
    (made / "file").write_text("as it was")
    (made / "link").symlink_to("file")
    return made


def test_it_is_put_back_as_it_was(folder: Path) -> None:
    before = (folder / "file").stat()
    made = kept.KeptFolder(folder)
    for _ in range(2):
        (folder / "file").write_text("changed")
        (folder / "link").unlink()
        (folder / "more").mkdir()
        made.put_back()
        assert sorted(path.name for path in folder.iterdir()) == ["file", "link"]
        assert (folder / "file").read_text() == "as it was"
        assert (folder / "file").stat().st_mtime_ns == before.st_mtime_ns
        assert (folder / "link").is_symlink()


def test_who_is_left_in_it_is_told_and_ended(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "ENDING", 0.1)
    made = kept.KeptFolder(folder)
    made.check_left()
    with subprocess.Popen(["cat"], cwd=folder, stdin=subprocess.PIPE) as process:
        with pytest.raises(AssertionError, match=f"left processes behind: .*{process.pid}: 'cat '"):
            made.check_left()
        assert process.wait() == -9
    made.check_left()
