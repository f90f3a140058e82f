"""Hold all processes of an environment together to its limits: memory in bytes, cpu in processors, pids.

A limit is held by a cgroup `envman-ENVIRONMENT` below the component's own one: of version 2 where that has
the controller, else of version 1, each limit on its own. Where no cgroup can, an rlimit of each process holds
memory and pids; nothing but a cgroup holds cpu. Components of one cgroup (a container, a host without
systemd) share an environment's limits; components that are a unit or container each have them once each.

`step.py` is what puts a process there.
"""

from __future__ import annotations

import errno
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field

from envman.confine.cgroup_files import V2, Place, UnusableError, find, has_limit, make, set_limit
from envman.errors import EnvmanError, ExitCode, Problem

LIMITS = ("memory", "cpu", "pids")
"""The limits there are. Controllers of cgroups have the same names."""

RLIMIT, NONE = "rlimit", "none"
RLIMITS = {"memory": "AS", "pids": "NPROC"}

SMALLEST = {"memory": 1, "cpu": 0.01, "pids": 1}
"""What the kernel takes: a quota has at least 1000 microseconds."""

SELF = "/proc/self"


class ConfinementError(EnvmanError):
    """A limit that this host could hold can't be set."""

    exit_code = ExitCode.LAUNCH


@dataclass(frozen=True)
class Confinement:
    """How an environment's processes are held.

    `procs` are the files that a process has to write itself into, `rlimits` what it has to set, by the
    kernel's name without RLIMIT_ (AS in bytes, NPROC). `mechanisms` says what holds each limit; `reasons`,
    why no cgroup holds it, for those of which that is so.
    """

    procs: tuple[str, ...] = ()
    rlimits: Mapping[str, int] = field(default_factory=dict)
    mechanisms: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)


def prepare(
    environment: str, limits: Mapping[str, float], *, own_user: bool = False, proc: str = SELF
) -> Confinement:
    """Make an environment's cgroups, or bring them up to date; limits that are gone are lifted.

    `own_user`: its processes run as a user of their own, so that counting that user's processes makes sense.
    `proc` is the folder in /proc of the process below whose cgroups they are. Several components may call
    this at once. In version 2 the component's processes may be moved into a leaf of their cgroup. Raises
    ConfinementError.
    """
    _check(environment, limits)
    found = _Found(limits, own_user)
    name = f"envman-{environment}"
    for limit in LIMITS:
        try:
            place = find(limit, proc)
            if limit in limits:
                folder = make(place, limit, name)
                _set(environment, place, limit, limits[limit])
                found.cgroup(limit, place.version, folder)
            elif has_limit(place, limit, name):
                _set(environment, place, limit, None)
        except UnusableError as error:
            found.no_cgroup(limit, str(error))
    return found.confinement()


def _set(environment: str, place: Place, limit: str, value: float | None) -> None:
    try:
        set_limit(place, f"envman-{environment}", limit, value)
    except OSError as error:
        shown = "lifted" if value is None else f"set to {value:.12g}"
        what = f"its limit of {limit} can't be {shown}: {error.filename}: {error.strerror}"
        remedy = "Look at that file and at the same of the cgroups above."
        if error.errno == errno.EBUSY:
            what += ", as its processes use more than that"
            remedy = "Wait until they have ended, or end them; then it can be set."
        if error.errno == errno.ETIMEDOUT:
            remedy = "It is held for moments only: look at that process, or end it."
        raise ConfinementError(Problem(f"environment '{environment}'", what, remedy)) from None


def explain(limits: Mapping[str, float], *, own_user: bool = False, proc: str = SELF) -> Confinement:
    """What `prepare` would find, but for `procs`; makes and moves nothing."""
    found = _Found(limits, own_user)
    for limit in LIMITS:
        try:
            place = find(limit, proc)
            found.cgroup(limit, place.version, "")
        except UnusableError as error:
            found.no_cgroup(limit, str(error))
    return found.confinement()


def oom_kills(environment: str, proc: str = SELF) -> int:
    """How many of an environment's processes the kernel ended for want of memory, here; 0 where unknown."""
    file = _oom_file(environment, proc)
    try:
        with open(file, encoding="ascii") as stream:
            counts = dict(line.split() for line in stream)
        return int(counts["oom_kill"])
    except (OSError, KeyError, ValueError):
        return 0


@functools.cache
def _oom_file(environment: str, proc: str) -> str:
    """Looked for once: a component stays in its cgroup, or in the leaf of it, which counts as the same."""
    try:
        place = find("memory", proc)
    except UnusableError:
        return ""
    counts = "memory.events" if place.version == V2 else "memory.oom_control"
    return f"{place.below(f'envman-{environment}')}/{counts}"


class _Found:
    """What is found out for one limit after the other."""

    def __init__(self, limits: Mapping[str, float], own_user: bool) -> None:
        self._limits = limits
        self._own_user = own_user
        self._procs: dict[str, None] = {}
        self._rlimits: dict[str, int] = {}
        self._mechanisms: dict[str, str] = {}
        self._reasons: dict[str, str] = {}

    def cgroup(self, limit: str, version: str, folder: str) -> None:
        """A cgroup holds it."""
        if limit in self._limits:
            self._procs[f"{folder}/cgroup.procs"] = None
            self._mechanisms[limit] = version

    def no_cgroup(self, limit: str, why: str) -> None:
        """None does; take what there is instead."""
        if limit not in self._limits:
            return
        self._reasons[limit] = why
        if limit == "memory" or (limit == "pids" and self._own_user):
            self._rlimits[RLIMITS[limit]] = int(self._limits[limit])
            self._mechanisms[limit] = RLIMIT
        else:
            self._mechanisms[limit] = NONE

    def confinement(self) -> Confinement:
        """All of it."""
        return Confinement(tuple(self._procs), self._rlimits, self._mechanisms, self._reasons)


def _check(environment: str, limits: Mapping[str, float]) -> None:
    where = f"environment '{environment}'"
    if not environment or "/" in environment:
        raise ConfinementError(Problem(where, "can't be the name of a cgroup", "Rename it."))
    for name, value in limits.items():
        if name not in LIMITS:
            remedy = f"Known: {', '.join(LIMITS)}. Is this component's envman older than the table?"
            raise ConfinementError(Problem(where, f"the limit '{name}' is not known", remedy))
        if not SMALLEST[name] <= value < 2**62:
            remedy = f"Correct `{name}` in its limits, and build or publish it."
            raise ConfinementError(Problem(where, f"its limit of {name} can't be {value:g}", remedy))
