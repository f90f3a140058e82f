"""The runners of a triggerer: there while they have triggers, restarted after a pause, ended when outdated.

There is one for each bundle in each version that has triggers, and a further one for each older generation
of its environment, or former team, that still has some.
"""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import structlog

from envman.airflow.bundle_version import BundleVersion
from envman.airflow.ends import describe_end
from envman.airflow.suspects import Suspects
from envman.airflow.trigger_runner import BundleRunner
from envman.errors import ResolveError
from envman.launch.purpose import Purpose, purpose_of_bundle
from envman.resolver.snapshot import Snapshot

log = structlog.get_logger(logger_name="envman.triggerer")

IDLE_LIMIT = 10.0
"""Seconds after which a runner without triggers ends: so long may triggers take to follow each other.

It holds 20 MB of its own, and keeps its fork server, with 100 MB, from ending. A new one is a fork, which
takes 0.1 s of a processor.
"""

DRAIN_LIMIT = 5.0
"""Seconds after a runner's end in which its last output is read."""

LONGEST_PAUSE = 60.0
"""Seconds between two starts of a runner that keeps ending."""

SLOW_ROUND = 3.0
"""Seconds between two rounds in which this process may have left unread what runners have sent."""

HEALTHY_AFTER = 120.0
"""Seconds after which a runner that has ended counts as having worked."""


class RunnerPlace(NamedTuple):
    """The generation that a runner runs in, what it is for, which decides on its variables, and the bundle's
    shared folders.
    """

    generation: str
    purpose: Purpose
    shared: tuple[str, ...] = ()


NOWHERE = RunnerPlace("", Purpose(""))


class RunnerPool:
    """Runners by bundle and place; job, capacity and team are those of the triggerer."""

    def __init__(self, job: Any, capacity: int, team: str | None = None) -> None:
        self._job = job
        self._team = team
        self._capacity = capacity
        self._selector = selectors.DefaultSelector()
        self._runners: dict[tuple[BundleVersion, RunnerPlace], BundleRunner] = {}
        self._ended: list[BundleRunner] = []
        self._tended = self._prompt_since = time.monotonic()
        self._failures: Counter[BundleVersion] = Counter()
        self._not_before: dict[BundleVersion, float] = {}
        self._suspects = Suspects()

    def running(self) -> int:
        """How many triggers run."""
        return sum(len(runner.running_triggers) for runner in self._runners.values())

    def share(self, snapshot: Snapshot, wanted: Mapping[BundleVersion, set[int]]) -> None:
        """Have each bundle's runners run these triggers of it, and no others."""
        self._suspects.forget_all_but({one for triggers in wanted.values() for one in triggers})
        for bundle in wanted.keys() | {bundle for bundle, _ in self._runners}:
            self._share(snapshot, bundle, wanted.get(bundle, set()))

    def _share(self, snapshot: Snapshot, bundle: BundleVersion, wanted: set[int]) -> None:
        """New triggers go to the runner of the current place; an older one keeps what it has."""
        key = (bundle, _place(snapshot, bundle.name))
        for other, runner in self._runners.items():
            if other[0] == bundle and other != key:
                kept = wanted & runner.known()
                runner.keep_to(kept)
                wanted = wanted - kept
        current = self._runners.get(key)
        wanted = self._suspects.admitted(wanted, current.known() if current else ())
        if wanted and current is None:
            current = self._started(snapshot, *key)
        if current is not None:
            current.keep_to(wanted)

    def _started(self, snapshot: Snapshot, bundle: BundleVersion, place: RunnerPlace) -> BundleRunner | None:
        """A new runner of a bundle; None while it waits to be started again."""
        if time.monotonic() < self._not_before.get(bundle, 0.0):
            return None
        try:
            runner = BundleRunner.start(
                bundle=bundle,
                snapshot=snapshot,
                job=self._job,
                capacity=self._capacity,
                team_name=self._team,
                logger=log,
                selector=self._selector,
            )
        except OSError:  # no descriptor or process is free: what runs goes on
            log.exception("A trigger runner can't be started", **bundle.words())
            self._pause(bundle)
            return None
        if runner.runtime:  # the snapshot's generation may have been collected since
            place = RunnerPlace(runner.runtime.generation, place.purpose)
        self._runners[bundle, place] = runner
        return runner

    def serve(self, seconds: float) -> None:
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

    def settle(self) -> None:
        """Write what the runners' triggers have brought into the database."""
        for runner in self._runners.values():
            runner.settle()

    def tend(self, snapshot: Snapshot | None) -> list[tuple[set[int], str]]:
        """End runners that are stuck, idle or outdated, and clear up after those that have ended.

        Without a snapshot none is outdated. Returns triggers for which no runner could be started or that
        have ended several, with the reason.
        """
        refused: list[tuple[set[int], str]] = []
        now = time.monotonic()
        if now - self._tended > SLOW_ROUND:
            self._prompt_since = now
        self._tended = now
        for key, runner in list(self._runners.items()):
            if runner.exit_code() is not None:
                del self._runners[key]
                self._ended.append(runner)
                if runner.refusal:
                    refused.append((runner.known(), runner.refusal))
                refused += self._note_end(key[0], runner)
            elif runner.stuck(self._prompt_since):
                log.error("Trigger runner does not answer; ending it", **key[0].words(), pid=runner.pid)
                runner.signal(signal.SIGKILL)
            elif runner.known():
                runner.idle_since = now
                self._suspects.runner_lives(runner.running_triggers, now)
            elif _is_outdated(snapshot, key) or now - min(runner.idle_since, now) > IDLE_LIMIT:
                runner.signal(signal.SIGTERM)
        self._close_ended(now)
        return refused

    def _note_end(self, bundle: BundleVersion, runner: BundleRunner) -> list[tuple[set[int], str]]:
        """Say that a runner has ended, and have the next one wait; returns whose fault it was, if known."""
        code = runner.exit_code() or 0
        if not runner.known() and code in {0, -signal.SIGTERM}:
            self._failures.pop(bundle, None)
            self._not_before.pop(bundle, None)
            return []
        ended = f"was ended for what it has sent: {runner.breach}" if runner.breach else describe_end(code)
        log.error(f"Trigger runner {ended}; starting it again", **bundle.words(), pid=runner.pid)
        if time.monotonic() - runner.start_time > HEALTHY_AFTER:
            self._failures[bundle] = 0
        self._pause(bundle)
        if runner.refusal or not (culprits := self._suspects.runner_ended(runner.running_triggers)):
            return []
        return [(culprits, f"This trigger has ended its runner again and again; the last one {ended}.")]

    def _pause(self, bundle: BundleVersion) -> None:
        self._failures[bundle] += 1
        pause = min(2.0 ** (self._failures[bundle] - 2), LONGEST_PAUSE)
        self._not_before[bundle] = time.monotonic() + pause

    def _close_ended(self, now: float) -> None:
        for runner in list(self._ended):
            drained = runner.ended() or now - (runner._process_exit_monotonic or now) > DRAIN_LIMIT
            if drained:
                runner.settle()
                runner.close()
                self._ended.remove(runner)

    def kill(self, number: signal.Signals, escalation_delay: float, force: bool) -> None:
        """End all runners; with `force` by SIGINT, SIGTERM and SIGKILL, `escalation_delay` seconds apart."""
        path = [signal.SIGINT, signal.SIGTERM, signal.SIGKILL]
        path = path[path.index(number) :] if force and number in path else [number]
        for one in path:
            alive = [runner for runner in self._runners.values() if runner.exit_code() is None]
            for runner in alive:
                runner.signal(one)
            until = time.monotonic() + escalation_delay
            while time.monotonic() < until and any(runner.exit_code() is None for runner in alive):
                self.serve(0.1)
        for runner in (*self._runners.values(), *self._ended):
            runner.settle()
            runner.close()


def _place(snapshot: Snapshot, bundle: str) -> RunnerPlace:
    """Where new triggers of a bundle run; nowhere, if its environment is gone.

    Raises SpecError where Airflow's configuration can't be read.
    """
    try:
        purpose = purpose_of_bundle(snapshot, bundle, os.environ)
        shared = tuple(snapshot.table.shared(bundle))
        return RunnerPlace(snapshot.generation(purpose.environment), purpose, shared)
    except ResolveError:
        return NOWHERE


def _is_outdated(snapshot: Snapshot | None, key: tuple[BundleVersion, RunnerPlace]) -> bool:
    bundle, place = key
    return snapshot is not None and place != _place(snapshot, bundle.name)
