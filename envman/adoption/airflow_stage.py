"""What envman can do with an Airflow of this version on day one, and what comes first. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from packaging.version import InvalidVersion, Version

_LOCAL = ("LocalExecutor", "SequentialExecutor")
_WORKERS = {"CeleryExecutor": "worker", "EdgeExecutor": "edge-worker"}


class Way(str, Enum):
    """How the components are started on day one."""

    SHARED = "launch"
    """By `envman launch`: one component, which starts each workload in its bundle's interpreter."""
    INSIDE = "exec"
    """By `envman exec`: the stock component, inside the environment."""


@dataclass(frozen=True)
class AirflowStage:
    """How an Airflow's components are started, whether it has bundles, and what is to be said of that."""

    version: str
    way: Way
    has_bundles: bool
    notes: tuple[str, ...]


def airflow_stage(version: str) -> AirflowStage:
    """What can be done with an Airflow; of an unknown version, what can be done with any."""
    try:
        release = Version(version).release[:2]
    except InvalidVersion:
        release = (0,)
    if release >= (3, 5):
        note = "envman has not been run with this Airflow: read the compatibility page before day one."
        return AirflowStage(version, Way.SHARED, True, (note,))
    if release >= (3, 3):
        return AirflowStage(version, Way.SHARED, True, ())
    if release >= (3, 1):
        return AirflowStage(version, Way.INSIDE, True, (_INSIDE, _OWN, _THEN_3_3))
    if release >= (3,):
        return AirflowStage(version, Way.INSIDE, True, (_INSIDE, _THEN_3_3))
    before = () if release >= (2, 11) else (_THEN_2_11,)
    return AirflowStage(version, Way.INSIDE, False, (_INSIDE, _NO_BUNDLES, *before, _THEN_3))


_INSIDE = (
    "Shared components (`envman launch`) need Airflow 3.3: on day one the stock components run inside the "
    "environment, by `envman exec`. Locks, builds, rollbacks, audits and images work with any Airflow."
)
_OWN = (
    "With a component for each bundle (`envman launch dag-processor --bundle B`) bundles can have "
    "environments of their own before that; with LocalExecutor tasks can't, as there is one scheduler."
)
_THEN_3_3 = (
    "First: upgrade to Airflow 3.3 or newer. Change airflow-version and the pins, lock, build; the old "
    "generation is the way back, until the database is migrated. Then adopt again: the diff will have "
    "`envman launch`."
)
_NO_BUNDLES = (
    "Airflow 2 has no Dag bundles: all Dags run in one environment, which can't be split before Airflow 3."
)
_THEN_2_11 = "First: upgrade to Airflow 2.11, the last one before 3, whose warnings say what 3 removes."
_THEN_3 = (
    "First: mend what the warnings of Airflow 2.11 and `ruff check --select AIR` say, then upgrade to 3.3 or "
    "newer: a change of the lock, built beside what runs. Then adopt again."
)


def changed_components(executor: str) -> tuple[str, ...]:
    """The components that run bundles' code with these executors: those whose command changes."""
    found = ["dag-processor", "triggerer"]
    workers = [worker for name, worker in _WORKERS.items() if name in executor]
    if not executor or any(name in executor for name in _LOCAL) or not workers:
        found.insert(0, "scheduler")
    return (*found, *workers, "standalone")
