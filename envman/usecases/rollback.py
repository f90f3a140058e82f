"""`envman rollback`: point an environment back to an earlier generation."""

from __future__ import annotations

import time
from dataclasses import dataclass

from envman.errors import Problem, StoreError, UsageError
from envman.names import nearest
from envman.store.folder import Store
from envman.store.sealing import check_published
from envman.store.switches import Action, standing
from envman.system.caller import current_actor
from envman.usecases.hold import new_hold


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


@dataclass(frozen=True)
class RollbackRequest:
    """Which generation to go back to, None for the one before; under which policy; and for which reason the
    environment is held there, None for no hold.
    """

    to: str | None = None
    policy: str | None = None
    hold: str | None = None


def rollback(store: Store, environment: str, request: RollbackRequest) -> RollbackOutcome:
    """Point an environment back to an earlier generation; raises UsageError, also for one that is held unless
    there is a new reason, StoreError, and PolicyError for one that the policy refuses.
    """
    started = time.perf_counter()
    target = rollback_target(store, environment, request.to)
    check_published(store, environment, target, request.policy)
    old = store.current(environment)
    if request.hold is not None:
        store.put_hold(environment, new_hold(request.hold))  # before: no build comes in between
    elif held := store.hold(environment):
        remedy = f'Lift it (envman unhold {environment}), or give a new reason: --hold "..."'
        raise UsageError(Problem(f"environment '{environment}'", f"is {held.describe()}", remedy))
    store.publish(environment, target, Action.ROLLBACK, current_actor())
    milliseconds = (time.perf_counter() - started) * 1000
    manifest = store.manifest(target)
    interpreter = manifest.interpreter.describe() if manifest else ""
    return RollbackOutcome(environment, old, target, interpreter, round(milliseconds, 2))
