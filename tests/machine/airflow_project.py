"""An Airflow on a guest's disk, set up as docs/how-to/run-the-components.md says: its folders, its variables."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.machine.disk import ENVMAN, download, inside
from tests.machine.documented import documented_variables
from tests.wheels import make_wheel

PROJECT = "/srv/airflow"
WHEELS = "/house-of-airflow"
"""Where the guest, which has no network, has Airflow's wheels from."""

LIMIT = "300M"
"""Of env_a's memory: Airflow's own modules take about half of it."""

SETTINGS = """root = "/venv"
airflow-version = "3.3.2"
airflow-environment = "core"

[bundles]
bundle_a = { environment = "env_a" }
bundle_b = { team = "team_b" }
bundle_c = { environment = "env_c" }

[teams]
team_b = { environment = "env_b" }
"""

SPEC = 'requires-python = "==3.11.*"\ndependencies = ["apache-airflow-core", "apache-airflow-providers-standard"]\n'
SPECS = {
    "core": SPEC,
    "env_a": f'{SPEC}[limits]\nmemory = "{LIMIT}"\npids = 100\ncpu = 0.9\n',
    "env_b": SPEC,
    "env_c": SPEC,
}

DAG = """from airflow.sdk import DAG

with DAG("{name}", schedule=None):
    pass
"""

BUNDLES = ("bundle_a", "bundle_b", "bundle_c")
VARIABLES = """AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL=3600
AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT=300
AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT=300
AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK=False
AIRFLOW__API__WORKERS=1
"""
"""What a slow machine needs besides what the docs say."""


def add_project(tree: Path) -> None:
    """Lock on this machine, which has the registry; build in the tree from a wheelhouse, without a network."""
    project = tree / PROJECT[1:]
    (project / "environments").mkdir(parents=True)
    (project / "envman.toml").write_text(SETTINGS, encoding="utf-8")
    for name, spec in SPECS.items():
        (project / f"environments/{name}.toml").write_text(spec, encoding="utf-8")
    wheels = tree / WHEELS[1:]
    _envman(project, "lock")
    download(wheels, "--no-deps", "--requirement", str(project / "environments/core.lock"))
    make_poison(wheels)
    inside(
        tree, f"cd {PROJECT} && {ENVMAN} build --wheelhouse {WHEELS} && ln -s {ENVMAN} /usr/local/bin/envman"
    )
    etc = tree / "etc/airflow"
    etc.mkdir()
    (etc / "airflow.env").write_text(_variables(), encoding="utf-8")
    for name in BUNDLES:
        folder = tree / "dags" / name
        folder.mkdir(parents=True)
        (folder / "dag.py").write_text(DAG.format(name=name.replace("bundle", "dag")), encoding="utf-8")
    migrate = (
        f"set -a; . /etc/airflow/airflow.env; cd; exec {ENVMAN} exec --environment core -- airflow db migrate"
    )
    inside(tree, f"su airflow -s /bin/sh -c '{migrate}'")


def make_poison(wheels: Path) -> None:
    """The wheel of a package that attacks whenever its interpreter starts; see poison.py."""
    code = Path(__file__).with_name("poison.py").read_text(encoding="utf-8")
    files = {"poison/__init__.py": "from poison.__main__ import *\n", "poison/__main__.py": code}
    make_wheel(wheels, "poison", "1.0", files={**files, "poison.pth": "import poison\n"})


def _variables() -> str:
    """The docs' variables, with one bundle more than they have."""
    documented = documented_variables()
    (one,) = re.findall(r'\{"name": "bundle_b".*?\}\}', documented)
    return documented.replace(one, f"{one}, {one.replace('bundle_b', 'bundle_c')}") + VARIABLES


def query_script(query: str) -> str:
    """A script that prints the rows of a query of Airflow's database, one a line."""
    code = f"import sqlite3\nfor row in sqlite3.connect('/var/lib/airflow/airflow.db').execute({query!r}): print(row)"
    return f"/venv/core/bin/python -c {shlex.quote(code)}"


def dags_script(*dags: str) -> str:
    """A script that prints Dags that the database has; it fails until all of some are there."""
    names = ", ".join(f"'{dag}'" for dag in dags)
    query = f"SELECT group_concat(dag_id) FROM serialized_dag WHERE dag_id IN ({names}) HAVING count(*) = {len(dags)}"
    return f"{query_script(query)} | grep ."


def _envman(project: Path, *arguments: str) -> None:
    dropped = ("AIRFLOW", "ENVMAN", "PYTHON", "VIRTUAL_ENV")
    variables = {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
    finished = subprocess.run(
        [sys.executable, "-m", "envman", *arguments],
        cwd=project,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
