"""A shared component's own work leaves beats, which `envman launch COMPONENT --health` reads."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timezone
from typing import Any

from envman.errors import EnvmanError
from envman.launch.beats import forget_the_dead, leave_beat

LEAST = 2.0
"""Seconds between two beats that are written down."""


class Beats:
    """The beats of this process."""

    def __init__(self, component: str) -> None:
        self.component = component
        self._last = 0.0
        self.finished: Callable[[], Mapping[str, datetime]] = dict
        """When each bundle's last parse ended; a Dag processor's manager knows."""

    def beat(self, interval: float) -> None:
        """Write down that the work goes on, and in how many seconds the next beat should come.

        A run folder that can't be written ends no component.
        """
        now = time.monotonic()
        if now - self._last < LEAST:
            return
        self._last = now
        with contextlib.suppress(OSError, EnvmanError):
            leave_beat(self.component, interval, self._parses(now))

    def _parses(self, now: float) -> dict[str, float]:
        moment = datetime.now(timezone.utc)
        return {
            bundle: max(now - max((moment - ended).total_seconds(), 0.0), 0.0)
            for bundle, ended in self.finished().items()
        }


BEATS = Beats("")
"""Of this process."""


def install(component: str) -> None:
    """Have what tells Airflow, or Celery, that this component is alive leave a beat here, too."""
    BEATS.component = component
    with contextlib.suppress(OSError, EnvmanError):
        forget_the_dead()
    if component == "worker":
        from celery.signals import heartbeat_sent

        heartbeat_sent.connect(_celery_beat, weak=False)
    elif component == "edge-worker":
        from airflow.providers.edge3.cli.worker import EdgeWorker

        EdgeWorker.interruptible_sleep = _before_each_sleep(EdgeWorker.interruptible_sleep)
    else:
        from airflow.jobs.job import Job

        Job.heartbeat = _after_each_heartbeat(Job.heartbeat)


def _celery_beat(**_: Any) -> None:
    BEATS.beat(LEAST)


def _before_each_sleep(sleep: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
    """The pause in an edge worker's loop, with a beat: whether the API answers is another matter."""

    async def slept(worker: Any) -> None:
        BEATS.beat(float(worker.job_poll_interval))
        await sleep(worker)

    return slept


def _after_each_heartbeat(heartbeat: Callable[..., None]) -> Callable[..., None]:
    """A job's heartbeat, with a beat where Airflow's database has taken it."""

    def told(job: Any, heartbeat_callback: Callable[..., None], **named: Any) -> None:
        def taken(**given: Any) -> None:
            heartbeat_callback(**given)
            BEATS.beat(float(job.heartrate))

        heartbeat(job, taken, **named)

    return told
