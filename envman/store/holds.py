"""Holds: an environment stays in its generation, whatever is built or pulled, until `envman unhold`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timezone

from envman.system.actor import Actor, parse_actor

LONGEST_REASON = 200


@dataclass(frozen=True)
class Hold:
    """Why an environment stays in the generation that it has; `at` is in seconds since the epoch."""

    reason: str
    at: float
    by: Actor

    def to_text(self) -> str:
        """One line of JSON."""
        return f"{json.dumps(asdict(self))}\n"

    def describe(self) -> str:
        """Since when, by whom and why: `held since 2026-01-31T09:00+00:00 by ana@ci-3: pandas 2`."""
        since = datetime.fromtimestamp(self.at, timezone.utc).isoformat(timespec="minutes")
        by = f" by {who}" if (who := self.by.describe()) else ""
        return f"held since {since}{by}: {self.reason}"

    def advice(self, environment: str) -> str:
        """The same, and how it ends."""
        return f"{self.describe()}; when the reason is gone: envman unhold {environment}"


def parse_hold(text: str) -> Hold:
    """Read the text of a hold; raises ValueError, KeyError, TypeError, OverflowError for any other."""
    data = json.loads(text)
    hold = Hold(str(data["reason"]), float(data["at"]), parse_actor(data["by"]))
    hold.describe()  # a moment that no calendar has
    return hold
