"""The triggerer's questions to Airflow's database: which triggers wait, which are ours, and whose."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable
from typing import Any

from airflow.jobs.job import Job
from airflow.models.asset import (
    AssetWatcherModel,
    DagScheduleAssetReference,
    TaskInletAssetReference,
    TaskOutletAssetReference,
)
from airflow.models.callback import Callback
from airflow.models.dag import DagModel
from airflow.models.dag_version import DagVersion
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.utils.session import create_session
from airflow.utils.sqlalchemy import with_row_locks
from sqlalchemy import and_, case, func, or_, select, update
from sqlalchemy.orm import aliased

from envman.airflow.bundle_version import BundleVersion

LOOKED_AT = 10_000
"""How many waiting triggers are looked at in one round, the most urgent first."""


class Scope:
    """Which triggers a triggerer is there for: its queues (None: those without), its team (None: all)."""

    __slots__ = ("queues", "team")

    def __init__(self, queues: set[str] | None, team: str | None) -> None:
        self.queues = queues
        self.team = team

    def of(self, query: Any) -> Any:
        """The query, restricted to this scope."""
        query = query.where(Trigger.queue.in_(self.queues) if self.queues else Trigger.queue.is_(None))
        return query.where(Trigger.team_name == self.team) if self.team else query


def assigned(job: int, scope: Scope) -> dict[int, datetime.datetime]:
    """The triggers that are assigned to this triggerer's job, and when each was made.

    The time belongs to the identity: SQLite gives the number of a deleted row to the next one.
    """
    query = select(Trigger.id, Trigger.created_date).where(Trigger.triggerer_id == job)
    with create_session() as session:
        return dict(session.execute(scope.of(query)).tuples().all())


def waiting(scope: Scope, alive_within: float) -> list[int]:
    """Triggers that no living triggerer has, the most urgent first: callbacks, then tasks, then assets.

    `alive_within` is the age in seconds that a living triggerer's last heartbeat may have.
    """
    kind = case((Callback.id.is_not(None), 0), (TaskInstance.id.is_not(None), 1), else_=2)
    weight = func.coalesce(Callback.priority_weight, TaskInstance.priority_weight, 0)
    query = (
        select(Trigger.id)
        .outerjoin(Callback, Callback.trigger_id == Trigger.id)
        .outerjoin(TaskInstance, TaskInstance.trigger_id == Trigger.id)
        .where(_unassigned(alive_within))
        .order_by(kind, weight.desc(), Trigger.created_date, Trigger.id)
        .limit(LOOKED_AT)
    )
    with create_session() as session:
        return list(dict.fromkeys(session.scalars(scope.of(query))))


def assign(job: int, triggers: Collection[int], alive_within: float) -> None:
    """Give triggers to this triggerer's job, unless another triggerer has taken them meanwhile."""
    if not triggers:
        return
    with create_session() as session:
        free = select(Trigger.id).where(Trigger.id.in_(triggers), _unassigned(alive_within))
        locked = list(session.scalars(with_row_locks(free, session, skip_locked=True)))
        session.execute(
            update(Trigger)
            .where(Trigger.id.in_(locked))
            .values(triggerer_id=job)
            .execution_options(synchronize_session=False)
        )


def _unassigned(alive_within: float) -> Any:
    since = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=alive_within)
    alive = select(Job.id).where(
        Job.job_type == "TriggererJob", Job.end_date.is_(None), Job.latest_heartbeat > since
    )
    return or_(Trigger.triggerer_id.is_(None), Trigger.triggerer_id.not_in(alive))


def bundles_of(triggers: Iterable[int]) -> dict[int, BundleVersion]:
    """The bundle of each trigger; one that belongs to nobody any more is missing.

    A task's trigger has the bundle of its Dag version, in the version of its run; a callback's has the
    callback's. An asset's trigger has the bundle of the Dag that has referred to the asset for the longest
    time, so that no bundle that comes later can draw it into its own interpreter.
    """
    wanted = list(triggers)
    found: dict[int, BundleVersion] = {}
    with create_session() as session:
        for rows in (_of_assets(wanted), _of_callbacks(wanted)):
            found.update({one: BundleVersion(bundle) for one, bundle in session.execute(rows) if bundle})
        for one, bundle, version, data in session.execute(_of_tasks(wanted)):
            if bundle:
                found[one] = BundleVersion.of_run(bundle, version, data)
    return found


def _of_tasks(wanted: list[int]) -> Any:
    bundle = func.coalesce(DagVersion.bundle_name, DagModel.bundle_name)
    of_run = aliased(DagVersion)
    run = and_(DagRun.dag_id == TaskInstance.dag_id, DagRun.run_id == TaskInstance.run_id)
    return (
        select(TaskInstance.trigger_id, bundle, DagRun.bundle_version, of_run.version_data)
        .join(DagModel, DagModel.dag_id == TaskInstance.dag_id)
        .join(DagRun, run)
        .outerjoin(DagVersion, DagVersion.id == TaskInstance.dag_version_id)
        .outerjoin(of_run, of_run.id == DagRun.created_dag_version_id)
        .where(TaskInstance.trigger_id.in_(wanted))
    )


def _of_callbacks(wanted: list[int]) -> Any:
    return select(Callback.trigger_id, Callback.bundle_name).where(Callback.trigger_id.in_(wanted))


def _of_assets(wanted: list[int]) -> Any:
    references = (DagScheduleAssetReference, TaskOutletAssetReference, TaskInletAssetReference)
    parts = [select(model.asset_id, model.dag_id, model.created_at) for model in references]
    reference = parts[0].union_all(*parts[1:]).subquery()
    return (
        select(AssetWatcherModel.trigger_id, DagModel.bundle_name)
        .join(reference, reference.c.asset_id == AssetWatcherModel.asset_id)
        .join(DagModel, DagModel.dag_id == reference.c.dag_id)
        .where(AssetWatcherModel.trigger_id.in_(wanted))
        .order_by(
            reference.c.created_at.desc(), DagModel.dag_id.desc()
        )  # the oldest is written last, and stays
    )


def classpaths_of(triggers: Collection[int]) -> dict[int, str]:
    """The class that each trigger is made of."""
    with create_session() as session:
        rows = session.execute(select(Trigger.id, Trigger.classpath).where(Trigger.id.in_(triggers)))
        return dict(rows.tuples().all())
