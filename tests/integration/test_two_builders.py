"""The same locks, built by envmans that are installed at different paths: the same files, so hosts take either."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.conftest import Deployment


def another_envman(folder: Path) -> str:
    """The Python of another environment, which has this one's packages."""
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", folder], check=True, capture_output=True, timeout=60
    )
    (packages,) = folder.glob("lib/python3*/site-packages")
    here = sysconfig.get_path("purelib")
    (packages / "here.pth").write_text(f"import site; site.addsitedir({here!r})\n")
    return str(folder / "bin/python")


def test_two_builders_make_the_same_files(two_teams: Deployment, tmp_path: Path) -> None:
    first = two_teams.current("env_a")
    kept = two_teams.root.rename(tmp_path / "first")
    python = another_envman(tmp_path / "another")
    words = [python, "-m", "envman", "build"]
    subprocess.run(words, cwd=two_teams.folder, env=two_teams.environment, check=True, timeout=300)
    assert two_teams.current("env_a") == first
    for name in ("env_a", "env_b"):
        here, there = two_teams.root / name, kept / name
        assert (here / "envman.files").read_text() == (there / "envman.files").read_text()
        content = (here / "pyvenv.cfg").read_text()
        assert str(tmp_path / "another") not in content
        settings = dict(line.split(" = ", 1) for line in content.splitlines())  # as PEP 405 has them
        assert settings["home"] == str(Path((here / "bin/python").resolve()).parent)
        assert settings["include-system-site-packages"] == "false"
        for file in here.resolve().rglob("*"):
            if file.is_file() and not file.is_symlink() and file.name != "envman.json":
                assert str(tmp_path / "another").encode() not in file.read_bytes(), file
    two_teams.ok("verify")
    said = two_teams.ok("exec", "--bundle", "bundle_a", "--", "python", "-c", "import sys; print(sys.prefix)")
    assert said.stdout == f"{two_teams.root}/.gen/{first}\n"


def test_a_rebuild_in_a_new_root_has_a_name_of_its_own(two_teams: Deployment, tmp_path: Path) -> None:
    first = two_teams.current("env_a")
    two_teams.root.rename(tmp_path / "first")
    two_teams.ok("build", "env_a", "--rebuild")
    second = two_teams.current("env_a")
    name, _, number = second.partition("-")
    assert (name, len(number)) == (first, 6)
    two_teams.ok("build", "env_a", "--rebuild")
    assert two_teams.current("env_a") == f"{name}-{int(number) + 1}"
