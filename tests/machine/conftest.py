"""Disks of guests, each made once a run; and a guest with Airflow that tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine import airflow_project, disk, small_project
from tests.machine.guest import Guest
from tests.once import once

KEPT = "ENVMAN_MACHINE_DISKS"
"""A variable that names a folder with disks of an earlier run, to save minutes while tests are written."""


@pytest.fixture(scope="session")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk with envman and the project of small packages."""

    def make(folder: Path) -> str:
        tree = disk.make_tree(folder)
        small_project.add_project(tree)
        return str(disk.make_image(tree, folder / "small.img"))

    if kept := os.environ.get(KEPT):
        return Path(kept) / "small.img"
    return Path(once(tmp_path_factory, "small-disk", make))


@pytest.fixture(scope="session")
def airflow_disk(small_disk: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same disk with an Airflow, set up as the docs do it."""

    def make(folder: Path) -> str:
        tree = small_disk.with_name(disk.TREE)
        airflow_project.add_project(tree)
        return str(disk.make_image(tree, folder / "airflow.img"))

    if kept := os.environ.get(KEPT):
        return Path(kept) / "airflow.img"
    return Path(once(tmp_path_factory, "airflow-disk", make))


@pytest.fixture(scope="session")
def guest(airflow_disk: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """A guest with systemd and Airflow, for all tests that put back what they change."""
    folder = tmp_path_factory.mktemp("guest")
    with Guest(disk.copy_image(airflow_disk, folder / "disk.img"), folder, memory="3072M") as started:
        yield started
