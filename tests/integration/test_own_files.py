"""Wheels that bring files of the environment itself: refused by the build, found by `verify`."""

from __future__ import annotations

import hashlib
import json
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import PYTHON, Deployment
from tests.wheels import make_wheel

DATA = "odd-1.0.data"
SITE = f"lib/python{PYTHON}/site-packages"
EVIL = "home = /elsewhere\ninclude-system-site-packages = true\n"

REPLACED = {
    f"{DATA}/data/pyvenv.cfg": "pyvenv.cfg",
    f"{DATA}/scripts/activate": "bin/activate",
    f"{DATA}/scripts/activate.fish": "bin/activate.fish",
    f"{DATA}/data/envman.lock": "envman.lock",
    f"{DATA}/data/envman.json": "envman.json",
    f"{DATA}/data/envman.files": "envman.files",
    f"{DATA}/purelib/_virtualenv.py": f"{SITE}/_virtualenv.py",
    "_virtualenv.pth": f"{SITE}/_virtualenv.pth",
    f"{DATA}/data/{SITE}/grid-2.0.dist-info/METADATA": f"{SITE}/grid-2.0.dist-info/METADATA",
}


def locked(deployment: Deployment, wheels: Path, files: dict[str, str], more: str = "") -> None:
    """A project with a package that brings these files beside an ordinary one."""
    make_wheel(wheels, "grid", "2.0")
    make_wheel(wheels, "odd", "1.0", ["grid"], {"odd/__init__.py": "", **files})
    deployment.write("uv.toml", f"no-index = true\nfind-links = [{json.dumps(str(wheels))}]\n")
    deployment.spec("env_a", ["odd"], more)
    deployment.ok("lock")


@pytest.mark.parametrize("where", REPLACED)
def test_a_package_that_replaces_what_is_the_environments_own_is_refused(
    deployment: Deployment, tmp_path: Path, where: str
) -> None:
    locked(deployment, tmp_path / "wheels", {where: EVIL})
    result = deployment.run("build")
    assert result.exit_code == 6, result.stderr
    assert f"{REPLACED[where]} by odd-1.0" in result.stderr
    assert "the environment's own" in result.stderr
    assert not (deployment.root / "env_a").is_symlink()
    assert deployment.generations() == set()


def base_interpreter() -> Path:
    return Path(getattr(sys, "_base_executable", sys.executable)).resolve()


@pytest.mark.parametrize("where", ["scripts/python", "data/bin/python3", f"data/bin/python{PYTHON}"])
def test_a_package_that_replaces_the_interpreter_is_refused_by_uv(
    deployment: Deployment, tmp_path: Path, where: str
) -> None:
    locked(deployment, tmp_path / "wheels", {f"{DATA}/{where}": EVIL})
    before = hashlib.sha256(base_interpreter().read_bytes()).digest()
    result = deployment.run("build")
    assert result.exit_code == 6, result.stderr
    assert "odd-1.0" in result.stderr
    assert deployment.generations() == set()
    assert hashlib.sha256(base_interpreter().read_bytes()).digest() == before  # bin/python is a link to it


@pytest.mark.parametrize("name", ["activate-all", "python-odd", "envmanage", "sh"])
def test_a_package_may_bring_any_other_program(deployment: Deployment, tmp_path: Path, name: str) -> None:
    locked(
        deployment, tmp_path / "wheels", {f"{DATA}/scripts/{name}": "#!/bin/sh\n", f"{DATA}/data/share/x": ""}
    )
    deployment.ok("build")
    assert (deployment.root / "env_a/bin" / name).is_file()
    deployment.ok("verify")


@pytest.mark.parametrize(
    ("path", "deed"),
    [
        ("pyvenv.cfg", "open(path, 'a').write('# more')"),
        ("bin/python3", "os.unlink(path); os.symlink('/bin/sh', path)"),
        ("envman.json", "open(path, 'w').write('{}')"),
        ("bin/activate", "os.unlink(path)"),
        ("envman.lock", "s = os.stat(path); t = open(path).read(); open(path, 'w').write('x' * len(t));"
         " os.utime(path, ns=(s.st_atime_ns, s.st_mtime_ns))"),
    ],
)  # fmt: skip
def test_what_runs_in_a_build_can_not_replace_it_either(
    deployment: Deployment, tmp_path: Path, path: str, deed: str
) -> None:
    """A check is a package's code, too."""
    code = f"import os, sys\npath = os.path.join(sys.prefix, {path!r})\n{deed}\n"
    locked(deployment, tmp_path / "wheels", {"odd/__init__.py": code}, '[checks]\nimports = ["odd"]\n')
    result = deployment.run("build")
    assert result.exit_code == 6, result.stderr
    assert "Read-only file system" in result.stderr or "Permission denied" in result.stderr
    assert not (deployment.root / "env_a").is_symlink()


def test_a_generation_that_was_made_with_such_a_package_is_found(
    deployment: Deployment, tmp_path: Path
) -> None:
    """As a build that knew nothing of it would have left it: its list is as its files are."""
    locked(deployment, tmp_path / "wheels", {f"{DATA}/scripts/tool": "#!/bin/sh\n"})
    deployment.ok("build")
    generation = (deployment.root / "env_a").resolve()
    record = generation / SITE / "odd-1.0.dist-info/RECORD"
    record.write_text(record.read_text() + "../../../pyvenv.cfg,,\n")
    result = deployment.run("verify")
    assert result.exit_code == 8
    assert (
        "env_a/pyvenv.cfg: is the environment's own, and was brought by the package odd-1.0" in result.stderr
    )
    rows = deployment.run("verify", "--json").json["result"][0]["differences"]
    assert {"kind": "replaced", "path": "pyvenv.cfg"} in rows


def test_a_manifest_of_a_package_makes_no_generation(deployment: Deployment, tmp_path: Path) -> None:
    """A build that is killed right after the installation leaves it: nobody takes it for a whole one."""
    locked(deployment, tmp_path / "wheels", {f"{DATA}/scripts/tool": "#!/bin/sh\n"})
    deployment.ok("build")
    generation = (deployment.root / "env_a").resolve()
    manifest = (generation / "envman.json").read_text()
    (generation / "envman.json").write_text(manifest.replace(generation.name, "0123456789ab"))
    deployment.ok("build")
    assert deployment.current("env_a") == generation.name
    assert json.loads((generation / "envman.json").read_text())["generation"] == generation.name


@pytest.mark.parametrize("row", ["x" * 200_000, '"' + "y" * 200_000])
def test_a_record_that_is_none_is_told(deployment: Deployment, tmp_path: Path, row: str) -> None:
    locked(deployment, tmp_path / "wheels", {})
    deployment.ok("build")
    record = (deployment.root / "env_a").resolve() / SITE / "odd-1.0.dist-info/RECORD"
    record.write_text(f"{row}\n")
    result = deployment.run("verify")
    assert result.exit_code == 8
    assert "odd-1.0.dist-info/RECORD: was changed" in result.stderr


def test_metadata_that_is_no_text_is_told(deployment: Deployment, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "wheels", "odd", "1.0", fields=["License: XXXX"])
    with zipfile.ZipFile(wheel) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in contents.items():
            line = b"" if name.endswith("RECORD") else content.replace(b"XXXX", b"\xff\xfe")
            archive.writestr(
                name,
                line
                or b"odd/__init__.py,,\nodd-1.0.dist-info/METADATA,,\nodd-1.0.dist-info/WHEEL,,\n"
                b"odd-1.0.dist-info/RECORD,,\n",
            )
    deployment.write("uv.toml", f"no-index = true\nfind-links = [{json.dumps(str(tmp_path / 'wheels'))}]\n")
    deployment.spec("env_a", ["odd"])
    deployment.ok("lock")
    result = deployment.run("build")
    assert result.exit_code == 6, result.stderr
    assert "Traceback" not in result.stderr
    assert "odd-1.0.dist-info: its METADATA is no text" in result.stderr
