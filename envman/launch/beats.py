"""The beats of a host's components: each leaves a file in the run folder whenever its work has gone round.

The moment of a beat is one of the monotonic clock (CLOCK_MONOTONIC), which all processes of a boot share.
"""

from __future__ import annotations

import os
import time

from envman.launch.run_folder import run_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SUFFIX = ".beat"
VERSION = 1
MOST = 1_000_000
"""Bytes of a file; a thousand bundles have a tenth of it."""


class Beat:
    """One component's last: `moment` by the monotonic clock, `parses` when each bundle's last parse ended."""

    __slots__ = ("component", "moment", "parses", "pid")

    def __init__(self, component: str, pid: int, moment: float, parses: Mapping[str, float]) -> None:
        self.component = component
        self.pid = pid
        self.moment = moment
        self.parses = parses


def leave_beat(component: str, parses: Mapping[str, float]) -> None:
    """Write down that this process's work goes on; raises OSError, ResolveError."""
    import json

    pid = os.getpid()
    content = {
        **{"version": VERSION, "component": component, "pid": pid, "began": began(pid)},
        **{"moment": time.monotonic(), "parses": dict(parses)},
    }
    path = f"{run_folder()}/{component}-{pid}{SUFFIX}"
    with open(f"{path}.new", "w", encoding="utf-8") as stream:
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
    beats = (beat for _, beat in _found(run_folder()))
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
            parses = {str(bundle): float(moment) for bundle, moment in said["parses"].items()}
            beat = Beat(str(said["component"]), int(said["pid"]), float(said["moment"]), parses)
            alive = said["version"] == VERSION and began(beat.pid) == said["began"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
            yield path, None
            continue
        yield path, beat if alive else None


def _read(path: str) -> bytes:
    """A file of the folder, in which workloads with the components' user can put anything; raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        return os.read(descriptor, MOST)
    finally:
        os.close(descriptor)


def _remove(path: str) -> None:
    import contextlib

    with contextlib.suppress(FileNotFoundError, IsADirectoryError, PermissionError):
        os.unlink(path)
