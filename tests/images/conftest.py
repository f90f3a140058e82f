"""A base, a project whose environments become images, a registry on loopback."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PYTHON, Deployment, empty
from tests.images import machine
from tests.images.own_base import make_base
from tests.interpreters import interpreter
from tests.once import once

PROJECT = (
    'root = "/venv"\ndefault-environment = "env_a"\n'
    '[defaults.image]\nbase = "{base}"\n'
    '[bundles]\nbundle_a = {{ environment = "env_a" }}\nbundle_b = {{ team = "team_b" }}\n'
    '[teams]\nteam_b = {{ environment = "env_b" }}\n'
)


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A base image with this machine's Python, as `--base` takes it."""
    return once(tmp_path_factory, "base", lambda folder: make_base(folder / "base", interpreter(PYTHON)))


@pytest.fixture(scope="session")
def base_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """envman's cache with the base fetched and unpacked in it."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def locked_once(
    tmp_path_factory: pytest.TempPathFactory, wheelhouse: Path, clean_environment: dict[str, str], base: str
) -> Path:
    """The files of `images`."""
    made = empty(tmp_path_factory.mktemp("images") / "project", wheelhouse, clean_environment)
    return locked(made, base).folder


@pytest.fixture
def images(deployment: Deployment, locked_once: Path, base_cache: Path) -> Deployment:
    """Two locked environments whose dependencies conflict, and one cache for all tests."""
    shutil.copytree(locked_once, deployment.folder, dirs_exist_ok=True)
    deployment.environment["ENVMAN_CACHE_DIR"] = str(base_cache)
    return deployment


def locked(deployment: Deployment, base: str) -> Deployment:
    deployment.write("envman.toml", PROJECT.format(base=base))
    deployment.spec("env_a", ["frame>=2", "tool"], '[checks]\nimports = ["frame", "grid"]\n')
    deployment.spec("env_b", ["frame<2", "tool"])
    deployment.ok("lock")
    return deployment


@pytest.fixture(scope="session")
def registry() -> Iterator[str]:
    """A registry of this run alone; gives its address."""
    with machine.registry() as address:
        yield address
