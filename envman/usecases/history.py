"""`envman history`: which generations an environment's name pointed to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone

from envman.errors import UsageError
from envman.store.folder import Store
from envman.system.actor import Actor


@dataclass(frozen=True)
class HistoryRow:
    """One switch of an environment's name; `at` is UTC (ISO 8601), `by` who did it, as far as it is known.
    `kept`: the generation is still there.
    """

    generation: str
    at: str
    action: str
    current: bool
    kept: bool
    interpreter: str | None
    packages: int | None
    by: Actor


def history(store: Store, environment: str) -> tuple[HistoryRow, ...]:
    """The switches of an environment's name, newest first; raises UsageError for one never published."""
    switches = store.history(environment)
    if not switches:
        raise UsageError(store.unpublished(environment))
    now = store.current(environment)
    newest = {switch.generation: index for index, switch in enumerate(switches)}
    rows: list[HistoryRow] = []
    for index, switch in enumerate(switches):
        manifest = store.manifest(switch.generation)
        rows.append(
            HistoryRow(
                generation=switch.generation,
                at=datetime.fromtimestamp(switch.at, timezone.utc).isoformat(timespec="seconds"),
                action=switch.action.value,
                current=switch.generation == now and newest[switch.generation] == index,
                kept=manifest is not None,
                interpreter=manifest.interpreter.describe() if manifest else None,
                packages=len(manifest.packages) if manifest else None,
                by=switch.by,
            )
        )
    return tuple(reversed(rows))
