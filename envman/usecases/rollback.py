"""`envman rollback`: point an environment back to an earlier generation."""

from __future__ import annotations

import time
from dataclasses import dataclass

from envman.errors import Problem, StoreError, UsageError
from envman.names import nearest
from envman.store.folder import Store
from envman.store.sealing import check_published
from envman.store.switches import Action, standing


@dataclass(frozen=True)
class RollbackOutcome:
    """The generation that an environment had, and the one that it has now; `milliseconds` of the switch."""

    environment: str
    old: str | None
    new: str
    interpreter: str
    milliseconds: float


def rollback_target(store: Store, environment: str, to: str | None) -> str:
    """The generation that a rollback goes back to: the named one, else the one that stood before.

    Raises UsageError where there is none, StoreError where it was collected.
    """
    switches = store.history(environment)
    if not switches:
        raise UsageError(store.unpublished(environment))
    stack = standing(switches)
    known = {switch.generation for switch in switches}
    where = f"environment '{environment}'"
    if to is not None and to not in known:
        raise UsageError(Problem(where, f"never had a generation '{to}'", nearest(to, known)))
    if to is None and len(stack) < 2:
        remedy = f"Name one: envman history {environment}, then --to GENERATION."
        raise UsageError(Problem(where, "has no earlier generation to go back to", remedy))
    target = to or stack[-2]
    if not store.is_whole(target):
        remedy = (
            f"Choose one that is kept (envman history {environment}), or lock and build the older versions."
        )
        raise StoreError(Problem(where, f"the generation {target} was collected", remedy))
    return target


def rollback(store: Store, environment: str, to: str | None, policy: str | None = None) -> RollbackOutcome:
    """Point an environment back to an earlier generation; raises UsageError, StoreError, and PolicyError for
    one that the policy refuses.
    """
    started = time.perf_counter()
    target = rollback_target(store, environment, to)
    check_published(store, environment, target, policy)
    old = store.current(environment)
    store.publish(environment, target, Action.ROLLBACK)
    milliseconds = (time.perf_counter() - started) * 1000
    manifest = store.manifest(target)
    interpreter = manifest.interpreter.describe() if manifest else ""
    return RollbackOutcome(environment, old, target, interpreter, round(milliseconds, 2))
