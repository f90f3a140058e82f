"""An Airflow for a test: a home and a database that are thrown away, and a list of bundles with one bundle.

Nothing of a deployment's is looked at: not its airflow.cfg, not its database, not its secrets backend, and
its logs go nowhere. What the caller has set as AIRFLOW__* variables counts for all else.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from envman.deployment.environment_script import InsideError
from envman.errors import EnvmanError, Problem
from envman.launch.airflow_configuration import LOCAL_BUNDLE, VARIABLE
from envman.store import layout
from envman.store.folder import Store
from envman.system.files import sync_file_system, write_atomic
from envman.system.processes import Processes

_DROPPED = (
    *(
        "AIRFLOW__DATABASE__",
        "AIRFLOW__CORE__SQL_ALCHEMY_",
        "AIRFLOW__SECRETS__",
        "AIRFLOW__WORKERS__SECRETS_",
    ),
    *(
        "AIRFLOW__LOGGING__REMOTE_",
        "AIRFLOW__CELERY__",
        "AIRFLOW__CORE__EXECUTOR",
        "AIRFLOW__CORE__FERNET_KEY",
    ),
    *("AIRFLOW__API_AUTH__", "AIRFLOW__API__", "AIRFLOW__WEBSERVER__"),
)
"""How variables begin that lead to a deployment, or hold its secrets."""

FILE = "airflow.db"

QUIET = {
    "AIRFLOW__LOGGING__NAMESPACE_LEVELS": "airflow.api_fastapi=WARNING airflow.dag_processing=WARNING "
    "airflow.models=WARNING airflow.serialization=WARNING task=WARNING"
}
"""Leaves of a Dag run's log what its tasks say, and what goes wrong; what the caller has set wins."""


def without_a_deployment(caller: Mapping[str, str]) -> dict[str, str]:
    """The caller's variables without those that lead to a deployment of Airflow."""
    return {
        name: value
        for name, value in caller.items()
        if name not in {"AIRFLOW_CONFIG", "AIRFLOW_CONN_AIRFLOW_DB"} and not name.startswith(_DROPPED)
    }


def thrown_away_variables(home: str, bundle: str, path: str, database: str = "") -> dict[str, str]:
    """Variables of an Airflow whose home is thrown away, and whose only bundle is this folder.

    `DagBag()`, as tests write it, finds that bundle's Dags, too.
    """
    listed = [{"name": bundle, "classpath": LOCAL_BUNDLE, "kwargs": {"path": path}}]
    return {
        "AIRFLOW_HOME": home,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": path,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{database or f'{home}/{FILE}'}",
        VARIABLE: json.dumps(listed),
    }


def make_database(
    store: Store, generation: str, home: Path, variables: Mapping[str, str], processes: Processes
) -> None:
    """Put a migrated database into a home: a copy of the generation's, which is made once.

    Where that can't be kept below the root it is made for this home alone. Raises InsideError.
    """
    name = f"{generation}-{layout.DATABASE}"
    folder = Path(layout.overlay_path(store.root, name))
    python = f"{layout.generation_path(store.root, generation)}/bin/python"
    try:
        if not (folder / layout.OVERLAY_MARK).is_file():
            with store.locked(f"dev-{name}"):
                if not (folder / layout.OVERLAY_MARK).is_file():
                    with store.being_made_in(folder):
                        folder.mkdir()
                        _migrate(python, folder / FILE, variables, processes)
                        sync_file_system(folder)
                        write_atomic(folder / layout.OVERLAY_MARK, "{}\n")
        shutil.copyfile(folder / FILE, home / FILE)
    except InsideError:
        raise
    except (OSError, EnvmanError):  # somebody else's root
        _migrate(python, home / FILE, variables, processes)


def _migrate(python: str, file: Path, variables: Mapping[str, str], processes: Processes) -> None:
    described = {**variables, "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{file}"}
    finished = processes.run([python, "-m", "airflow", "db", "migrate"], described, str(file.parent))
    if finished.exit_code or not file.is_file():
        lines = (finished.stderr.strip() or finished.stdout.strip()).splitlines() or ["it said nothing"]
        what = f"`airflow db migrate` ended with {finished.exit_code}: {lines[-1]}"
        raise InsideError(Problem(python, what, "Run it there, with an AIRFLOW_HOME of its own."))
