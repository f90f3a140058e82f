"""The shared triggerer: one job, one capacity, and for each bundle a runner in its interpreter."""

from __future__ import annotations

import signal
from typing import Any

import structlog
from airflow.jobs import triggerer_job_runner
from airflow.jobs.job import perform_heartbeat
from airflow.models.trigger import Trigger
from airflow.utils.retries import run_with_db_retries
from airflow.utils.session import create_session

from envman.airflow import own_masks, trigger_rows
from envman.airflow.bundle_interpreter import look
from envman.airflow.capacity import choose
from envman.airflow.runner_pool import RunnerPool
from envman.airflow.trigger_owners import TriggerOwners
from envman.airflow.trigger_runner import BundleRunner
from envman.errors import EnvmanError
from envman.resolver.snapshot import Snapshot

log = structlog.get_logger(logger_name="envman.triggerer")


class BundleRunners:
    """What Airflow's triggerer job drives instead of its one supervisor: `start`, `run`, `stop`, `kill`.

    Each round takes one look at what is published, and hands it on.
    """

    def __init__(self, job: Any, capacity: int, scope: trigger_rows.Scope) -> None:
        self.stop = False
        self._exit_code = 0
        self._job = job
        self._capacity = capacity
        self._scope = scope
        self._pool = RunnerPool(job, capacity, scope.team)
        self._owners = TriggerOwners(job.id)
        self._alive_within = float(BundleRunner.health_check_threshold)

    @classmethod
    def start(
        cls,
        *,
        job: Any,
        capacity: int,
        logger: Any = None,  # noqa: ARG003  # Airflow passes its own; here each part has one
        queues: set[str] | None = None,
        team_name: str | None = None,
    ) -> BundleRunners:
        """Get ready; a runner starts when its bundle has a trigger."""
        return cls(job, capacity, trigger_rows.Scope(queues, team_name))

    def run(self) -> None:
        """Work until `stop` is set."""
        while not self.stop:
            self.run_once()

    def run_once(self) -> None:
        """One round, of a second at most: assign, share out, serve, settle, restart."""
        snapshot = self._hand_out()
        self._pool.serve(1.0)
        self._pool.settle()
        for triggers, reason in self._pool.tend(snapshot):
            self._owners.refuse(triggers, reason)
        _clean_unused()
        perform_heartbeat(self._job, heartbeat_callback=self._count_heartbeat, only_if_necessary=True)
        self._emit_metrics()

    def _hand_out(self) -> Snapshot | None:
        """Give triggers to the runners, by one look at what is published; None where that can't be read."""
        try:
            snapshot = look()
            self._assign(snapshot)
            self._owners.update(snapshot, trigger_rows.assigned(self._job.id, self._scope))
            self._pool.share(snapshot, self._owners.by_bundle())
        except EnvmanError as error:  # a configuration that somebody is editing: what runs goes on
            log.warning("New triggers wait", reason=str(error))
            return None
        return snapshot

    def _assign(self, snapshot: Snapshot) -> None:
        """Take on waiting triggers, as far as the capacity allows."""
        waiting = trigger_rows.waiting(self._scope, self._alive_within)
        if not waiting:
            return
        mine = trigger_rows.assigned(self._job.id, self._scope)
        bundles = trigger_rows.bundles_of(waiting)
        environments = snapshot.answers().environments
        # one without an environment is taken on all the same, to be failed with the reason
        owners = [(one, environments.get(bundles[one].name, "")) for one in waiting if one in bundles]
        limit = Trigger.max_trigger_to_select_per_loop
        held = self._owners.held(mine, environments)
        chosen = choose(owners, held, {*environments.values()}, self._capacity, limit)
        trigger_rows.assign(self._job.id, chosen, self._alive_within)

    def kill(
        self,
        signal_to_send: signal.Signals = signal.SIGINT,
        escalation_delay: float = 5.0,
        force: bool = False,
    ) -> None:
        """End all runners; with `force` by SIGINT, SIGTERM and SIGKILL, `escalation_delay` seconds apart."""
        self._pool.kill(signal_to_send, escalation_delay, force)

    def _count_heartbeat(self, session: object = None) -> None:  # noqa: ARG002  # Airflow passes it
        triggerer_job_runner.stats.incr("triggerer_heartbeat", 1, 1, tags=self._team())

    def _emit_metrics(self) -> None:
        running = self._pool.running()
        tags = {"hostname": self._job.hostname, **self._team()}
        triggerer_job_runner.stats.gauge("triggers.running", running, tags=tags)
        triggerer_job_runner.stats.gauge("triggerer.capacity_left", self._capacity - running, tags=tags)

    def _team(self) -> dict[str, str]:
        """The tag of a triggerer for one team."""
        return {"team_name": self._scope.team} if self._scope.team else {}


def _clean_unused() -> None:
    """Delete triggers that nobody waits for any more, some of them at a time.

    Each try has a transaction of its own: on Airflow 3.4 the model no longer tries again by itself.
    """
    for attempt in run_with_db_retries():
        with attempt, create_session() as session:
            Trigger.clean_unused(session=session)


def install() -> None:
    """Make Airflow's triggerer job drive `BundleRunners`."""
    own_masks.install()
    triggerer_job_runner.TriggerRunnerSupervisor = BundleRunners
