"""Runs of some of the estate's Dags, started at once and waited for."""

from __future__ import annotations

import urllib.error
from typing import Any

from tests.e2e.airflow import AirflowDeployment
from tests.kubernetes.cluster import Namespace
from tests.kubernetes.pod_objects import Pod


class Runs:
    """`ends` are the states of the runs, by Dag; their pods are in a namespace of their own."""

    def __init__(self, airflow: AirflowDeployment, space: Namespace) -> None:
        self.airflow = airflow
        self.space = space
        self.ends: dict[str, str] = {}
        self._runs: dict[str, str] = {}

    def run(self, *dags: str) -> Runs:
        """Trigger these Dags and wait for their ends."""
        airflow = self.airflow
        airflow.wait_for("the Dags", lambda: set(dags) <= airflow.dag_ids())
        self._have("variables", {"key": "shared", "value": "of everybody"})
        connection = {"connection_id": "shared", "conn_type": "http", "host": "there"}
        self._have("connections", connection | {"password": "a-pass-word"})
        self._runs = {dag: airflow.trigger(dag) for dag in dags}
        self.ends = {dag: airflow.finished(dag, run) for dag, run in self._runs.items()}
        return self

    def _have(self, kind: str, body: dict[str, str]) -> None:
        """Make a variable or a connection, which runs before may have made."""
        try:
            self.airflow.api("POST", f"/api/v2/{kind}", body)
        except urllib.error.HTTPError as error:
            if error.code != 409:
                raise

    def value(self, dag: str, task: str) -> Any:
        """What a task has returned."""
        return self.airflow.xcom(dag, self._runs[dag], task)

    def log(self, dag: str, task: str) -> str:
        return self.airflow.log(dag, self._runs[dag], task)

    def note(self, name: str) -> str:
        """What a Dag has left in a file."""
        path = self.airflow.home / "notes" / name
        self.airflow.wait_for(f"the note {name}", path.exists)
        return path.read_text()

    def pods(self, dag: str) -> list[Pod]:
        """The pods that were asked for this Dag's run, as they were asked for."""
        run = self._runs[dag]
        return [one for one in self.space.created(dag) if one["metadata"]["annotations"]["run_id"] == run]
