"""Runs of some of the estate's Dags, started at once and waited for."""

from __future__ import annotations

from typing import Any

from tests.e2e.airflow import AirflowDeployment
from tests.kubernetes.cluster import Cluster


class Runs:
    """`ends` are the states of the runs, by Dag."""

    def __init__(self, airflow: AirflowDeployment) -> None:
        self.airflow = airflow
        self.ends: dict[str, str] = {}
        self._runs: dict[str, str] = {}

    def run(self, *dags: str) -> Runs:
        """Trigger these Dags and wait for their ends."""
        airflow = self.airflow
        airflow.wait_for("the Dags", lambda: set(dags) <= airflow.dag_ids())
        airflow.api("POST", "/api/v2/variables", {"key": "shared", "value": "of everybody"})
        connection = {"connection_id": "shared", "conn_type": "http", "host": "there"}
        airflow.api("POST", "/api/v2/connections", connection | {"password": "a-pass-word"})
        self._runs = {dag: airflow.trigger(dag) for dag in dags}
        self.ends = {dag: airflow.finished(dag, run) for dag, run in self._runs.items()}
        return self

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

    def pods(self, node: Cluster, dag: str) -> list[dict[str, Any]]:
        """The pods that were asked for this Dag's run, as they were asked for."""
        run = self._runs[dag]
        return [
            pod
            for pod in node.created()
            if (pod["metadata"]["annotations"]["dag_id"], pod["metadata"]["annotations"]["run_id"])
            == (dag, run)
        ]
