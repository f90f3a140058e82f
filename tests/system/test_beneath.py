"""Files of others are read beneath their folder."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from envman.system import beneath
from envman.system.beneath import Reader, open_beneath


@pytest.fixture(params=["openat2", "step by step"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if request.param == "step by step":
        monkeypatch.setattr(beneath, "_resolved", beneath._walked)
    made = tmp_path / "bundle"
    (made / "sub").mkdir(parents=True)
    (made / "sub/dag.py").write_text("inside")
    (tmp_path / "secret").write_text("outside")
    return made


def read(folder: Path, path: str, reader: Reader | None = None) -> str:
    with os.fdopen(open_beneath(str(folder), path, reader)) as stream:
        return stream.read()


@pytest.mark.usefixtures("call")
def test_a_file_below_is_read(folder: Path) -> None:
    assert read(folder, "sub/dag.py") == "inside"


def test_the_folder_itself_may_be_reached_by_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    assert read(tmp_path / "link", "sub/dag.py") == "inside"


def link_to_a_secret(folder: Path) -> str:
    (folder / "x.py").symlink_to("../secret")
    return "x.py"


def link_by_an_absolute_path(folder: Path) -> str:
    (folder / "x.py").symlink_to("/etc/passwd")
    return "x.py"


def link_to_a_folder_outside(folder: Path) -> str:
    (folder / "out").symlink_to("..")
    return "out/secret"


def link_to_a_process(folder: Path) -> str:
    (folder / "x.py").symlink_to("/proc/self/environ")
    return "x.py"


def loop(folder: Path) -> str:
    (folder / "x.py").symlink_to("x.py")
    return "x.py"


def pipe(folder: Path) -> str:
    os.mkfifo(folder / "x.py")
    return "x.py"


@pytest.fixture(params=["openat2", "ENOSYS", "EPERM"])
def call(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With the system call, on an older kernel, and in a sandbox that knows it not."""
    if request.param != "openat2":

        class Library:
            def syscall(self, *_: object) -> int:
                return -1

        monkeypatch.setattr(beneath, "_LIBC", Library())
        monkeypatch.setattr(beneath.ctypes, "get_errno", lambda: getattr(errno, request.param))
    return str(request.param)


DESCRIPTORS = Path("/proc/self/fd")
PATHS = ["../secret", "sub/../../secret", "/etc/passwd", "", ".", "sub", "gone", "sub/dag.py/x", "a" * 5000]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.usefixtures("call")
def test_nothing_else_is_read(folder: Path, path: str) -> None:
    with pytest.raises(OSError, match=r"\w"):
        open_beneath(str(folder), path)


@pytest.mark.parametrize(
    "make",
    [link_to_a_secret, link_by_an_absolute_path, link_to_a_folder_outside, link_to_a_process, loop, pipe],
)
@pytest.mark.usefixtures("call")
def test_no_link_leads_out_and_no_pipe_is_waited_for(folder: Path, make: Callable[[Path], str]) -> None:
    path = make(folder)
    before = len([*DESCRIPTORS.iterdir()])
    with pytest.raises(OSError, match=r"\w"):
        open_beneath(str(folder), path)
    assert len([*DESCRIPTORS.iterdir()]) == before


@pytest.mark.usefixtures("call")
def test_a_link_within_is_followed(tmp_path: Path) -> None:
    """As Kubernetes mounts a ConfigMap: `x.toml -> ..data/x.toml`, `..data -> ..2026_11_27`."""
    (tmp_path / "..2026").mkdir()
    (tmp_path / "..2026/one.py").write_text("inside")
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "link.py").symlink_to("..data/one.py")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/up.py").symlink_to("../link.py")
    assert read(tmp_path, "link.py") == "inside"
    assert read(tmp_path, "sub/up.py") == "inside"


@pytest.mark.parametrize(
    ("mode", "user", "groups", "may"),
    [
        (0o600, 1, {2}, True),
        (0o000, 1, {2}, False),
        (0o066, 1, {2}, False),  # the owner's bits count, and no others
        (0o640, 7, {2}, True),
        (0o604, 7, {2}, False),
        (0o604, 7, {8}, True),
        (0o640, 7, {8}, False),
        (0o000, 0, {8}, True),
    ],
)
def test_who_may_read_is_told_by_the_mode(mode: int, user: int, groups: set[int], may: bool) -> None:
    status = os.stat_result((0o100000 | mode, 0, 0, 1, 1, 2, 0, 0, 0, 0))
    assert Reader(user, frozenset(groups)).may_read(status) is may


def test_what_the_reader_may_not_read_is_refused(folder: Path) -> None:
    (folder / "sub/dag.py").chmod(0o600)
    owner = (folder / "sub/dag.py").stat().st_uid
    other = Reader(owner + 1, frozenset())
    with pytest.raises(PermissionError):
        open_beneath(str(folder), "sub/dag.py", other)
    assert read(folder, "sub/dag.py", Reader(owner, frozenset())) == "inside"
