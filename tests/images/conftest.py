"""A base, a project whose environments become images, a registry on loopback."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PYTHON, Deployment
from tests.images.own_base import make_base, own_python

PROJECT = (
    'root = "/venv"\ndefault-environment = "env_a"\n'
    '[defaults.image]\nbase = "{base}"\n'
    '[bundles]\nbundle_a = {{ environment = "env_a" }}\nbundle_b = {{ team = "team_b" }}\n'
    '[teams]\nteam_b = {{ environment = "env_b" }}\n'
)


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A base image with this machine's Python, as `--base` takes it."""
    return make_base(tmp_path_factory.mktemp("base"), own_python(PYTHON))


@pytest.fixture(scope="session")
def base_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """envman's cache with the base fetched and unpacked in it."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def images(deployment: Deployment, base: str, base_cache: Path) -> Deployment:
    """Two locked environments whose dependencies conflict, and one cache for all tests."""
    deployment.environment["ENVMAN_CACHE_DIR"] = str(base_cache)
    return locked(deployment, base)


def locked(deployment: Deployment, base: str) -> Deployment:
    deployment.write("envman.toml", PROJECT.format(base=base))
    deployment.spec("env_a", ["frame>=2", "tool"], '[checks]\nimports = ["frame", "grid"]\n')
    deployment.spec("env_b", ["frame<2", "tool"])
    deployment.ok("lock")
    return deployment


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry of this run alone; gives its address."""
    folder = tmp_path_factory.mktemp("registry")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    settings = f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\nhttp: {{addr: '{address}'}}\n"
    (folder / "config.yml").write_text(settings, encoding="utf-8")
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(["docker-registry", "serve", folder / "config.yml"], stdout=log, stderr=log)
    try:
        wait_for(address)
        yield address
    finally:
        server.terminate()
        server.wait(30)


def wait_for(address: str) -> None:
    """Until somebody listens there."""
    host, _, port = address.rpartition(":")
    until = time.monotonic() + 30
    while True:
        try:
            socket.create_connection((host, int(port)), 1).close()
        except OSError:
            assert time.monotonic() < until, address
            time.sleep(0.1)
        else:
            return
