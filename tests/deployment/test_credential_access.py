"""Where credentials are read from, as the doctor looks at it: without reading them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from envman.deployment.credential_access import credential_access
from envman.resolver.credential import COMMAND, FILE, Credential
from envman.resolver.table import Table, render_table
from envman.store.folder import Store


def found(tmp_path: Path, source: str, path: Path, *more: tuple[str, ...]) -> list[tuple[bool, str]]:
    credential = Credential("token", source, (str(path),), "TOKEN", False)
    table = Table(render_table({}, {}, {}, None, [("credentials", "env_a", credential.text()), *more]))
    access = credential_access(Store(str(tmp_path / "root")), table)
    told = [one for item in access for one in item.problems()]
    assert all(problem.where == "environment 'env_a': credential 'token'" for _, problem in told)
    assert all(problem.remedy for _, problem in told)
    return [(is_error, problem.what) for is_error, problem in told]


def of_mode(mode: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_text("never shown")
        path.chmod(mode)

    return make


def fifo(path: Path) -> None:
    os.mkfifo(path)


def in_a_folder_of_others(path: Path) -> None:
    of_mode(0o700)(path)
    path.parent.chmod(0o777)


OF_WHOM = "for the user that runs the doctor"
CASES: dict[str, tuple[str, Callable[[Path], None], list[tuple[bool, str]]]] = {
    "a file": (FILE, of_mode(0o400), []),
    "one for a group": (FILE, of_mode(0o440), []),
    "one for everybody": (FILE, of_mode(0o444), [(False, "every user of this host may read {path}")]),
    "one that everybody writes": (
        FILE,
        of_mode(0o602),
        [(False, "every user of this host may write {path}")],
    ),
    "none": (
        FILE,
        lambda _: None,
        [(True, f"{{path}} can't be used: No such file or directory, {OF_WHOM}")],
    ),
    "a folder": (FILE, Path.mkdir, [(True, f"{{path}} is no regular file, {OF_WHOM}")]),
    "a pipe": (FILE, fifo, [(True, f"{{path}} is no regular file, {OF_WHOM}")]),
    "a command": (COMMAND, of_mode(0o755), []),
    "a command that is none": (COMMAND, of_mode(0o644), [(True, f"{{path}} may not be run, {OF_WHOM}")]),
    "a command that everybody writes": (
        COMMAND,
        of_mode(0o777),
        [(True, f"{{path}} may be written by others than its owner, {OF_WHOM}")],
    ),
    "one in a folder of others": (
        FILE,
        in_a_folder_of_others,
        [
            (
                True,
                f"{{path}} can't be used: the folder {{path.parent}} may be written by others than its owner, {OF_WHOM}",
            )
        ],
    ),
    "a command in a folder of others": (
        COMMAND,
        in_a_folder_of_others,
        [
            (
                True,
                f"{{path}} can't be used: the folder {{path.parent}} may be written by others than its owner, {OF_WHOM}",
            )
        ],
    ),
    "a process's variables": (
        FILE,
        lambda path: path.symlink_to("/proc/self/environ"),
        [(True, f"{{path}} can't be used: it lies in proc, whose files are the kernel's, {OF_WHOM}")],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_told_of_a_source(tmp_path: Path, case: str) -> None:
    source, make, wanted = CASES[case]
    path = tmp_path / "source"
    make(path)
    assert found(tmp_path, source, path) == [(error, what.format(path=path)) for error, what in wanted]


def test_an_environment_that_is_an_image_has_its_sources_elsewhere(tmp_path: Path) -> None:
    assert found(tmp_path, FILE, tmp_path / "none", ("image", "env_a", "registry/image_a")) == []
