"""A host's fork servers in figures: what they say of themselves, and what their processes use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter


@dataclass(frozen=True)
class Workload:
    """A workload that a server has forked; `started` in seconds since the epoch."""

    pid: int
    kind: str
    name: str
    started: float


@dataclass(frozen=True)
class Status:
    """What a server says of itself; `budget` are the bytes that all servers might have when it was started
    (0: as many as they need), `idle` the seconds without a workload, and `idle_limit` how many end it.
    """

    socket: str
    environment: str
    generation: str
    root: str
    pid: int
    started: float
    preload: tuple[str, ...]
    budget: int
    workloads: int
    last_minute: int
    crashes: int
    idle: float
    idle_limit: float
    children: tuple[Workload, ...]


@dataclass(frozen=True)
class Unanswered:
    """A server that said nothing, and why."""

    socket: str
    why: str


@dataclass(frozen=True)
class Usage:
    """What processes use: memory in bytes, processor time in seconds since they began.

    `rss` counts a page that is shared once for each process, `pss` in parts; it is None where this user may
    not see it. `own` are the pages that belong to no file. `processor` holds the time of the children that
    were waited for.
    """

    rss: int = 0
    pss: int | None = 0
    processor: float = 0.0
    own: int = 0

    def __add__(self, other: Usage) -> Usage:
        pss = None if self.pss is None or other.pss is None else self.pss + other.pss
        return Usage(self.rss + other.rss, pss, self.processor + other.processor, self.own + other.own)


@dataclass(frozen=True)
class ProcessTable:
    """A moment's processes: who is whose parent, and what those that were looked at use."""

    parents: Mapping[int, int]
    usage: Mapping[int, Usage]

    @cached_property
    def _children(self) -> Mapping[int, list[int]]:
        return by_parent(self.parents)

    def tree(self, pid: int) -> Usage:
        """What a process uses together with all below it."""
        return sum((self.usage[one] for one in below(self._children, pid) if one in self.usage), Usage())


@dataclass(frozen=True)
class ChildRow:
    """A workload, and what it and the processes that it has started use."""

    pid: int
    kind: str
    name: str
    seconds: float
    rss: int
    pss: int | None


@dataclass(frozen=True)
class ServerRow:
    """A server and its children; all but `socket` and `problem` may be None where it does not answer.

    `own` is the server's alone: what its end gives back. `cpu` is in percent of one processor, since the look
    before; None where there was none. It ends when `idle` is `idle_limit` (seconds).
    """

    socket: str
    environment: str | None = None
    generation: str | None = None
    root: str | None = None
    pid: int | None = None
    started: float | None = None
    preload: tuple[str, ...] = ()
    cpu: float | None = None
    rss: int | None = None
    pss: int | None = None
    own: int | None = None
    workloads: int | None = None
    last_minute: int | None = None
    crashes: int | None = None
    idle: float | None = None
    idle_limit: float | None = None
    children: tuple[ChildRow, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Total:
    """All servers that answer, together; `budget` is what `own` may be, None where that is not limited."""

    servers: int
    children: int
    cpu: float | None
    rss: int
    pss: int | None
    own: int
    budget: int | None
    workloads: int
    last_minute: int
    crashes: int


def by_parent(parents: Mapping[int, int]) -> dict[int, list[int]]:
    """The children of each process."""
    children: dict[int, list[int]] = {}
    for child, parent in parents.items():
        children.setdefault(parent, []).append(child)
    return children


def below(children: Mapping[int, list[int]], pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = {pid: None}
    next_ones = [pid]
    for one in next_ones:
        new = [child for child in children.get(one, ()) if child not in found]
        found.update(dict.fromkeys(new))
        next_ones += new
    return [*found]


def percent(before: tuple[float, float] | None, now: tuple[float, float]) -> float | None:
    """Percent of one processor between two looks, each a moment and the processor time until then."""
    if before is None or now[0] <= before[0]:
        return None
    return round(max(0.0, now[1] - before[1]) / (now[0] - before[0]) * 100, 1)


def server_row(status: Status, processes: ProcessTable, cpu: float | None, moment: float) -> ServerRow:
    """A server's row at a moment (seconds since the epoch)."""
    used = processes.tree(status.pid)
    return ServerRow(
        socket=status.socket,
        environment=status.environment,
        generation=status.generation,
        root=status.root,
        pid=status.pid,
        started=status.started,
        preload=status.preload,
        cpu=cpu,
        rss=used.rss,
        pss=used.pss,
        own=processes.usage[status.pid].own if status.pid in processes.usage else 0,
        workloads=status.workloads,
        last_minute=status.last_minute,
        crashes=status.crashes,
        idle=round(status.idle, 1),
        idle_limit=status.idle_limit,
        children=tuple(_child_row(child, processes, moment) for child in status.children),
    )


def _child_row(child: Workload, processes: ProcessTable, moment: float) -> ChildRow:
    used = processes.tree(child.pid)
    seconds = round(max(0.0, moment - child.started), 1)
    return ChildRow(child.pid, child.kind, child.name, seconds, used.rss, used.pss)


def by_environment(rows: Iterable[ServerRow]) -> tuple[ServerRow, ...]:
    """Rows by environment, the oldest server of each first; those without a name last."""
    return tuple(
        sorted(rows, key=lambda row: (row.environment is None, row.environment or "", row.started or 0.0))
    )


def budget_of(statuses: Iterable[Status]) -> int | None:
    """What all servers may have together, as the youngest knows it; None where that is not limited."""
    youngest = max(statuses, key=attrgetter("started"), default=None)
    return (youngest and youngest.budget) or None


def total(rows: Iterable[ServerRow], budget: int | None = None) -> Total:
    """The sum of all that answer, and what it may be."""
    answering = [row for row in rows if not row.problem]
    used = sum((Usage(row.rss or 0, row.pss) for row in answering), Usage())
    cpus = [row.cpu for row in answering if row.cpu is not None]
    return Total(
        servers=len(answering),
        children=sum(len(row.children) for row in answering),
        cpu=round(sum(cpus), 1) if cpus else None,
        rss=used.rss,
        pss=used.pss,
        own=sum(row.own or 0 for row in answering),
        budget=budget,
        workloads=sum(row.workloads or 0 for row in answering),
        last_minute=sum(row.last_minute or 0 for row in answering),
        crashes=sum(row.crashes or 0 for row in answering),
    )
