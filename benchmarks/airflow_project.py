"""Environments with a real Airflow and pandas, a metadata database, and the Dags of a benchmark.

All rivals run what is built here, by envman and with compiled bytecode: stock Airflow runs in the first of
the environments, which holds everything that the Dags import.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import clean_environment, run
from benchmarks.projects import PACKAGE, write_wheel
from benchmarks.settings import Settings
from envman.store.folder import Store
from tests.e2e.airflow import AirflowDeployment

AIRFLOW = "3.3.2"
PYTHON = "3.12"
CORE, PLAIN = "core", "plain"
"""The components' environment, without pandas; and pandas without Airflow, for ExternalPythonOperator."""

_BUNDLE_CLASS = "airflow.dag_processing.bundles.local.LocalDagBundle"
_QUIET = '[variables]\nset = { AIRFLOW__METRICS__STATSD_ON = "False" }'
"""No metrics from children: a fork server refuses to start where an import has opened their connection."""

SERVER = "/run.py fork_server"
"""How the command line of an environment's fork server is recognized."""

_COMMON = ["apache-airflow-core", "apache-airflow-providers-standard", "statsd"]

_FULL = [
    "apache-airflow",
    *(
        f"apache-airflow-providers-{name}"
        for name in (
            *(
                "amazon",
                "cncf-kubernetes",
                "common-sql",
                "databricks",
                "dbt-cloud",
                "docker",
                "elasticsearch",
            ),
            *("google", "http", "microsoft-azure", "mysql", "openlineage", "postgres", "sftp", "slack"),
            *("snowflake", "ssh"),
        )
    ),
    *(
        "astronomer-cosmos",
        "dag-factory",
        "dbt-core<1.12",
        "dbt-postgres",
        "great-expectations",
        "matplotlib",
    ),
    *("mlflow-skinny", "openpyxl", "polars", "pyarrow", "pyspark", "scikit-learn", "statsmodels"),
]
"""What a team's environment holds beside: with all that it needs, some 400 packages. A part of newer
dbt-cores is not in the package registry.
"""

_POLICY = """\
def task_policy(task):
    task.owner = task.owner or "nobody"


def dag_policy(dag):
    dag.tags.add("seen")
"""
_PLUGIN = """\
from airflow.plugins_manager import AirflowPlugin


def shout(text):
    return text.upper()


class Macros(AirflowPlugin):
    name = "macros_of_all"
    macros = [shout]
"""
_EVERYBODYS = {"config/airflow_local_settings.py": _POLICY, "plugins/macros_of_all.py": _PLUGIN}
"""What the deployment has beside, below its home folder."""


@dataclass(frozen=True)
class AirflowProject:
    """A project that is locked and built: `count` environments, alike but for one package of their own.

    That package gives each a generation of its own, as real teams' environments have. Each environment has
    `bundles` bundles.
    """

    folder: Path
    count: int
    bundles: int = 1

    @property
    def root(self) -> Path:
        """Where its environments are published."""
        return self.folder / "root"

    @property
    def first(self) -> str:
        """The environment that stock Airflow runs in."""
        return environment(0)

    def bin(self, name: str) -> Path:
        """The bin folder of an environment's current generation."""
        return (self.root / name).resolve() / "bin"

    def packages(self, name: str) -> Mapping[str, str]:
        """The versions in an environment."""
        manifest = Store(str(self.root)).manifest((self.root / name).resolve().name)
        assert manifest is not None  # it was built by `make_project`
        return manifest.packages

    def versions(self) -> str:
        """What the figures were measured with, in words."""
        packages = self.packages(self.first)
        named = f"Airflow {packages['apache-airflow-core']}, pandas {packages['pandas']}"
        return f"{named}, Python {PYTHON}, {len(packages)} packages"


def environment(number: int) -> str:
    """The name of an environment."""
    return f"env_{number:02}"


def bundle(number: int) -> str:
    """The name of a bundle; it has the environment of the same number, where each has one."""
    return f"bundle_{number:02}"


def make_project(
    settings: Settings, count: int, preload: bool = False, alike: bool = False, bundles: int = 1
) -> AirflowProject:
    """Write a project, lock it and build it; what is there already from an earlier run stays.

    With `preload`, each environment's fork server imports pandas before it forks. With `alike` all
    environments are the same one generation, which hundreds of them are made of in a minute; a fork server is
    one environment's all the same.
    """
    folder = settings.folder / f"airflow{'-full' * settings.full}{'-preload' * preload}{'-alike' * alike}"
    project = AirflowProject(folder, count, bundles)
    for name in ("wheelhouse", "environments"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    specs = {CORE: _spec(_COMMON), PLAIN: _spec(["pandas"], "airflow = false")}
    for number in range(count):
        own = 0 if alike else number
        write_wheel(folder / "wheelhouse", f"1.{own}")
        dependencies = [*_COMMON, "pandas", f"{PACKAGE}==1.{own}", *(_FULL if settings.full else ())]
        line = 'preload = ["pandas"]\n' if preload else ""
        specs[environment(number)] = _spec(dependencies, f"{line}{_QUIET}")
    for name, spec in specs.items():
        (folder / "environments" / f"{name}.toml").write_text(spec, encoding="utf-8")
    head = [
        'root = "root"',
        f'airflow-version = "{AIRFLOW}"',
        f'airflow-environment = "{CORE}"',
        "",
        "[bundles]",
    ]
    rows = [
        f'{bundle(number)} = {{ environment = "{environment(number // bundles)}" }}'
        for number in range(count * bundles)
    ]
    if settings.server_memory:
        rows += ["", "[servers]", f'memory = "{settings.server_memory}"']
    (folder / "envman.toml").write_text("\n".join([*head, *rows, ""]), encoding="utf-8")
    (folder / "uv.toml").write_text('find-links = ["wheelhouse"]\n', encoding="utf-8")
    for command in ("lock", "build"):
        run([settings.envman, command, "--jobs", str(settings.jobs)], clean_environment(), folder)
    return project


def _spec(dependencies: list[str], line: str = "") -> str:
    return f'requires-python = "=={PYTHON}.*"\ndependencies = {json.dumps(dependencies)}\n{line}\n'


def bundle_list(dags: Path, count: int) -> list[dict[str, object]]:
    """Airflow's list of bundles: the folders of `dags`."""
    names = [bundle(number) for number in range(count)]
    return [
        {"name": name, "classpath": _BUNDLE_CLASS, "kwargs": {"path": str(dags / name)}} for name in names
    ]


def write_dags(folder: Path, files: Mapping[str, str]) -> Path:
    """Write Dag files anew, by their paths `BUNDLE/NAME.py`; returns the folder."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


class Deployments:
    """Makes Airflow deployments: each has a home folder, a configuration and a migrated SQLite database of
    its own, as a component finds them that is started again.
    """

    def __init__(self, settings: Settings, project: AirflowProject) -> None:
        self._folder = settings.folder / "homes"
        self._template = settings.folder / "migrated"
        self._made = 0
        self._everybodys = _EVERYBODYS if settings.full else {}
        shutil.rmtree(self._folder, ignore_errors=True)
        shutil.rmtree(self._template, ignore_errors=True)
        AirflowDeployment(self._template, project.bin(CORE), [], {}).migrate()

    def make(
        self, project: AirflowProject, stock: str, bundles: list[dict[str, object]], **variables: str
    ) -> AirflowDeployment:
        """A deployment whose stock commands run in the environment `stock`."""
        self._made += 1
        home = self._folder / str(self._made)
        given = {"ENVMAN_ROOT": str(project.root), **variables}
        deployment = AirflowDeployment(home, project.bin(stock), bundles, given)
        for file in self._template.glob("airflow.db*"):
            shutil.copy(file, home)
        settings = (self._template / "airflow.cfg").read_text(encoding="utf-8")
        written = settings.replace(str(self._template), str(home))
        (home / "airflow.cfg").write_text(written, encoding="utf-8")
        for name, text in self._everybodys.items():
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).write_text(text, encoding="utf-8")
        return deployment


def end_servers(deployment: AirflowDeployment) -> None:
    """End a deployment's fork servers, which outlive its components and would share memory with the next."""
    for server in deployment.children(SERVER):
        with contextlib.suppress(ProcessLookupError):
            os.kill(server, signal.SIGTERM)
