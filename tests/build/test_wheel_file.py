"""The wheel of plain modules, as envman writes it."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path

import pytest

from envman.build.wheel_file import write_module_wheel
from envman.spec.source_tree import SourceTree, TreeFile, read_tree


def test_each_file_is_one_row_of_record_whatever_its_name_is(tmp_path: Path) -> None:
    for name in ("__init__.py", 'a,b".csv'):
        (tmp_path / "own" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "own" / name).write_text("")
    tree = read_tree(str(tmp_path), "own")
    wheel = write_module_wheel(tmp_path / "own", tree, ("own", "1", "own"), tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        rows = list(csv.reader(archive.read("own-1.dist-info/RECORD").decode().splitlines()))
        assert sorted(row[0] for row in rows) == sorted(archive.namelist())
    assert {len(row) for row in rows} == {3}


def test_no_file_is_taken_from_outside_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "secret").write_text("hunter2")
    (tmp_path / "own/m.py").symlink_to("../secret")
    with pytest.raises(OSError, match=r"m\.py"):
        write_module_wheel(
            tmp_path / "own",
            SourceTree((TreeFile("m.py", "", target="../secret"),)),
            ("own", "1", "own"),
            tmp_path,
        )
