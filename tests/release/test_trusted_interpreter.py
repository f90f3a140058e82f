"""Which interpreters that a release names may be started, by who can have put them there."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from envman.errors import BuildError
from envman.release.trusted_interpreter import check_interpreter


def python_below(folder: Path) -> Path:
    program = folder / "bin/python3"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program


def below_the_root(base: Path) -> Path:
    return python_below(base / "venv/.gen/0123456789ab")


def a_link_into_the_root(base: Path) -> Path:
    (base / "python3").symlink_to(below_the_root(base))
    return base / "python3"


def through_the_root(base: Path) -> Path:
    program = python_below(base / "opt")
    (base / "venv").mkdir()
    (base / "venv/python3").symlink_to(program)
    return base / "venv/python3"


def in_a_folder_of_all(base: Path) -> Path:
    program = python_below(base / "opt")
    program.parent.chmod(0o777)
    return program


def of_all(base: Path) -> Path:
    program = python_below(base / "opt")
    program.chmod(0o777)
    return program


def of_a_group(base: Path) -> Path:
    program = python_below(base / "opt")
    program.chmod(0o775)
    return program


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (below_the_root, "below the root folder"),
        (a_link_into_the_root, "below the root folder"),
        (through_the_root, "below the root folder"),
        (in_a_folder_of_all, "opt/bin may be written by others than its owner"),
        (of_all, "may be written by others than its owner"),
        (of_a_group, "may be written by others than its owner"),
    ],
)
def test_what_others_may_have_put_there_is_refused(
    made: Callable[[Path], Path], said: str, tmp_path: Path
) -> None:
    with pytest.raises(BuildError) as refused:
        check_interpreter(str(made(tmp_path)), str(tmp_path / "venv"), "environment 'env_a'")
    (problem,) = refused.value.problems
    assert said in problem.what
    assert problem.remedy


def test_the_root_is_looked_at_without_its_links(tmp_path: Path) -> None:
    program = below_the_root(tmp_path)
    (tmp_path / "root").symlink_to(tmp_path / "venv")
    with pytest.raises(BuildError):
        check_interpreter(str(program), str(tmp_path / "root"), "env_a")


def test_this_interpreter_may_be_started(tmp_path: Path) -> None:
    check_interpreter(os.path.realpath(sys.executable), str(tmp_path), "env_a")
    check_interpreter(str(python_below(tmp_path / "venv-2")), str(tmp_path / "venv"), "env_a")
    check_interpreter(str(tmp_path / "gone/python3"), str(tmp_path / "venv"), "env_a")
