"""Bases of strangers whose links lead to files of the machine that builds: for real, with umoci and bubblewrap."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest import PYTHON, Deployment
from tests.images.own_base import make_base
from tests.images.test_build import run_in, unpack
from tests.interpreters import interpreter

SECRET = "of-this-machine:x:50001:0::/:/bin/sh\n"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Files of this machine that no image may have."""
    made = tmp_path / "machine"
    made.mkdir()
    (made / "passwd").write_text(SECRET)
    (made / "passwd").chmod(0o600)
    return made


def built(images: Deployment, base: str, folder: Path) -> Path:
    """The files of an image on a base, as umoci sees them; the base is unpacked for this test alone."""
    variables = {"ENVMAN_CACHE_DIR": str(folder / "cache")}
    images.environment |= variables
    images.ok("image", "build", "env_b", "--base", base, "--tag", "linked:1")
    (folder / "unpacked").mkdir()
    return unpack(images, "linked:1", folder / "unpacked")


@pytest.mark.parametrize("up", ["", "../../../../../../../.."])
def test_a_file_of_the_machine_does_not_get_into_an_image(
    images: Deployment, tmp_path: Path, machine: Path, up: str
) -> None:
    base = make_base(tmp_path / "base", interpreter(PYTHON), links={"etc/passwd": f"{up}{machine}/passwd"})
    root = built(images, base, tmp_path)
    found = [path for path in root.rglob("passwd") if path.is_file() and not path.is_symlink()]
    assert found
    assert not [path for path in found if "of-this-machine" in path.read_text()]


def test_a_list_of_accounts_elsewhere_in_the_base_is_used(images: Deployment, tmp_path: Path) -> None:
    base = make_base(
        tmp_path / "base",
        interpreter(PYTHON),
        changed={"usr/lib/passwd": b"root:x:0:0:root:/root:/bin/sh\nelsewhere:x:7:7::/:\n"},
        links={"etc/passwd": "/usr/lib/passwd"},
    )
    root = built(images, base, tmp_path)
    assert os.readlink(root / "etc/passwd") == "/usr/lib/passwd"  # noqa: PTH115
    text = (root / "usr/lib/passwd").read_text()
    assert [line.partition(":")[0] for line in text.splitlines()] == ["root", "elsewhere", "airflow"]
    code = "import pwd; print(pwd.getpwuid(50000).pw_name)"
    finished = run_in(
        root, "/opt/envman/bin/envman", "exec", "--environment", "env_b", "--", "python", "-c", code
    )
    assert finished.stdout == "airflow\n", finished.stderr


@pytest.mark.parametrize("place", ["venv", ".envman", "tmp"])
def test_bubblewrap_makes_no_folder_of_this_machine(
    images: Deployment, tmp_path: Path, machine: Path, place: str
) -> None:
    """While it sets up, this machine's files are at /oldroot: a link with enough `..` would lead there."""
    for number, target in enumerate((f"../../oldroot{machine}/made", f"/oldroot{machine}/made/deep")):
        base = make_base(tmp_path / f"base{number}", interpreter(PYTHON), links={place: target})
        folder = tmp_path / f"work{number}"
        folder.mkdir()
        built(images, base, folder)
        assert [path.name for path in machine.iterdir()] == ["passwd"]
