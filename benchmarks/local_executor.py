"""A deployment that runs tasks, for one of the rivals: scheduler with LocalExecutor, API server, SQLite."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from benchmarks.airflow_project import Deployments, bundle_list, end_servers
from benchmarks.rivals import Field, Rival, check_warm
from tests.e2e.airflow import AirflowDeployment


@contextlib.contextmanager
def local_executor(
    deployments: Deployments, field: Field, rival: Rival, dags: Path, **variables: str
) -> Iterator[AirflowDeployment]:
    """Scheduler and API server of one rival, running, with the Dags of its one bundle in the database."""
    project = field.project(rival)
    with deployments.make(
        project,
        rival.environment(project),
        bundle_list(dags, 1),
        AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION="False",
        **variables,
    ) as deployment:
        parsed = deployment.run(*field.command(rival, deployment, "dag-processor", "--num-runs", "1"))
        if parsed.returncode:
            raise RuntimeError(f"{rival.name}: {parsed.stdout[-3000:]}{parsed.stderr[-3000:]}")
        deployment.start_api_server()
        deployment.start("scheduler", *field.command(rival, deployment, "scheduler"))
        try:
            yield deployment
            check_warm(rival, deployment.output("scheduler"))
        finally:
            end_servers(deployment)
