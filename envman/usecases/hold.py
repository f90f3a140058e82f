"""`envman hold`, `envman unhold`: keep an environment in its generation, whatever is built or pulled."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass

from envman.errors import Problem, StoreError, UsageError
from envman.store.folder import Store
from envman.store.holds import LONGEST_REASON, Hold
from envman.system.caller import current_actor


@dataclass(frozen=True)
class HoldOutcome:
    """An environment's generation, and the hold that it has now, or had until now; None where it had none.
    `replaced` is the one that a new one stands in the place of.
    """

    environment: str
    generation: str | None
    hold: Hold | None
    replaced: Hold | None = None


def new_hold(reason: str) -> Hold:
    """A hold of this moment; raises UsageError for a reason that would not fit on a line."""
    if not reason.strip() or not reason.isprintable() or len(reason) > LONGEST_REASON:
        what = f"has to be 1 to {LONGEST_REASON} printable characters"
        raise UsageError(Problem("the reason of a hold", what, "Say in a few words why, and until when."))
    return Hold(reason.strip(), time.time(), current_actor())


def hold(store: Store, environment: str, reason: str) -> HoldOutcome:
    """Hold an environment where it is; raises UsageError for one that was never published."""
    made = new_hold(reason)
    store.choose([environment])
    replaced = _there(store, environment)
    store.put_hold(environment, made)
    return HoldOutcome(environment, store.current(environment), made, replaced)


def unhold(store: Store, environment: str) -> HoldOutcome:
    """Lift an environment's hold, a damaged one too; raises UsageError for one that was never published."""
    store.choose([environment])
    found = _there(store, environment)
    store.lift_hold(environment)
    return HoldOutcome(environment, store.current(environment), found)


def _there(store: Store, environment: str) -> Hold | None:
    """The hold that an environment has; None also for a damaged one."""
    with contextlib.suppress(StoreError):
        return store.hold(environment)
    return None
