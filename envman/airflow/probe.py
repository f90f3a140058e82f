"""A script: tell about the Airflow of the interpreter that runs this, and about its database if asked.

    python probe.py '{"classpaths": ["airflow...LocalDagBundle"], "database": false}'

`envman doctor` runs it by path, in each environment and in the components' own. What is printed while Airflow
is imported goes to standard error; on standard output there is one JSON object. It is one file of its own, so
that nothing of envman becomes importable in a team's interpreter.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from datetime import datetime, timedelta, timezone
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = ("apache-airflow-core", "apache-airflow-task-sdk")
WAITING_LONG = 60
"""Seconds after which a trigger that no living triggerer has is one that nobody comes for."""

RECENT = 7
"""Days in which a task has run whose queue counts as used."""


def main(request: dict[str, Any]) -> dict[str, Any]:
    """What was asked for, as values that JSON has."""
    found: dict[str, Any] = {"python": sys.version.split()[0], "packages": _packages()}
    found["classes"] = {path: _import_error(path) for path in request["classpaths"]}
    if request["database"]:
        found["database"] = _database()
    return found


def _packages() -> dict[str, str]:
    installed = {}
    for name in PACKAGES:
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            continue
    return installed


def _import_error(path: str) -> str:
    """Why a class can't be imported; empty where it can."""
    module, _, name = path.rpartition(".")
    try:
        getattr(import_module(module), name)
    except BaseException as error:  # noqa: BLE001  # a provider may raise anything as it is imported
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return ""


def _database() -> dict[str, Any]:
    """What the deployment's database says about queues, triggers and triggerers."""
    from airflow.utils.session import create_session

    with create_session() as session:
        return {
            "queues": _queues(session),
            "triggerers": len(_living_triggerers(session)),
            "triggers": _triggers(session),
        }


def _queues(session: Any) -> list[dict[str, str]]:
    """The queues of tasks that are about to run or ran of late, with the bundles that they are from."""
    from airflow.models.dag_version import DagVersion
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import or_, select

    since = datetime.now(timezone.utc) - timedelta(days=RECENT)
    rows = session.execute(
        select(DagVersion.bundle_name, TaskInstance.queue)
        .join(DagVersion, TaskInstance.dag_version_id == DagVersion.id)
        .where(or_(TaskInstance.end_date.is_(None), TaskInstance.end_date > since))
        .distinct()
    )
    pairs = sorted({(bundle or "", queue or "") for bundle, queue in rows})
    return [{"bundle": bundle, "queue": queue} for bundle, queue in pairs if queue]


def _living_triggerers(session: Any) -> list[int]:
    from airflow.jobs.job import Job
    from sqlalchemy import select

    jobs = session.scalars(select(Job).where(Job.job_type == "TriggererJob", Job.state == "running"))
    return [job.id for job in jobs if job.is_alive()]


def _triggers(session: Any) -> list[dict[str, Any]]:
    """How many triggers there are of each team, and how many of them wait for a triggerer in vain."""
    from airflow.models.trigger import Trigger
    from sqlalchemy import select

    living = set(_living_triggerers(session))
    until = datetime.now(timezone.utc) - timedelta(seconds=WAITING_LONG)
    team = getattr(Trigger, "team_name", None)
    columns = [Trigger.triggerer_id, Trigger.created_date, *([] if team is None else [team])]
    all_of: Counter[str] = Counter()
    waiting: Counter[str] = Counter()
    for triggerer, created, *more in session.execute(select(*columns)):
        name = (more[0] or "") if more else ""
        all_of[name] += 1
        waiting[name] += triggerer not in living and created < until
    return [{"team": name, "all": all_of[name], "waiting": waiting[name]} for name in sorted(all_of)]


if __name__ == "__main__":
    if sys.path[0] == __file__.rpartition("/")[0]:  # with PYTHONSAFEPATH it is not there
        del sys.path[0]  # its modules are not the team's business
    answer = os.dup(1)
    os.dup2(2, 1)
    outcome = main(json.loads(sys.argv[1]))
    with os.fdopen(answer, "w", encoding="utf-8") as stream:
        json.dump(outcome, stream)
