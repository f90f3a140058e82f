"""`envman top`: the fork servers of this host, what they do and what they use."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from envman.errors import Problem, UsageError
from envman.launch.run_folder import run_folder
from envman.servers.figures import (
    ProcessTable,
    ServerRow,
    Status,
    Total,
    Unanswered,
    budget_of,
    by_environment,
    percent,
    server_row,
    total,
)
from envman.servers.status import ask_all, look_at

PAUSE = 0.5
"""Seconds between the two looks that a share of a processor needs."""


@dataclass(frozen=True)
class TopOutcome:
    """The servers whose sockets stand in a folder, by environment."""

    folder: str
    servers: tuple[ServerRow, ...]
    total: Total

    def document(self) -> dict[str, Any]:
        """The same as values that JSON has; moments in UTC (ISO 8601)."""
        rows = asdict(self)
        for row in rows["servers"]:
            row["started"] = moment(row["started"])
        return rows


def moment(seconds: float | None) -> str | None:
    """A moment in UTC."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")


class Watch:
    """Looks again and again: a share of a processor is what was used since the look before."""

    def __init__(self, folder: Path | None = None) -> None:
        """Of this user's components, where no folder is given; raises UsageError, ResolveError."""
        self._folder = folder.absolute() if folder else Path(run_folder())
        if not self._folder.is_dir():
            what = "there is no such folder"
            raise UsageError(Problem(str(folder), what, "Pass the components' ENVMAN_RUN, or leave it out."))
        self._before: dict[int, tuple[float, float]] = {}
        self._known: dict[str, Status] = {}

    def look(self) -> TopOutcome:
        """All servers as they are now; raises OSError for a folder that can't be read."""
        answers = ask_all(self._folder)
        statuses = [one for one in answers if isinstance(one, Status)]
        processes = look_at(status.pid for status in statuses)
        now = time.monotonic()
        used = {status.pid: (now, processes.tree(status.pid).processor) for status in statuses}
        rows = [self._row(one, processes, used) for one in answers]
        self._before = used
        self._known |= {status.socket: status for status in statuses}
        return TopOutcome(str(self._folder), by_environment(rows), total(rows, budget_of(statuses)))

    def _row(
        self,
        answer: Status | Unanswered,
        processes: ProcessTable,
        used: dict[int, tuple[float, float]],
    ) -> ServerRow:
        if isinstance(answer, Status):
            cpu = percent(self._before.get(answer.pid), used[answer.pid])
            return server_row(answer, processes, cpu, time.time())
        row = ServerRow(answer.socket, problem=answer.why)
        if known := self._known.get(answer.socket):  # it has answered before
            row = replace(row, environment=known.environment, generation=known.generation, pid=known.pid)
        return row


def top(folder: Path | None = None) -> TopOutcome:
    """Look once; raises UsageError, ResolveError, OSError."""
    watch = Watch(folder)
    outcome = watch.look()
    if not outcome.total.servers:
        return outcome
    time.sleep(PAUSE)
    return watch.look()
