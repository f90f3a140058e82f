"""The commands of images, interrupted at twenty moments each."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Deployment
from tests.images.conftest import locked
from tests.images.own_base import make_base_without_python
from tests.images.test_build import IMAGE_ERROR
from tests.moments import Moments, private, processes_of, server

TAG = "team/kept:1"


@pytest.fixture
def images_alone(deployment: Deployment, base: str) -> Deployment:
    """Two locked environments, and a cache of their own."""
    return locked(private(deployment), base)


def without(*folders: Path) -> Callable[[], None]:
    def prepare() -> None:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)

    return prepare


def tried(moments: Moments) -> None:
    assert moments.interrupt_all() >= min(len(moments.events), 20) * 0.7, "too few of the runs came so far"


def test_build_with_its_own_engine(images_alone: Deployment) -> None:
    cache = Path(images_alone.environment["ENVMAN_CACHE_DIR"])
    command = ("image", "build", "env_a", "--tag", TAG)
    prepare = without(cache / "roots", cache / "virtualenv", cache / "images/layers")
    tried(Moments(images_alone, images_alone.folder.parent, command, prepare))
    told = images_alone.ok("image", "inspect", TAG, "--json").json["result"]
    assert sorted(told["facts"]["environments"]) == ["env_a"]


def test_a_base_that_is_not_there_yet(images_alone: Deployment) -> None:
    """It is fetched and unpacked, and has no Python: what would come after is the test before."""
    cache = Path(images_alone.environment["ENVMAN_CACHE_DIR"])
    base = make_base_without_python(images_alone.folder.parent / "base")
    command = ("image", "build", "env_a", "--tag", TAG, "--base", base)
    tried(Moments(images_alone, images_alone.folder.parent, command, without(cache), IMAGE_ERROR))


def test_stage(images_alone: Deployment) -> None:
    images_alone.ok("build", "--root", str(images_alone.root))
    target = images_alone.folder / "target"
    command = ("image", "stage", "env_a", "--to", "target", "--root", str(images_alone.root))

    def prepare() -> None:
        assert not target.exists() or not list(target.iterdir()) or (target / "opt/envman").is_dir()
        shutil.rmtree(target, ignore_errors=True)

    tried(Moments(images_alone, images_alone.folder.parent, command, prepare))


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_push_to_a_registry_that_does_not_answer(images_alone: Deployment, signum: signal.Signals) -> None:
    with server() as (address, asked):
        tag = f"{address.removeprefix('http://')}/team/kept:1"
        images_alone.ok("image", "build", "env_a", "--tag", tag)
        process = images_alone.start("image", "push", tag)
        asked(process)
        process.send_signal(signum)
        _, said = process.communicate(timeout=300)
    assert process.returncode == 128 + signum, said
    assert "Interrupted." in said
    assert processes_of(images_alone.folder.parent, ()) == []
