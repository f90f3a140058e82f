"""Tell about the Airflow of the interpreter that runs this, and about its database if asked.

    python run.py probe '{"classpaths": ["airflow...LocalDagBundle"], "database": false}'

`envman doctor` runs it in each environment and in the components' own. The request is a ProbeRequest, the
answer a ProbeReport.
"""

from __future__ import annotations

import sys
from collections import Counter
from datetime import datetime, timedelta, timezone
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from envman.inside import local_settings, plugins
from envman.inside.answer import answer

if TYPE_CHECKING:
    from envman.inside.reports import DatabaseReport, ProbeReport, ProbeRequest, QueueReport, TriggerReport

PACKAGES = ("apache-airflow-core", "apache-airflow-task-sdk")
WAITING_LONG = 60
"""Seconds after which a trigger that no living triggerer has is one that nobody comes for."""

RECENT = 7
"""Days in which a task has run whose queue counts as used."""


def main(words: list[str]) -> None:
    """Answer the request."""
    answer(report, words)


def report(request: ProbeRequest) -> ProbeReport:
    """What was asked for. Where nothing of Airflow's can be imported that is the answer."""
    if problem := local_settings.failure():
        sys.exit(problem)
    return {
        "python": sys.version.split()[0],
        "packages": _packages(),
        "classes": {path: _import_error(path) for path in request["classpaths"]},
        "plugins": plugins.look(),
        "pods": find_spec("kubernetes") is not None,
        "database": _database() if request["database"] else None,
    }


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


def _database() -> DatabaseReport:
    """What the deployment's database says about queues, triggers and triggerers."""
    from airflow.utils.session import create_session

    with create_session() as session:
        return {
            "queues": _queues(session),
            "triggerers": len(_living_triggerers(session)),
            "triggers": _triggers(session),
        }


def _queues(session: Any) -> list[QueueReport]:
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


def _triggers(session: Any) -> list[TriggerReport]:
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
