"""Resolving runs no code of packages: uv has a cache in which it can't build."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from envman.errors import EnvmanError, LockError
from envman.lock.lockfile import Pin
from envman.spec.inputs import Inputs
from envman.system.processes import Processes
from envman.uv import cache_without_builds as module
from envman.uv.cache_without_builds import BUILDS, cache_without_builds
from envman.uv.known_packages import KnownMetadata
from envman.uv.runner import Source, SourceNeededError, Upgrade, Uv
from tests.wheels import make_wheel

OWN_BACKEND = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""


def make_source(folder: Path, name: str, version: str, files: dict[str, str]) -> Path:
    """A source distribution whose metadata only a build of it tells."""
    path = folder / f"{name}-{version}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for file, text in files.items():
            member = tarfile.TarInfo(f"{name}-{version}/{file}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """What is there if a package's code has run."""
    return tmp_path / "it-ran"


@pytest.fixture
def files(tmp_path: Path, trace: Path) -> Path:
    """A folder with packages: a wheel, and two sources which leave a trace when they are built."""
    folder = tmp_path / "files"
    leave = f"open({str(trace)!r}, 'w').close()\n"
    make_wheel(folder, "grid", "1.0")
    make_wheel(folder, "grid", "2.0")
    make_source(folder, "sly", "1.0", {"pyproject.toml": OWN_BACKEND, "backend.py": leave})
    make_source(folder, "old", "1.0", {"setup.py": leave})
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """uv's cache, empty."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("UV_CACHE_DIR", str(cache))
    monkeypatch.delenv("UV_NO_CACHE", raising=False)
    yield cache
    assert not list(cache.glob("envman-view-*"))


def uv_with(folder: Path, files: Path, further: str = "") -> Uv:
    config = folder / "uv.toml"
    config.write_text(f'no-index = true\nfind-links = ["{files}"]\n{further}', encoding="utf-8")
    return Uv(Processes(), Source(config=str(config)))


def inputs(*requirements: str) -> Inputs:
    return Inputs("env_a", ">=3.11", ("linux-x86_64",), None, {"dependencies": requirements})


@pytest.mark.parametrize("package", ["sly", "old"])
@pytest.mark.parametrize("further", ["", "no-build-isolation = true\n"])
@pytest.mark.usefixtures("cache")
def test_a_source_is_named_and_not_built(
    tmp_path: Path, files: Path, trace: Path, package: str, further: str
) -> None:
    with pytest.raises(SourceNeededError) as needed:
        uv_with(tmp_path, files, further).resolve(inputs("grid", package), "", Upgrade())
    assert (needed.value.package, needed.value.version) == (package, "1.0")
    assert not trace.exists()


@pytest.mark.usefixtures("cache")
def test_what_is_known_of_a_source_counts(tmp_path: Path, files: Path, trace: Path) -> None:
    known = [
        KnownMetadata("sly", "1.0", ("grid<2", "old ; extra == 'more'"), ">=3.8", ("more",), "sha256:5117")
    ]
    uv = uv_with(tmp_path, files)
    text = uv.resolve(inputs("sly"), "", Upgrade(), known)
    assert "grid==1.0" in text
    assert "old==" not in text
    assert "sly==1.0" in text
    assert text.count("--hash=sha256:") == 2
    assert "    --hash=sha256:5117\n" in text
    with pytest.raises(EnvmanError, match="can't be satisfied together"):
        uv.resolve(inputs("sly", "grid>=2"), "", Upgrade(), known)
    with pytest.raises(SourceNeededError, match=r"old 1\.0"):
        uv.resolve(inputs("sly[more]"), "", Upgrade(), known)
    assert not trace.exists()


@pytest.mark.usefixtures("cache")
def test_files_of_a_lock_are_found_without_a_build(tmp_path: Path, files: Path, trace: Path) -> None:
    pins = [Pin(name, "1.0", "", (f"sha256:{'0' * 64}",)) for name in ("grid", "old", "sly")]
    found = uv_with(tmp_path, files).files_of(pins, ">=3.11")["packages"]
    assert [(package["name"], "sdist" in package) for package in found] == [
        ("grid", False),
        ("old", True),
        ("sly", True),
    ]
    assert not trace.exists()


def test_what_uv_fetched_is_in_its_cache(tmp_path: Path, files: Path, cache: Path) -> None:
    uv = uv_with(tmp_path, files)
    uv.resolve(inputs("grid"), "", Upgrade())
    kept = {entry.name for entry in cache.iterdir() if entry.is_dir()}
    assert kept
    assert BUILDS not in kept
    uv.resolve(inputs("grid"), "", Upgrade())
    assert {entry.name for entry in cache.iterdir() if entry.is_dir()} == kept


def test_what_a_killed_command_left_is_removed(tmp_path: Path, files: Path, cache: Path) -> None:
    for name, age in (("envman-view-old", 90_000), ("envman-view-new", 60)):
        (cache / name).mkdir(parents=True)
        (cache / name / "kept").symlink_to(files)
        os.utime(cache / name, (time.time() - age,) * 2)
    uv_with(tmp_path, files).resolve(inputs("grid"), "", Upgrade())
    assert [entry.name for entry in cache.glob("envman-view-*")] == ["envman-view-new"]
    shutil.rmtree(cache / "envman-view-new")
    assert len([*files.iterdir()]) == 4


@pytest.mark.parametrize(
    "key", ['no-binary-package = ["sly"]', "no-binary = true", '[pip]\nno-binary = ["sly"]']
)
@pytest.mark.usefixtures("cache")
def test_an_installation_builds_nothing_whatever_is_configured(
    tmp_path: Path, files: Path, trace: Path, key: str
) -> None:
    """Told of no binary, uv would build in spite of --no-build."""
    uv = uv_with(tmp_path, files, f"{key}\n")
    venv = tmp_path / "venv"
    subprocess.run([uv.program, "venv", "--quiet", "--python", sys.executable, venv], check=True)
    digest = hashlib.sha256((files / "sly-1.0.tar.gz").read_bytes()).hexdigest()
    lock = tmp_path / "lock.txt"
    lock.write_text(f"sly==1.0 --hash=sha256:{digest}\n")
    with pytest.raises(EnvmanError):
        uv.install(str(lock), venv / "bin/python", (), print)
    assert not trace.exists()


@pytest.mark.usefixtures("cache")
def test_several_begin_with_an_empty_cache(tmp_path: Path, files: Path) -> None:
    uv = uv_with(tmp_path, files)
    with ThreadPoolExecutor(8) as pool:
        texts = set(pool.map(lambda _: uv.resolve(inputs("grid"), "", Upgrade()), range(8)))
    assert len(texts) == 1


def test_what_two_fetched_at_once_is_kept_of_both(tmp_path: Path) -> None:
    """Each points to what it has unpacked itself; the first one's pointer stays where both have one."""
    with cache_without_builds(tmp_path) as first, cache_without_builds(tmp_path) as second:
        for view, own in ((first, "grid"), (second, "sly")):
            archive = view / f"archive-v0/{own}-id"
            archive.mkdir(parents=True)
            (archive / "code.py").write_text(own)
            pointers = view / "wheels-v8/pypi/shared"
            pointers.mkdir(parents=True)
            (pointers / own).symlink_to(f"../../../archive-v0/{own}-id")
            (pointers / "both").symlink_to(f"../../../archive-v0/{own}-id")
    found = {
        path.name: (path / "code.py").read_text() for path in (tmp_path / "wheels-v8/pypi/shared").iterdir()
    }
    assert found == {"grid": "grid", "sly": "sly", "both": "sly"}  # the second one ended first
    assert not list(tmp_path.glob("envman-view-*"))


def test_what_somebody_has_made_meanwhile_stays(tmp_path: Path) -> None:
    """uv by itself takes no lock of envman's."""
    with cache_without_builds(tmp_path) as view:
        for path in (
            "archive-v0/same/new.py",
            "wheels-v8/both/new",
            "wheels-v8/file/new",
            "wheels-v8/link/new",
        ):
            (view / path).parent.mkdir(parents=True, exist_ok=True)
            (view / path).write_text("envman's")
        elsewhere = tmp_path / "elsewhere"
        for path in ("archive-v0/same/old.py", "wheels-v8/both/old", "wheels-v8/file", "elsewhere/old"):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text("uv's")
        (tmp_path / "wheels-v8/link").symlink_to(elsewhere)
    assert [path.name for path in (tmp_path / "archive-v0/same").iterdir()] == ["old.py"]
    assert {path.name for path in (tmp_path / "wheels-v8/both").iterdir()} == {"old", "new"}
    assert (tmp_path / "wheels-v8/file").read_text() == "uv's"
    assert [path.name for path in elsewhere.iterdir()] == ["old"]


def test_a_folder_that_comes_between_look_and_rename_is_filled_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cache_without_builds(tmp_path) as view:
        (view / "wheels-v8/new").mkdir(parents=True)
        (tmp_path / "wheels-v8/old").mkdir(parents=True)
        monkeypatch.setattr(os.path, "lexists", lambda _: False)
    assert {path.name for path in (tmp_path / "wheels-v8").iterdir()} == {"new", "old"}


def test_what_is_installed_at_once_shares_its_files_with_the_cache(
    tmp_path: Path, files: Path, cache: Path
) -> None:
    """The next environment with the same package costs neither time nor room."""
    uv = uv_with(tmp_path, files)

    def install(version: str) -> os.stat_result:
        venv, lock = tmp_path / f"venv-{version}", tmp_path / f"{version}.txt"
        subprocess.run([uv.program, "venv", "--quiet", "--python", sys.executable, venv], check=True)
        digest = hashlib.sha256((files / f"grid-{version}-py3-none-any.whl").read_bytes()).hexdigest()
        lock.write_text(f"grid=={version} --hash=sha256:{digest}\n")
        uv.install(str(lock), venv / "bin/python", (), print)
        (record,) = venv.glob("lib/python3*/site-packages/grid-*.dist-info/METADATA")
        return record.stat()

    with ThreadPoolExecutor(2) as pool:
        installed = list(pool.map(install, ("1.0", "2.0")))
    kept = {path.stat().st_ino for path in cache.glob("archive-v0/*/grid-*.dist-info/METADATA")}
    assert {status.st_ino for status in installed} == kept


@pytest.mark.usefixtures("cache")
def test_no_cache_at_all(
    tmp_path: Path, files: Path, trace: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.setenv("UV_NO_CACHE", "1")
    uv = uv_with(tmp_path, files)
    assert "grid==2.0" in uv.resolve(inputs("grid"), "", Upgrade())
    with pytest.raises(SourceNeededError):
        uv.resolve(inputs("sly"), "", Upgrade())
    assert not trace.exists()
    assert not cache.exists()


def test_the_deployment_may_want_no_cache(tmp_path: Path, files: Path, trace: Path, cache: Path) -> None:
    uv = uv_with(tmp_path, files, "no-cache = true\n")
    assert "grid==2.0" in uv.resolve(inputs("grid"), "", Upgrade())
    with pytest.raises(SourceNeededError):
        uv.resolve(inputs("sly"), "", Upgrade())
    assert not trace.exists()
    assert not cache.exists()


@pytest.mark.usefixtures("cache")
def test_a_user_who_wants_none_is_refused(
    tmp_path: Path, files: Path, trace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uv would then have a cache of its own, without anything in the way."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "config/uv").mkdir(parents=True)
    (tmp_path / "config/uv/uv.toml").write_text("no-cache = true\n")
    with pytest.raises(LockError, match="run code of theirs"):
        uv_with(tmp_path, files).resolve(inputs("sly"), "", Upgrade())
    assert not trace.exists()


@pytest.mark.usefixtures("cache")
def test_a_uv_that_builds_elsewhere_is_refused(
    tmp_path: Path, files: Path, trace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one would be whose cache has another layout."""
    monkeypatch.setattr(module, "BUILDS", "builds-v99")
    with pytest.raises(LockError, match="run code of theirs"):
        uv_with(tmp_path, files).resolve(inputs("sly"), "", Upgrade())
    assert not trace.exists()
