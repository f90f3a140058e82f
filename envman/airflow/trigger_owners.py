"""Which bundle each of this triggerer's triggers belongs to, and which are refused."""

from __future__ import annotations

import datetime
import inspect
import math
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase

import structlog
from airflow.models.trigger import Trigger

from envman.airflow import trigger_rows
from envman.airflow.bundle_version import BundleVersion
from envman.errors import ResolveError
from envman.resolver.snapshot import Snapshot

log = structlog.get_logger(logger_name="envman.triggerer")

REFUSAL_AGE = datetime.timedelta(seconds=5)
"""How old a trigger is at least when it is refused. A scheduler that sees a task run again before it has seen
that the task was deferred takes it for lost, and fails it without the reason.
"""

REFUSED_FOR = 60.0
"""Seconds until a trigger that may not run is looked at again."""


class Owned:
    """A trigger of this triggerer's: when it was made, and its bundle; without one it was refused, and
    is looked at again after `until` (of the monotonic clock).
    """

    __slots__ = ("bundle", "created", "until")

    def __init__(self, created: datetime.datetime, bundle: BundleVersion | None) -> None:
        self.created = created
        self.bundle = bundle
        self.until = math.inf if bundle else time.monotonic() + REFUSED_FOR


class TriggerOwners:
    """The triggers of this triggerer's, each with its bundle; `triggerer` is the job's number."""

    def __init__(self, triggerer: int) -> None:
        self._triggerer = triggerer
        self._owned: dict[int, Owned] = {}

    def held(self, triggers: Collection[int], environments: Mapping[str, str]) -> Counter[str]:
        """How many of these triggers each environment has, by the environment of each bundle."""
        bundles = (self._owned[one].bundle for one in triggers if one in self._owned)
        return Counter(environments.get(bundle.name, "") if bundle else "" for bundle in bundles)

    def by_bundle(self) -> dict[BundleVersion, set[int]]:
        """The triggers of each bundle in each version; those that are refused are missing."""
        wanted: dict[BundleVersion, set[int]] = defaultdict(set)
        for trigger, owned in self._owned.items():
            if owned.bundle:
                wanted[owned.bundle].add(trigger)
        return wanted

    def update(self, snapshot: Snapshot, assigned: Mapping[int, datetime.datetime]) -> None:
        """Keep to the triggers that are assigned to this triggerer, and find the owners of the new ones.

        `assigned` says when each was made: the number of a deleted trigger may be given to another one.
        """
        now = time.monotonic()
        self._owned = {
            trigger: owned
            for trigger, owned in self._owned.items()
            if assigned.get(trigger) == owned.created and owned.until > now
        }
        new = assigned.keys() - self._owned.keys()
        if not new:
            return
        refused = _unvetted(snapshot, new)
        for trigger, bundle in trigger_rows.bundles_of(new).items():
            reason = refused.get(trigger) or _refusal(snapshot, bundle.name)
            if not reason or self._fail(trigger, reason, assigned[trigger]):
                self._owned[trigger] = Owned(assigned[trigger], None if reason else bundle)

    def refuse(self, triggers: Collection[int], reason: str) -> None:
        """Fail triggers that no runner can run."""
        for trigger in self._owned.keys() & triggers:
            created = self._owned[trigger].created
            if self._fail(trigger, reason, created):
                self._owned[trigger] = Owned(created, None)

    def _fail(self, trigger: int, reason: str, created: datetime.datetime) -> bool:
        """Fail the task that waits for it; false where that is too early.

        The trigger of an asset stays, and is looked at again later.
        """
        if datetime.datetime.now(datetime.timezone.utc) - created < REFUSAL_AGE:
            return False
        log.error("Trigger failed", trigger_id=trigger, reason=reason)
        Trigger.submit_failure(trigger_id=trigger, exc=[reason], **_while_it_is_of(self._triggerer))
        return True


def _while_it_is_of(triggerer: int) -> dict[str, int]:
    """What keeps a failure from a trigger that another triggerer has taken meanwhile: since Airflow 3.4."""
    known = inspect.signature(Trigger.submit_failure).parameters
    return {"triggerer_id": triggerer} if "triggerer_id" in known else {}


def _unvetted(snapshot: Snapshot, new: Collection[int]) -> dict[int, str]:
    """The triggers whose class may not run here, and what is to be said of each."""
    patterns = snapshot.table.names("trigger")
    if not patterns:
        return {}
    allowed = ", ".join(patterns)
    return {
        trigger: f"The trigger class {classpath} is not allowed in this deployment: {allowed}"
        for trigger, classpath in trigger_rows.classpaths_of(new).items()
        if not any(fnmatchcase(classpath, pattern) for pattern in patterns)
    }


def _refusal(snapshot: Snapshot, bundle: str) -> str:
    """Why a bundle's triggers can't run; empty where it has an environment that is built."""
    try:
        snapshot.generation(snapshot.resolve(bundle).environment)
    except ResolveError as error:
        return f"The trigger of the bundle '{bundle}' was not run.\n{error}"
    return ""
