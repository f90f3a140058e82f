"""The kernel's cgroups: where the component's own ones are, and the files of the limits below them.

Nothing here knows what an environment is. `find` only looks; `make`, `enable` and `set_limit` change things.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from envman.launch.run_folder import LOCK_LIMIT, locked_within, run_folder
from envman.system.lock_holders import holder_text

V2, V1 = "cgroup v2", "cgroup v1"

COMPONENTS = "envman.components"
"""The leaf that a component's own processes go to in version 2. No environment's cgroup has such a name."""

PERIOD = 100_000
"""Microseconds over which a share of the processors is counted; the kernel's own default."""

FILES = {
    (V2, "memory"): "memory.max",
    (V2, "cpu"): "cpu.max",
    (V2, "pids"): "pids.max",
    (V1, "memory"): "memory.limit_in_bytes",
    (V1, "cpu"): "cpu.cfs_quota_us",
    (V1, "pids"): "pids.max",
}
"""The file of each limit; a limit is called as its controller is."""

_ATTEMPTS = 50
_UNITS = (".service", ".scope", ".slice")


class UnusableError(Exception):
    """No cgroup can be made for a limit; the text says why."""


@dataclass(frozen=True)
class Place:
    """A cgroup of the component's own, in the hierarchy that has a controller."""

    version: str
    folder: str

    def below(self, name: str) -> str:
        """The folder of a cgroup below it."""
        return f"{self.folder}/{name}"


def find(controller: str, proc: str) -> Place:
    """The component's cgroup in the hierarchy of a controller; raises UnusableError, and changes nothing."""
    own = _own_cgroups(proc)
    if "" in own:
        base = _visible("", own[""], proc)
        if base and controller in _words(f"{base}/cgroup.controllers"):
            _must_be_ours(base)
            return Place(V2, base)
    if controller in own:
        base = _visible(controller, own[controller], proc)
        if base is None:
            raise UnusableError(f"its cgroup v1 {own[controller]} is not mounted here")
        _must_be_writable(base)
        return Place(V1, base)
    raise UnusableError(f"no cgroup here has the controller {controller}")


def memory_limits(proc: str) -> Iterator[int]:
    """The limits, in bytes, of a process's cgroup and of those above it, as far as they can be seen here."""
    own = _own_cgroups(proc)
    for controller, version in (("", V2), ("memory", V1)):
        folder = _visible(controller, own[controller], proc) if controller in own else None
        while folder and os.path.isfile(f"{folder}/cgroup.procs"):
            file = f"{folder}/{FILES[version, 'memory']}"
            if os.path.isfile(file):  # version 2 has it where the cgroup above hands the controller on
                yield from (int(word) for word in _words(file) if word.isdecimal())
            folder = os.path.dirname(folder)


def _own_cgroups(proc: str) -> dict[str, str]:
    """Paths of a process's cgroups by controller; that of version 2 by ''."""
    own: dict[str, str] = {}
    for line in _lines(f"{proc}/cgroup"):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        own.update(dict.fromkeys(controllers.split(","), path.removesuffix(f"/{COMPONENTS}") or "/"))
    return own


def _visible(controller: str, path: str, proc: str) -> str | None:
    """The folder of a cgroup; None where it is not below a mount point, as in some containers."""
    for line in _lines(f"{proc}/mountinfo"):
        before, _, after = line.partition(" - ")
        root, point = before.split(" ")[3:5]
        kind, _, options = after.split(" ", 2)
        right = controller in options.split(",") if controller else True
        if kind == ("cgroup" if controller else "cgroup2") and right:
            root = root.rstrip("/")
            if f"{path}/".startswith(f"{root}/") and "/.." not in path:
                folder = (_unescaped(point) + path[len(root) :]).rstrip("/")
                if os.path.isdir(folder):
                    return folder
    return None


def _must_be_ours(base: str) -> None:
    """Refuse a cgroup of version 2 that belongs to somebody else.

    systemd takes controllers away again from a unit that it has not delegated: limits would be gone without
    a word.
    """
    _must_be_writable(base)
    for file in ("cgroup.subtree_control", "cgroup.procs"):
        _must_be_writable(f"{base}/{file}")
    if base.endswith(_UNITS) and not _is_delegated(base):
        raise UnusableError(f"systemd has not delegated {base}: its unit has no Delegate=yes")


def _is_delegated(base: str) -> bool:
    """By the mark that systemd sets, or as it gives the folder to the user of a unit that is not root's."""
    if os.stat(base).st_uid == os.geteuid() != 0:
        return True
    for name in ("user.delegate", "trusted.delegate"):
        try:
            if os.getxattr(base, name) == b"1":
                return True
        except OSError:
            continue
    return False


def _must_be_writable(path: str) -> None:
    if not os.access(path, os.W_OK):
        raise UnusableError(f"{path} can't be written")


# What is changed


def make(place: Place, controller: str, name: str) -> str:
    """A cgroup below a place, with a controller in it; raises UnusableError."""
    folder = place.below(name)
    try:
        if place.version == V2:
            enable(place.folder, controller)
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise UnusableError(f"{error.filename or folder}: {error.strerror}") from None
    if not has_limit(place, controller, name):
        raise UnusableError(f"{folder} has no {FILES[place.version, controller]}")
    return folder


def has_limit(place: Place, limit: str, name: str) -> bool:
    """Whether there is such a cgroup, with the file of a limit."""
    return os.path.exists(f"{place.below(name)}/{FILES[place.version, limit]}")


def enable(base: str, controller: str) -> None:
    """Give a controller of version 2 to the cgroups below one; raises OSError.

    A cgroup that gives controllers on must hold no process itself, unless it is the root. So its processes
    go to a leaf first, again and again, as they may start others meanwhile.
    """
    control = f"{base}/cgroup.subtree_control"
    if controller in _words(control):
        return
    for attempt in range(_ATTEMPTS):
        try:
            _write(control, f"+{controller}")
            return
        except OSError as error:
            if error.errno != errno.EBUSY or attempt == _ATTEMPTS - 1:
                raise
        _move_to_leaf(base)


def _move_to_leaf(base: str) -> None:
    leaf = f"{base}/{COMPONENTS}"
    os.makedirs(leaf, exist_ok=True)
    for pid in _lines(f"{base}/cgroup.procs"):
        try:
            _write(f"{leaf}/cgroup.procs", pid)
        except ProcessLookupError:  # it has ended
            continue


def set_limit(place: Place, name: str, limit: str, value: float | None) -> None:
    """Write a limit of a cgroup below a place, None for no limit; raises OSError.

    EBUSY: the processes in it use more than that. ETIMEDOUT: somebody holds the lock for too long.
    """
    write: Callable[[str, float | None], None] = {
        (V2, "memory"): _memory_v2,
        (V2, "cpu"): _cpu_v2,
        (V1, "memory"): _memory_v1,
        (V1, "cpu"): _cpu_v1,
    }.get((place.version, limit), _pids)
    with _alone(place.below(name)):
        write(place.below(name), value)


@contextmanager
def _alone(folder: str) -> Iterator[None]:
    """Several files make up one limit, and another component may write others at the same time.

    The lock is not on the cgroup's folder: a workload can read that, and could hold the lock for ever.
    """
    with open(f"{run_folder()}/{os.path.basename(folder)}.lock", "w", encoding="ascii") as lock:
        if not locked_within(lock.fileno(), LOCK_LIMIT):
            held = f"locked for {LOCK_LIMIT:.0f} s by {holder_text(lock.fileno())}"
            raise TimeoutError(errno.ETIMEDOUT, held, lock.name)
        yield


def _pids(folder: str, value: float | None) -> None:
    _write(f"{folder}/pids.max", "max" if value is None else str(int(value)))


def _memory_v2(folder: str, value: float | None) -> None:
    """Without swap, which would let an environment go on and slow the whole host down."""
    _write(f"{folder}/memory.max", "max" if value is None else str(int(value)))
    _write_if_there(f"{folder}/memory.swap.max", "max" if value is None else "0")


def _cpu_v2(folder: str, value: float | None) -> None:
    _write(f"{folder}/cpu.max", f"max {PERIOD}" if value is None else f"{round(value * PERIOD)} {PERIOD}")


def _memory_v1(folder: str, value: float | None) -> None:
    """Memory with swap must never be less than memory alone, whichever way the limit goes."""
    memory, both = f"{folder}/memory.limit_in_bytes", f"{folder}/memory.memsw.limit_in_bytes"
    text = "-1" if value is None else str(int(value))
    try:
        _write(memory, text)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        _write_if_there(both, "-1")
        _write(memory, text)
    _write_if_there(both, text)


def _cpu_v1(folder: str, value: float | None) -> None:
    quota = f"{folder}/cpu.cfs_quota_us"
    if value is None:
        _write(quota, "-1")
        return
    _write(f"{folder}/cpu.cfs_period_us", str(PERIOD))
    try:
        _write(quota, str(round(value * PERIOD)))
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        _write(quota, "-1")  # a cgroup above has less: that holds it


def _write_if_there(path: str, text: str) -> None:
    if os.path.exists(path):
        _write(path, text)


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC)
    try:
        os.write(descriptor, text.encode())
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0), path) from None
    finally:
        os.close(descriptor)


def _lines(path: str) -> list[str]:
    """The lines of a file of the kernel's; none where it can't be read."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read().splitlines()
    except OSError:
        return []


def _words(path: str) -> list[str]:
    return " ".join(_lines(path)).split()


def _unescaped(path: str) -> str:
    """A path as /proc writes it, with spaces and line feeds as octal numbers."""
    first, *rest = path.split("\\")
    return first + "".join(chr(int(part[:3], 8)) + part[3:] for part in rest)
