"""The estate: a real deployment's environments, built once, and Airflow deployments that use them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.version import Version

from tests.conftest import Deployment
from tests.e2e.airflow import DROPPED, AirflowDeployment
from tests.e2e.services import Postgres, postgres
from tests.wheels import make_wheel

SOURCE = Path(__file__).with_name("estate")
BUNDLES = ("bundle_a", "bundle_b", "bundle_c")
AIRFLOW = os.environ.get("ENVMAN_E2E_AIRFLOW", "") or "3.3.2"
"""The estate's Airflow; `nox -s compatibility` names others."""

MINOR = tuple(int(part) for part in AIRFLOW.split(".")[:2])
OLDEST = "3.10" if MINOR < (3, 4) else "3.11"
CORE_PYTHON = "3.12"
PYTHONS = dict(zip("abc", os.environ.get("ENVMAN_E2E_PYTHONS", f"3.13 {OLDEST} 3.11").split(), strict=True))
"""The Pythons of the three environments: the oldest that this Airflow has is that of b."""

GRIDS = {"a": "3.0", "b": "1.0", "c": "2.0"}
LEFT_OUT = [
    f"{name}; python_version < '3'" for name in ("redshift-connector", "pyathena", "sagemaker-studio")
]
"""What the Amazon provider asks for, and its executors do without: hundreds of megabytes."""

LOCAL_BUNDLE = "airflow.dag_processing.bundles.local.LocalDagBundle"

TRIGGER = """
import asyncio
import os
import sys
import time
from pathlib import Path

import envman_e2e_grid
from airflow.sdk.log import amask_secret
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
        await amask_secret("a-word-that-is-masked")
        self.log.info("the trigger says a-word-that-is-masked")
        first = not mark.exists()
        mark.touch()
        if self.behaviour == "block" and first:
            time.sleep(600)
        if self.behaviour == "crash once" and first:
            os._exit(9)
        if self.behaviour == "crash":
            os._exit(9)
        while self.behaviour == "wait for a note" and not mark.with_name("go on").exists():
            await asyncio.sleep(0.1)
        minor = "{}.{}".format(*sys.version_info[:2])
        yield TriggerEvent([minor, envman_e2e_grid.__version__, os.getpid()])

    async def on_kill(self):
        (Path(os.environ["E2E_NOTES"]) / f"trigger_on_kill_{__name__}").touch()
"""

PLUGIN = """
from airflow.plugins_manager import AirflowPlugin
from airflow.timetables.trigger import CronTriggerTimetable


class Weekly(CronTriggerTimetable):
    pass


class Plugin(AirflowPlugin):
    name = __name__
    timetables = [Weekly]
"""
"""Of a team's package: the components' environment has it not."""


@dataclass
class Estate(Deployment):
    """The project with its environments, locked and built."""

    @property
    def environ(self) -> dict[str, str]:
        return self.environment

    def python(self, environment: str) -> Path:
        return self.root / environment / "bin/python"

    def in_the_component(self, home: Path, *words: str) -> list[str]:
        """What a module of the tests prints, run with these words in the components' interpreter."""
        finished = subprocess.run(
            [self.python("core"), "-m", *words],
            env=self.environ | {"AIRFLOW_HOME": str(home), "PYTHONPATH": str(SOURCE.parents[2])},
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr[-3000:]
        return finished.stdout.splitlines()

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
def estate(
    tmp_path_factory: pytest.TempPathFactory, record_testsuite_property: Callable[[str, object], None]
) -> Estate:
    """Three environments with packages of their own on three Pythons, and the components' environment."""
    record_testsuite_property(
        "pythons", f"{CORE_PYTHON}; {', '.join(sorted({*PYTHONS.values()}, key=Version))}"
    )
    folder = tmp_path_factory.mktemp("estate") / "project"
    wheels = folder / "wheels"
    for version in GRIDS.values():
        make_wheel(wheels, "envman-e2e-grid", version)
    for letter in PYTHONS:
        package = f"envman_e2e_{letter}"
        files = {
            f"{package}/__init__.py": TRIGGER,
            f"plugin_{letter}.py": PLUGIN,
            f"{package}-1.0.dist-info/entry_points.txt": f"[airflow.plugins]\n{letter} = plugin_{letter}:Plugin\n",
        }
        make_wheel(wheels, f"envman-e2e-{letter}", "1.0", files=files)
    for part in ("envman.toml", "environments"):
        copy = shutil.copytree if (SOURCE / part).is_dir() else shutil.copy
        copy(SOURCE / part, folder / part)
    copy_bundles(folder)
    take_airflow(folder)
    pre = 'prerelease = "allow"\n' if re.search("[a-z]", AIRFLOW) else ""  # its parts are pre-releases, too
    settings = (
        f"find-links = [{json.dumps(str(wheels))}]\n{pre}override-dependencies = {json.dumps(LEFT_OUT)}\n"
    )
    (folder / "uv.toml").write_text(settings)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(DROPPED)}
    made = Estate(folder, kept)
    made.ok("lock")
    made.ok("build")
    return made


def take_airflow(folder: Path) -> None:
    """Use the Airflow that is asked for, and Pythons that it runs on."""
    file = folder / "envman.toml"
    text = file.read_text()
    assert 'airflow-version = "3.3.2"' in text
    text = text.replace("3.3.2", AIRFLOW)
    if MINOR == (3, 2):  # as its own constraints do: newer ones can't read its API's models
        (folder / "constraints.txt").write_text("fastapi<0.150\n")
        text += '\n[defaults]\nconstraints = ["constraints.txt"]\n'
    file.write_text(text)
    for letter, python in PYTHONS.items():
        spec = folder / f"environments/env_{letter}.toml"
        spec.write_text(re.sub("==3[.][0-9]+[.]", f"=={python}.", spec.read_text()))


def copy_bundles(folder: Path) -> None:
    """The bundles' files; bundles a and b have the Dags of every kind."""
    shutil.copytree(SOURCE / "bundles", folder / "bundles")
    kinds = folder / "bundles/kinds.py"
    for bundle in ("bundle_a", "bundle_b"):
        shutil.copy(kinds, folder / "bundles" / bundle / "kinds.py")
    kinds.unlink()


Deploy = Callable[..., AirflowDeployment]


BOTH_WAYS = ["warm", "cold"]


WIDE = ("way", "attack")
"""Parameters that a module's deployment depends on."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep tests with one deployment together, in the order in which they stand in their module.

    pytest puts tests beside each other that share any parameter, and has deployments made again in between.
    """
    places = [number for number, item in enumerate(items) if Path(__file__).parent in item.path.parents]
    ours = [items[number] for number in places]
    files = list(dict.fromkeys(item.path for item in ours))

    def place(item: pytest.Item) -> tuple[int, list[str], int]:
        given = (
            item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        )
        wide = [str(given.get(name, "")) for name in WIDE]
        return files.index(item.path), wide, item.reportinfo()[1] or 0

    for number, item in zip(places, sorted(ours, key=place), strict=True):
        items[number] = item


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a module's tests in each of its WAYS: with fork servers (warm), with an interpreter each (cold)."""
    if "way" in metafunc.fixturenames:
        metafunc.parametrize("way", getattr(metafunc.module, "WAYS", ["warm"]), scope="module")


@pytest.fixture(scope="session")
def database_server() -> Iterator[Postgres]:
    """PostgreSQL, as deployments have it: SQLite locks its writers out, for minutes on a busy machine."""
    with postgres() as server:
        yield server


@pytest.fixture(scope="session")
def migrated(
    estate: Estate, database_server: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> AirflowDeployment:
    """A deployment whose database has been migrated: the others begin with copies of it."""
    made = AirflowDeployment(
        tmp_path_factory.mktemp("migrated"),
        estate.root / "core/bin",
        estate.bundle_list(),
        database_server.settings("postgres"),
    )
    made.migrate()
    return made


@pytest.fixture(scope="session")
def deployer(
    estate: Estate,
    database_server: Postgres,
    migrated: AirflowDeployment,
    tmp_path_factory: pytest.TempPathFactory,
) -> Deploy:
    """Make Airflow deployments, each with a fresh database: PostgreSQL's, if `variables` name no other."""

    def make(bundles: list[dict[str, object]] | None = None, **variables: str) -> AirflowDeployment:
        home = tmp_path_factory.mktemp("airflow")
        given = {"ENVMAN_ROOT": str(estate.root), "E2E_NOTES": str(home / "notes")}
        made = AirflowDeployment(home, migrated.stock, bundles or estate.bundle_list(), given | variables)
        if "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" in variables:
            made.migrate()
        else:
            database_server.create(home.name, template="postgres")
            made.environ |= database_server.settings(home.name)
            made.take_over(migrated)
        (home / "notes").mkdir()
        return made

    return make


@pytest.fixture(scope="module")
def deploy(deployer: Deploy, way: str) -> Iterator[Deploy]:
    """Make Airflow deployments that end with the module."""
    made: list[AirflowDeployment] = []

    def make(bundles: list[dict[str, object]] | None = None, **variables: str) -> AirflowDeployment:
        cold = {"ENVMAN_COLD": "1"} if way == "cold" else {}
        made.append(deployer(bundles, **cold, **variables))
        return made[-1]

    yield make
    for deployment in made:
        deployment.stop_all()
