"""The beats of a host's components: each leaves a file in the run folder whenever its work has gone round.

The moment of a beat is one of the monotonic clock (CLOCK_MONOTONIC), which all processes of a boot share.
"""

from __future__ import annotations

import contextlib
import os
import time

from envman.launch.run_folder import run_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

SUFFIX = ".beat"
VERSION = 1
MOST = 16_000_000
"""Bytes of a file; ten thousand bundles have a tenth of it."""


class Beat:
    """One component's last: `moment` by the monotonic clock, the seconds in which another one should come,
    and when each bundle's last parse ended.
    """

    __slots__ = ("component", "interval", "moment", "parses", "pid")

    def __init__(self, component: str, pid: int, said: Mapping[str, Any]) -> None:
        self.component = component
        self.pid = pid
        self.moment = _moment(said["moment"])
        self.interval = _finite(said["interval"])
        self.parses = {_plain(bundle): _moment(moment) for bundle, moment in said["parses"].items()}


def leave_beat(component: str, interval: float, parses: Mapping[str, float]) -> None:
    """Write down that this process's work goes on; raises OSError, ResolveError."""
    import json

    pid = os.getpid()
    content = {
        **{"version": VERSION, "component": component, "pid": pid, "began": began(pid)},
        **{"moment": time.monotonic(), "interval": interval, "parses": dict(parses)},
    }
    path = f"{run_folder()}/{component}-{pid}{SUFFIX}"
    # workloads may have the same user: nothing that they put there is followed or waited for
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{path}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(f"{path}.new", flags, 0o600), "w", encoding="utf-8") as stream:
        json.dump(content, stream)
    os.replace(f"{path}.new", path)


def forget_the_dead() -> None:
    """Remove what components have left that run no more; raises OSError, ResolveError."""
    folder = run_folder()
    for path, beat in _found(folder):
        if beat is None:
            _remove(path)


def living(component: str) -> list[Beat]:
    """The last beats of those components of a name that run; raises OSError, ResolveError."""
    beats = (beat for _, beat in _found(run_folder(make=False)))
    return [beat for beat in beats if beat is not None and beat.component == component]


def began(pid: int) -> int:
    """When a process began, in clock ticks since the boot (proc(5)); -1 where there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            return int(stream.read().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return -1


def _found(folder: str) -> Iterator[tuple[str, Beat | None]]:
    """The files of beats, each with its beat, or None where its component runs no more."""
    import json

    for name in sorted(os.listdir(folder)):
        if not name.endswith(SUFFIX):
            continue
        path = f"{folder}/{name}"
        try:
            said = json.loads(_read(path))
            beat = Beat(_plain(said["component"]), int(said["pid"]), said)
            alive = said["version"] == VERSION and 0 <= said["began"] == began(beat.pid)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
            yield path, None
            continue
        yield path, beat if alive else None


def _finite(value: Any) -> float:
    """A number as one; raises ValueError for one that is none."""
    number = float(value)
    if not 0 <= number < float("inf"):
        raise ValueError(value)
    return number


def _moment(value: Any) -> float:
    """A moment that has been; raises ValueError."""
    number = _finite(value)
    if number > time.monotonic():
        raise ValueError(value)
    return number


def _plain(text: Any) -> str:
    """Text that does nothing to a terminal: whoever has the components' user may have written it."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))


def _read(path: str) -> bytes:
    """A file of the folder, in which workloads with the components' user can put anything; raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        return os.read(descriptor, MOST)
    finally:
        os.close(descriptor)


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError, IsADirectoryError, PermissionError):
        os.unlink(path)
