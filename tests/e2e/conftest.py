"""The estate: a real deployment's environments, built once, and Airflow deployments that use them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Deployment
from tests.e2e.airflow import DROPPED, AirflowDeployment
from tests.wheels import make_wheel

SOURCE = Path(__file__).with_name("estate")
BUNDLES = ("bundle_a", "bundle_b", "bundle_c")
PYTHONS = {"a": "3.13", "b": "3.10", "c": "3.11"}
GRIDS = {"a": "3.0", "b": "1.0", "c": "2.0"}
LOCAL_BUNDLE = "airflow.dag_processing.bundles.local.LocalDagBundle"

TRIGGER = """
import asyncio
import os
import sys
import time
from pathlib import Path

import envman_e2e_grid
from airflow.triggers.base import BaseEventTrigger, BaseTrigger, TriggerEvent


class Event(BaseEventTrigger):
    def serialize(self):
        return (__name__ + ".Event", {})

    async def run(self):
        await asyncio.sleep(1)
        yield TriggerEvent("{}.{}".format(*sys.version_info[:2]))


async def late(**kwargs):
    path = Path(os.environ["E2E_NOTES"]) / f"alert_async_{__name__[-1]}"
    path.with_suffix(".new").write_text('{"python": "%d.%d"}' % sys.version_info[:2])
    path.with_suffix(".new").replace(path)


class Waiting(BaseTrigger):
    def __init__(self, behaviour="fire"):
        super().__init__()
        self.behaviour = behaviour

    def serialize(self):
        return (__name__ + ".Waiting", {"behaviour": self.behaviour})

    async def run(self):
        await asyncio.sleep(4)  # Airflow fails a task that runs on before its scheduler saw that it was deferred
        mark = Path(os.environ["E2E_NOTES"]) / f"trigger_{self.behaviour}_{__name__}"
        first = not mark.exists()
        mark.touch()
        if self.behaviour == "block" and first:
            time.sleep(600)
        if self.behaviour == "crash once" and first:
            os._exit(9)
        minor = "{}.{}".format(*sys.version_info[:2])
        yield TriggerEvent([minor, envman_e2e_grid.__version__, os.getpid()])
"""


@dataclass
class Estate(Deployment):
    """The project with its environments, locked and built."""

    @property
    def environ(self) -> dict[str, str]:
        return self.environment

    def python(self, environment: str) -> Path:
        return self.root / environment / "bin/python"

    def bundle_list(
        self, names: tuple[str, ...] = BUNDLES, teams: Mapping[str, str] = {}
    ) -> list[dict[str, object]]:
        """Airflow's list of bundles."""
        return [
            {"name": name, "classpath": LOCAL_BUNDLE, "kwargs": {"path": str(self.folder / "bundles" / name)}}
            | ({"team_name": teams[name]} if name in teams else {})
            for name in names
        ]


@pytest.fixture(scope="session")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Estate:
    """Three environments with packages of their own on three Pythons, and the components' environment."""
    folder = tmp_path_factory.mktemp("estate") / "project"
    wheels = folder / "wheels"
    for version in GRIDS.values():
        make_wheel(wheels, "envman-e2e-grid", version)
    for letter in PYTHONS:
        make_wheel(wheels, f"envman-e2e-{letter}", "1.0", files={f"envman_e2e_{letter}/__init__.py": TRIGGER})
    for part in ("envman.toml", "environments"):
        copy = shutil.copytree if (SOURCE / part).is_dir() else shutil.copy
        copy(SOURCE / part, folder / part)
    copy_bundles(folder)
    take_airflow(folder / "envman.toml", os.environ.get("ENVMAN_E2E_AIRFLOW", ""))
    (folder / "uv.toml").write_text(f"find-links = [{json.dumps(str(wheels))}]\n")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(DROPPED)}
    made = Estate(folder, kept)
    made.ok("lock")
    made.ok("build")
    return made


def take_airflow(file: Path, version: str) -> None:
    """Use another Airflow than the estate's own: `nox -s compatibility` names one."""
    text = file.read_text()
    assert 'airflow-version = "3.3.2"' in text
    text = text.replace("3.3.2", version or "3.3.2")
    if version.startswith("3.2"):  # as its own constraints do: newer ones can't read its API's models
        (file.parent / "constraints.txt").write_text("fastapi<0.150\n")
        text += '\n[defaults]\nconstraints = ["constraints.txt"]\n'
    file.write_text(text)


def copy_bundles(folder: Path) -> None:
    """The bundles' files; bundles a and b have the Dags of every kind."""
    shutil.copytree(SOURCE / "bundles", folder / "bundles")
    kinds = folder / "bundles/kinds.py"
    for bundle in ("bundle_a", "bundle_b"):
        shutil.copy(kinds, folder / "bundles" / bundle / "kinds.py")
    kinds.unlink()


Deploy = Callable[..., AirflowDeployment]


BOTH_WAYS = ["warm", "cold"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a module's tests in each of its WAYS: with fork servers (warm), with an interpreter each (cold)."""
    if "way" in metafunc.fixturenames:
        metafunc.parametrize("way", getattr(metafunc.module, "WAYS", ["warm"]), scope="module")


@pytest.fixture(scope="module")
def deploy(estate: Estate, way: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deploy]:
    """Make Airflow deployments that end with the module."""
    made: list[AirflowDeployment] = []

    def make(bundles: list[dict[str, object]] | None = None, **variables: str) -> AirflowDeployment:
        home = tmp_path_factory.mktemp("airflow")
        (home / "notes").mkdir()
        given = {"ENVMAN_ROOT": str(estate.root), "E2E_NOTES": str(home / "notes"), **variables}
        given |= {"ENVMAN_COLD": "1"} if way == "cold" else {}
        deployment = AirflowDeployment(home, estate.root / "core/bin", bundles or estate.bundle_list(), given)
        made.append(deployment)
        deployment.migrate()
        return deployment

    yield make
    for deployment in made:
        deployment.stop_all()
