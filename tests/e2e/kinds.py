"""Running the estate's Dags of every kind on a deployment, and what each has to have done."""

from __future__ import annotations

import json
import sys
from typing import Any

from tests.e2e.airflow import AirflowDeployment
from tests.e2e.conftest import GRIDS, PYTHONS

LETTERS = ("a", "b")
ENDS = {
    "plain": "success",
    "process": "success",
    "branch": "success",
    "mapped": "success",
    "deferred": "success",
    "retried": "success",
    "timed_out": "failed",
    "killed": "failed",
}


def envman(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "envman", *arguments]


class Kinds:
    """The runs of all kinds in both bundles, started at once and waited for."""

    def __init__(self, airflow: AirflowDeployment) -> None:
        self.airflow = airflow
        self.runs: dict[str, str] = {}
        self.ends: dict[str, str] = {}

    def run(self, *chosen: str) -> Kinds:
        """Fill in what the Dags read, trigger all of them or those that are chosen, wait for their ends."""
        airflow = self.airflow
        dags = chosen or ("produce", *(f"{kind}_{letter}" for kind in ENDS for letter in LETTERS))
        airflow.wait_for(
            "all Dags", lambda: {"consume", *dags} <= airflow.dag_ids() and airflow.import_errors()
        )
        airflow.api("POST", "/api/v2/variables", {"key": "shared", "value": "of everybody"})
        connection = {
            "connection_id": "shared",
            "conn_type": "http",
            "host": "there",
            "password": "a-pass-word",
        }
        airflow.api("POST", "/api/v2/connections", connection)
        airflow.api("PATCH", "/api/v2/dags/consume", {"is_paused": False})
        for dag in dags:
            self.runs[dag] = airflow.trigger(dag)
        for dag, run in self.runs.items():
            self.ends[dag] = airflow.finished(dag, run)
        return self

    def value(self, dag: str, task: str, key: str = "return_value") -> Any:
        return self.airflow.xcom(dag, self.runs[dag], task, key)

    def states(self, dag: str) -> dict[str, str]:
        return {name: ti["state"] for name, ti in self.airflow.tasks(dag, self.runs[dag]).items()}

    def note(self, name: str) -> dict[str, Any]:
        """What a Dag has left in a file."""
        path = self.airflow.home / "notes" / name
        self.airflow.wait_for(f"the note {name}", path.exists)
        return dict(json.loads(path.read_text()))


def in_its_own(letter: str, found: dict[str, Any]) -> bool:
    """Whether this was written by the interpreter of the bundle."""
    return (found["python"], found["grid"]) == (PYTHONS[letter], GRIDS[letter])
