"""Folders of the root and of the cache that are links, and a umask that lets everybody write."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import Deployment
from tests.wheels import make_wheel


@pytest.fixture
def valued(tmp_path: Path) -> Path:
    """A folder of somebody with what a collection would remove: folders without a manifest, old files."""
    made = tmp_path / "valued"
    for name in ("trash-1", "work", "0123456789ab", "cpython-3.12.1/3f", "sha256"):
        (made / name).mkdir(parents=True)
        (made / name / "file").write_text("valued")
    (made / ".x.new").write_text("valued")
    for path in sorted(made.rglob("*"), reverse=True):
        os.utime(path, (0, 0))
    return made


def listing(folder: Path) -> list[str]:
    return sorted(f"{path} {path.is_file() and path.read_text()}" for path in folder.rglob("*"))


@pytest.mark.parametrize("folder", [".gen", ".state", ".lock"])
@pytest.mark.parametrize("command", [["gc"], ["gc", "--dry-run"], ["build"], ["build", "--rebuild"]])
def test_a_folder_of_the_root_that_is_a_link_is_refused(
    two_teams: Deployment, valued: Path, folder: str, command: list[str]
) -> None:
    before = listing(valued)
    (two_teams.root / folder).rename(two_teams.root / "kept")
    (two_teams.root / folder).symlink_to(valued)
    try:
        result = two_teams.run(*command)
        assert result.exit_code == 8, result.stderr
        assert f"{two_teams.root}/{folder}: is a link, and has to be a folder" in result.stderr
        assert "Traceback" not in result.stderr
        assert listing(valued) == before
    finally:
        (two_teams.root / folder).unlink()
        (two_teams.root / "kept").rename(two_teams.root / folder)


@pytest.mark.parametrize("name", ["0123456789ab", "trash-0123456789ab-1-1", "0123456789ab-2"])
@pytest.mark.parametrize("command", ["gc", "build"])
def test_a_generation_that_is_a_link_goes_and_what_it_leads_to_stays(
    two_teams: Deployment, valued: Path, name: str, command: str
) -> None:
    before = listing(valued)
    link = two_teams.root / ".gen" / name
    link.symlink_to(valued)
    two_teams.ok(command)
    assert not link.is_symlink()
    assert listing(valued) == before


def test_the_lock_of_a_generation_that_is_a_link_makes_no_file(two_teams: Deployment, tmp_path: Path) -> None:
    lock = two_teams.root / ".lock/store"
    lock.unlink()
    lock.symlink_to(tmp_path / "made")
    result = two_teams.run("gc")
    assert result.exit_code != 0
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "name", ["bases", "roots", "virtualenv", "bytecode", "images", "images/blobs", "images/blobs/sha256"]
)
def test_a_folder_of_the_cache_that_is_a_link_is_refused(
    deployment: Deployment, valued: Path, tmp_path: Path, name: str
) -> None:
    before = listing(valued)
    cache = tmp_path / "cache"
    (cache / name).parent.mkdir(parents=True)
    (cache / name).symlink_to(valued)
    result = deployment.run("prune", "--days", "1", variables={"ENVMAN_CACHE_DIR": str(cache)})
    assert result.exit_code == 9, result.stderr
    assert f"{cache}/{name}: is a link, and has to be a folder" in result.stderr
    assert listing(valued) == before


@pytest.mark.parametrize(
    "name", ["roots/x", "bases/x", "bytecode/cpython-3.12.1", "bytecode/cpython-3.12.1/3f"]
)
def test_what_is_in_the_cache_and_a_link_is_not_followed(
    deployment: Deployment, valued: Path, tmp_path: Path, name: str
) -> None:
    before = listing(valued)
    cache = tmp_path / "cache"
    (cache / name).parent.mkdir(parents=True)
    (cache / name).symlink_to(valued / "cpython-3.12.1/3f" if name.endswith("3f") else valued)
    deployment.ok("prune", "--days", "1", variables={"ENVMAN_CACHE_DIR": str(cache)})
    assert listing(valued) == before


def test_bytecode_goes_to_no_other_folder_by_a_link(
    deployment: Deployment, valued: Path, tmp_path: Path
) -> None:
    deployment.spec("env_a", ["tool"])
    deployment.ok("lock")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/bytecode").symlink_to(valued)
    before = listing(valued)
    result = deployment.run("build", variables={"ENVMAN_CACHE_DIR": str(tmp_path / "cache")})
    assert result.exit_code == 6, result.stderr
    assert "is a link, and has to be a folder" in result.stderr
    assert listing(valued) == before


def is_uvs_lock(path: Path) -> bool:
    """uv's locks are for all users of a cache: empty files that uv gives these rights itself."""
    return path.name.endswith(".lock") and path.stat().st_size == 0


def with_rights_for_all(wheel: Path) -> None:
    """The same wheel, which everybody may write, as each file in it says of itself."""
    with zipfile.ZipFile(wheel) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in contents.items():
            info = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
            info.external_attr = (stat.S_IFREG | 0o777) << 16
            archive.writestr(info, content)
    wheel.chmod(0o666)


@pytest.mark.parametrize("umask", [0o000, 0o002])
def test_nothing_that_is_written_may_be_written_by_others(
    deployment: Deployment, tmp_path: Path, umask: int
) -> None:
    deployment.environment |= {"ENVMAN_CACHE_DIR": f"{tmp_path}/cache", "UV_CACHE_DIR": f"{tmp_path}/uv"}
    wheels = tmp_path / "wheels"
    with_rights_for_all(
        make_wheel(wheels, "loose", "1.0", files={"loose-1.0.data/scripts/tool": "#!/bin/sh\n"})
    )
    deployment.write("uv.toml", f"no-index = true\nfind-links = ['{wheels}']\n")
    deployment.spec("env_a", ["loose"])
    deployment.folder.chmod(0o755)
    project = set(deployment.folder.rglob("*"))

    def run(*arguments: str) -> str:
        finished = subprocess.run(
            [sys.executable, "-m", "envman", *arguments],
            cwd=deployment.folder,
            env=deployment.environment,
            capture_output=True,
            text=True,
            umask=umask,
            check=True,
            timeout=300,
        )
        return finished.stdout

    run("lock")
    run("build")
    run("wheelhouse", "env_a", "wheels")
    run("export", "env_a", "--output", "pylock.toml")
    run("image", "stage", "--to", "staged")
    found = [
        path
        for folder in (deployment.folder, tmp_path / "cache", tmp_path / "uv")
        for path in folder.rglob("*")
    ]
    assert len(found) > 100
    loose = [
        path for path in found if path not in project and not path.is_symlink() and not is_uvs_lock(path)
    ]
    assert [path for path in loose if path.stat().st_mode & (stat.S_IWOTH | stat.S_IWGRP)] == []
    code = "import os; print(oct(os.umask(0)))"
    assert run("exec", "--environment", "env_a", "--", "python", "-c", code) == f"{umask:#o}\n"
