"""A shared component's own work leaves beats, which `envman launch COMPONENT --health` reads."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
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

    def beat(self, *_: Any, **__: Any) -> None:
        """Write down that the work goes on. A run folder that can't be written ends no component."""
        now = time.monotonic()
        if now - self._last < LEAST:
            return
        self._last = now
        with contextlib.suppress(OSError, EnvmanError):
            leave_beat(self.component, self._parses(now))

    def _parses(self, now: float) -> dict[str, float]:
        moment = datetime.now(timezone.utc)
        return {
            bundle: now - max((moment - ended).total_seconds(), 0.0)
            for bundle, ended in self.finished().items()
        }

    def after(self, work: Callable[..., Any]) -> Callable[..., Any]:
        """The same work, with a beat where it has gone well."""

        def worked(job: Any, *arguments: Any, **named: Any) -> Any:
            result = work(job, *arguments, **named)
            if not job.heartbeat_failed:
                self.beat()
            return result

        return worked

    def after_awaited(self, work: Callable[..., Any]) -> Callable[..., Any]:
        """The same for work that is awaited."""

        async def worked(*arguments: Any, **named: Any) -> Any:
            result = await work(*arguments, **named)
            self.beat()
            return result

        return worked


BEATS = Beats("")
"""Of this process."""


def install(component: str) -> None:
    """Have what tells Airflow, or Celery, that this component is alive leave a beat here, too."""
    BEATS.component = component
    with contextlib.suppress(OSError, EnvmanError):
        forget_the_dead()
    if component == "worker":
        from celery.signals import heartbeat_sent

        heartbeat_sent.connect(BEATS.beat, weak=False)
    elif component == "edge-worker":
        from airflow.providers.edge3.cli import worker

        worker.worker_set_state = BEATS.after_awaited(worker.worker_set_state)
    else:
        from airflow.jobs.job import Job

        Job.heartbeat = BEATS.after(Job.heartbeat)
