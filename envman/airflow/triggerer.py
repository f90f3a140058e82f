"""The shared triggerer: one job, one capacity, and a runner in its own interpreter for each environment."""

from __future__ import annotations

import datetime
import math
import selectors
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Collection
from fnmatch import fnmatchcase
from typing import Any

import structlog
from airflow.jobs import triggerer_job_runner
from airflow.jobs.job import perform_heartbeat
from airflow.models.trigger import Trigger

from envman.airflow import trigger_rows
from envman.airflow.capacity import choose
from envman.airflow.ends import describe_end
from envman.airflow.interpreters import environments_of, known_bundles, resolve, root_folder
from envman.airflow.trigger_runner import EnvironmentRunner, RunnerStartError
from envman.errors import EnvmanError
from envman.launch.root import current_generation, read_table

log = structlog.get_logger(logger_name="envman.triggerer")

IDLE_LIMIT = 300.0
"""Seconds after which a runner without triggers ends."""

DRAIN_LIMIT = 5.0
"""Seconds after a runner's end in which its last output is read."""

LONGEST_PAUSE = 60.0
"""Seconds between two starts of a runner that keeps ending."""

REFUSAL_AGE = datetime.timedelta(seconds=5)
"""How old a trigger is at least when it is refused. A scheduler that sees a task run again before it has seen
that the task was deferred takes it for lost, and fails it without the reason.
"""

REFUSED_FOR = 60.0
"""Seconds until a trigger that may not run is looked at again."""

HEALTHY_AFTER = 120.0
"""Seconds after which a runner that has ended counts as having worked."""


class Owned:
    """A trigger of this triggerer's: when it was made, and its environment; without one it was refused, and
    is looked at again after `until` (of the monotonic clock).
    """

    __slots__ = ("created", "environment", "until")

    def __init__(self, created: datetime.datetime, environment: str) -> None:
        self.created = created
        self.environment = environment
        self.until = math.inf if environment else time.monotonic() + REFUSED_FOR


class EnvironmentRunners:
    """What Airflow's triggerer job drives instead of its one supervisor: `start`, `run`, `stop`, `kill`."""

    def __init__(self, job: Any, capacity: int, scope: trigger_rows.Scope) -> None:
        self.stop = False
        self._exit_code = 0
        self._job = job
        self._capacity = capacity
        self._scope = scope
        self._selector = selectors.DefaultSelector()
        self._runners: dict[tuple[str, str], EnvironmentRunner] = {}
        self._ended: list[EnvironmentRunner] = []
        self._owned: dict[int, Owned] = {}
        self._failures: Counter[str] = Counter()
        self._not_before: dict[str, float] = {}
        self._alive_within = float(EnvironmentRunner.health_check_threshold)

    @classmethod
    def start(
        cls,
        *,
        job: Any,
        capacity: int,
        queues: set[str] | None = None,
        team_name: str | None = None,
        **_: Any,
    ) -> EnvironmentRunners:
        """Get ready; a runner starts when its environment has a trigger."""
        return cls(job, capacity, trigger_rows.Scope(queues, team_name))

    def run(self) -> None:
        """Work until `stop` is set."""
        while not self.stop:
            self.run_once()

    def run_once(self) -> None:
        """One round, of a second at most: assign, route, serve, settle, restart."""
        try:
            self._assign()
            self._route(trigger_rows.assigned(self._job.id, self._scope))
        except EnvmanError as error:  # a configuration that somebody is editing: what runs goes on
            log.warning("New triggers wait", reason=str(error))
        self._serve(1.0)
        for runner in self._runners.values():
            runner.settle()
        self._tend_runners()
        Trigger.clean_unused()
        perform_heartbeat(self._job, heartbeat_callback=self._count_heartbeat, only_if_necessary=True)
        self._emit_metrics()

    # which triggers

    def _assign(self) -> None:
        waiting = trigger_rows.waiting(self._scope, self._alive_within)
        if not waiting:
            return
        mine = trigger_rows.assigned(self._job.id, self._scope)
        bundles = trigger_rows.bundles_of(waiting)
        environments = environments_of({*known_bundles(), *bundles.values()})
        # one without an environment is taken on all the same, to be failed with the reason
        owners = [(one, environments.get(bundles[one], "")) for one in waiting if one in bundles]
        held = Counter(self._owned[one].environment for one in mine if one in self._owned)
        limit = Trigger.max_trigger_to_select_per_loop
        chosen = choose(owners, held, {*environments.values()}, self._capacity, limit)
        trigger_rows.assign(self._job.id, chosen, self._alive_within)

    def _route(self, assigned: dict[int, datetime.datetime]) -> None:
        """Give each environment's runner the triggers that are its own."""
        now = time.monotonic()
        self._owned = {
            trigger: owned
            for trigger, owned in self._owned.items()
            if assigned.get(trigger) == owned.created and owned.until > now
        }
        new = assigned.keys() - self._owned.keys()
        if new:
            refused = self._unvetted(new)
            for trigger, bundle in trigger_rows.bundles_of(new).items():
                environment, reason = self._environment(bundle, refused.get(trigger, ""))
                if environment or self._fail(trigger, reason, assigned[trigger]):
                    self._owned[trigger] = Owned(assigned[trigger], environment)
        wanted: dict[str, set[int]] = defaultdict(set)
        for trigger, owned in self._owned.items():
            wanted[owned.environment].add(trigger)
        wanted.pop("", None)
        for environment in wanted.keys() | {name for name, _ in self._runners}:
            self._share(environment, wanted[environment])

    def _unvetted(self, new: Collection[int]) -> dict[int, str]:
        """The triggers whose class may not run here, and what is to be said of each."""
        patterns = read_table(root_folder()).names("trigger")
        if not patterns:
            return {}
        allowed = ", ".join(patterns)
        return {
            trigger: f"The trigger class {classpath} is not allowed in this deployment: {allowed}"
            for trigger, classpath in trigger_rows.classpaths_of(new).items()
            if not any(fnmatchcase(classpath, pattern) for pattern in patterns)
        }

    def _environment(self, bundle: str, reason: str) -> tuple[str, str]:
        """A trigger's environment; where it may not run, or has none that is built: empty, and the reason."""
        if reason:
            return "", reason
        try:
            environment = resolve(bundle).environment
            current_generation(root_folder(), environment)
        except EnvmanError as error:
            return "", f"The trigger of the bundle '{bundle}' was not run.\n{error}"
        return environment, ""

    def _fail(self, trigger: int, reason: str, created: datetime.datetime) -> bool:
        """Fail the task that waits for it; false where that is too early.

        The trigger of an asset stays, and is looked at again later.
        """
        if datetime.datetime.now(datetime.timezone.utc) - created < REFUSAL_AGE:
            return False
        log.error("Trigger failed", trigger_id=trigger, reason=reason)
        Trigger.submit_failure(trigger_id=trigger, exc=[reason])
        return True

    def _share(self, environment: str, wanted: set[int]) -> None:
        """New triggers go to the runner of the current generation; an older one keeps what it has."""
        for (name, _), runner in list(self._runners.items()):
            if name == environment and not self._is_current(name, runner):
                kept = wanted & runner.known()
                runner.keep_to(kept)
                wanted = wanted - kept
        current = self._current(environment) if wanted else self._runners.get(self._key(environment))
        if current is not None:
            current.keep_to(wanted)

    # runners

    def _key(self, environment: str) -> tuple[str, str]:
        try:
            return environment, current_generation(root_folder(), environment)
        except EnvmanError:
            return environment, ""

    def _is_current(self, environment: str, runner: EnvironmentRunner) -> bool:
        return self._key(environment) == (environment, runner.generation)

    def _current(self, environment: str) -> EnvironmentRunner | None:
        """The runner of the environment's current generation; None while it waits to be started again."""
        key = self._key(environment)
        if key not in self._runners and time.monotonic() >= self._not_before.get(environment, 0.0):
            try:
                self._runners[key] = EnvironmentRunner.start(
                    environment=environment,
                    generation=key[1],
                    job=self._job,
                    capacity=self._capacity,
                    logger=log,
                    selector=self._selector,
                )
            except RunnerStartError:
                self._pause(environment)
        return self._runners.get(key)

    def _serve(self, seconds: float) -> None:
        """Read what the runners send, for as long as nothing comes at most."""
        if not self._selector.get_map():
            time.sleep(seconds)
            return
        for key, _ in self._selector.select(seconds):
            handle, on_close = key.data
            try:
                more = handle(key.fileobj)
            except (BrokenPipeError, ConnectionResetError):
                more = False
            if not more:
                on_close(key.fileobj)
                key.fileobj.close()  # type: ignore[union-attr]  # always a socket here

    def _tend_runners(self) -> None:
        now = time.monotonic()
        for key, runner in list(self._runners.items()):
            if runner.exit_code() is not None:
                del self._runners[key]
                self._ended.append(runner)
                self._note_end(key[0], runner)
            elif runner.stuck():
                log.error("Trigger runner does not answer; ending it", environment=key[0], pid=runner.pid)
                runner.signal(signal.SIGKILL)
            elif runner.known():
                runner.idle_since = now
            elif not self._is_current(key[0], runner) or now - min(runner.idle_since, now) > IDLE_LIMIT:
                runner.signal(signal.SIGTERM)
        self._close_ended(now)

    def _note_end(self, environment: str, runner: EnvironmentRunner) -> None:
        if runner.refusal:
            for trigger, owned in self._owned.items():
                if owned.environment == environment and self._fail(trigger, runner.refusal, owned.created):
                    self._owned[trigger] = Owned(owned.created, "")
        code = runner.exit_code() or 0
        if not runner.known() and code in {0, -signal.SIGTERM}:
            return
        ended = describe_end(code)
        log.error(f"Trigger runner {ended}; starting it again", environment=environment, pid=runner.pid)
        if time.monotonic() - runner.start_time > HEALTHY_AFTER:
            self._failures[environment] = 0
        self._pause(environment)

    def _pause(self, environment: str) -> None:
        self._failures[environment] += 1
        pause = min(2.0 ** (self._failures[environment] - 2), LONGEST_PAUSE)
        self._not_before[environment] = time.monotonic() + pause

    def _close_ended(self, now: float) -> None:
        for runner in list(self._ended):
            drained = runner.ended() or now - (runner._process_exit_monotonic or now) > DRAIN_LIMIT
            if drained:
                runner.settle()
                runner.close()
                self._ended.remove(runner)

    def kill(
        self,
        signal_to_send: signal.Signals = signal.SIGINT,
        escalation_delay: float = 5.0,
        force: bool = False,
    ) -> None:
        """End all runners; with `force` by SIGINT, SIGTERM and SIGKILL, `escalation_delay` seconds apart."""
        path = [signal.SIGINT, signal.SIGTERM, signal.SIGKILL]
        path = path[path.index(signal_to_send) :] if force and signal_to_send in path else [signal_to_send]
        for number in path:
            alive = [runner for runner in self._runners.values() if runner.exit_code() is None]
            for runner in alive:
                runner.signal(number)
            until = time.monotonic() + escalation_delay
            while time.monotonic() < until and any(runner.exit_code() is None for runner in alive):
                self._serve(0.1)
        for runner in (*self._runners.values(), *self._ended):
            runner.settle()
            runner.close()

    # figures

    def _count_heartbeat(self, session: object = None) -> None:  # noqa: ARG002  # Airflow passes it
        triggerer_job_runner.stats.incr("triggerer_heartbeat", 1, 1)

    def _emit_metrics(self) -> None:
        running = sum(len(runner.running_triggers) for runner in self._runners.values())
        tags = {"hostname": self._job.hostname}
        triggerer_job_runner.stats.gauge("triggers.running", running, tags=tags)
        triggerer_job_runner.stats.gauge("triggerer.capacity_left", self._capacity - running, tags=tags)


def install() -> None:
    """Make Airflow's triggerer job drive `EnvironmentRunners`."""
    triggerer_job_runner.TriggerRunnerSupervisor = EnvironmentRunners
