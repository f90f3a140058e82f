"""What a power cut has taken out of uv's cache is forgotten, once after a boot."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from envman.uv.cache import damaged_packages, mend_after_boot
from tests.wheels import make_wheel


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Two packages as uv unpacks them."""
    for name in ("grid", "frame"):
        wheel = make_wheel(tmp_path / "wheels", name, "1.0")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(tmp_path / "cache/archive-v0" / f"id-of-{name}")
    return tmp_path / "cache"


class Boots:
    """A machine that boots; what uv was told to forget is noted."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.mark = folder / "state/uv.boot"
        self.boot = folder / "boot_id"
        self.cache = cache
        self.forgotten: list[Sequence[str]] = []

    def mend(self, boot: str) -> list[str]:
        self.boot.write_text(boot)
        return mend_after_boot(self.mark, lambda: self.cache, self.forgotten.append, self.boot)


@pytest.fixture
def boots(tmp_path: Path, cache: Path) -> Boots:
    made = Boots(tmp_path, cache)
    assert made.mend("first") == []  # nobody knows what was before
    os.utime(made.mark, (0, 0))
    return made


@pytest.mark.parametrize(
    "file", ["grid/__init__.py", "grid-1.0.dist-info/METADATA", "grid-1.0.dist-info/RECORD"]
)
def test_a_package_with_an_empty_file_is_forgotten_after_a_boot(boots: Boots, cache: Path, file: str) -> None:
    os.truncate(cache / "archive-v0/id-of-grid" / file, 0)
    assert boots.mend("first") == []
    assert boots.mend("second") == ["grid"]
    assert boots.mend("second") == []
    assert boots.forgotten == [["grid"]]


def test_a_file_that_is_missing_counts_too(boots: Boots, cache: Path) -> None:
    (cache / "archive-v0/id-of-frame/frame/__init__.py").unlink()
    assert boots.mend("second") == ["frame"]


def test_what_was_there_before_the_last_boot_is_not_read_again(boots: Boots, cache: Path) -> None:
    os.truncate(cache / "archive-v0/id-of-grid/grid/__init__.py", 0)
    later = (cache / "archive-v0/id-of-grid").stat().st_ctime + 10
    os.utime(boots.mark, (later, later))
    assert boots.mend("second") == []


def test_a_sloppy_record_is_no_damage(cache: Path) -> None:
    record = cache / "archive-v0/id-of-grid/grid-1.0.dist-info/RECORD"
    lines = record.read_text().splitlines()
    record.write_text("\n".join([lines[0].rpartition(",")[0] + ",7", *lines[1:]]) + "\n")
    assert list(damaged_packages(cache, 0)) == []


def test_a_mark_that_the_power_cut_has_emptied_is_another_boots(boots: Boots, cache: Path) -> None:
    os.truncate(cache / "archive-v0/id-of-grid/grid/__init__.py", 0)
    boots.mark.write_bytes(b"")
    os.utime(boots.mark, (0, 0))
    assert boots.mend("second") == ["grid"]
