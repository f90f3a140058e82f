"""Run what came with packages without the builder's rights: import checks, commands, whatever these start.

Where bubblewrap can work they run in a sandbox: every file is read-only, and other environments, the caches,
the builder's own files, the network and all other processes are not there. Where the builder is root they run
as the spec's user, else as nobody, in the sandbox or without one.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import envman
from envman.confine.step import Identity, Refused, command, identity
from envman.system.child_process import Finished
from envman.system.processes import Processes
from envman.system.sandbox import PROGRAM as BUBBLEWRAP

NOBODY = "nobody"
_APART = ("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-net", "--unshare-cgroup-try")
_PRIVATE = ("/home", "/root", "/run", "/var/tmp")  # noqa: S108  # they are hidden
_SCRATCH = ("/tmp", "/dev/shm")  # noqa: S108  # each guest has its own
_TRIAL = ("-I", "-S", "-c", "import os, sys; os.listdir(sys.argv[1])")
_PATIENCE = 60.0


class GuestRights(str, Enum):
    """With whose rights what came with packages runs."""

    SANDBOXED = "in a sandbox"
    ANOTHERS = "as another user"
    BUILDERS = "with the builder's rights"


@dataclass(frozen=True)
class Guest:
    """What is tried out: the generation in a folder, made from an interpreter; `environment` names it.

    `user` and `group` are the spec's, None where it names none. `hidden` are folders that are not there for
    it, whatever else is: the root folder, the caches. `shown` are files that are there all the same.
    """

    environment: str
    folder: str
    interpreter: str
    user: str | None = None
    group: str | None = None
    hidden: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Quarantine:
    """What runs a guest's programs, and with whose rights; `why` says why not with fewer."""

    processes: Processes
    rights: GuestRights
    why: tuple[str, ...] = ()


def quarantine(guest: Guest) -> Quarantine:
    """As far apart as this machine can keep a guest; each way is tried with a program that nobody brought."""
    other = _other_user(guest) if os.geteuid() == 0 else None
    why: list[str] = []
    for rights, lacks in (
        (GuestRights.SANDBOXED, "" if shutil.which(BUBBLEWRAP) else "bubblewrap is not installed"),
        (GuestRights.ANOTHERS, "" if other else "this user can't become another one"),
    ):
        processes = GuestProcesses(guest, rights, other)
        if problem := lacks or processes.problem():
            why.append(problem)
        else:
            return Quarantine(processes, rights, tuple(why))
    return Quarantine(GuestProcesses(guest, GuestRights.BUILDERS), GuestRights.BUILDERS, tuple(why))


class GuestProcesses(Processes):
    """Runs programs of a guest's with certain rights; those of another user where there is one (`other`)."""

    def __init__(self, guest: Guest, rights: GuestRights, other: Identity | None = None) -> None:
        super().__init__()
        self._guest = guest
        self._rights = rights
        self.other = other

    def run(  # as the processes that it stands in for
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: str,
        held: Sequence[int] = (),  # noqa: ARG002
        on_line: Callable[[str], None] | None = None,
        *,
        timeout: float | None = None,
    ) -> Finished:
        """Run a program to its end, as `Processes.run` does, with an empty HOME that is removed after it.

        It inherits no descriptor: whose lock it had, it could give up. A program that is not there ends
        with 127.
        """
        if self._rights is GuestRights.BUILDERS:
            return super().run(command, environment, folder, (), on_line, timeout=timeout)
        with tempfile.TemporaryDirectory(prefix="envman-guest-", ignore_cleanup_errors=True) as scratch:
            home = scratch
            words: list[str] = []
            if self._rights is GuestRights.SANDBOXED:
                home = _SCRATCH[0]
                words = [*self._bubblewrap(scratch), "--chdir", folder, "--"]
            elif self.other:
                os.chown(scratch, self.other.uid, self.other.gid)
            words += [*self._as_other_user(), "/usr/bin/env", f"HOME={home}", f"TMPDIR={home}", *command]
            return super().run(words, environment, folder, (), on_line, timeout=timeout)

    def problem(self) -> str:
        """What keeps the base interpreter from reading the guest's folder; empty where nothing does."""
        trial = [self._guest.interpreter, *_TRIAL, self._guest.folder]
        finished = self.run(trial, {"PATH": os.defpath}, self._guest.folder, timeout=_PATIENCE)
        if finished.exit_code == 0:
            return ""
        said = (finished.stderr.strip() or f"it ended with {finished.exit_code}").splitlines()[-1]
        return f"{self._rights.value}: {said}"

    def _as_other_user(self) -> list[str]:
        if self.other is None:
            return []
        who = str(self.other.uid), str(self.other.gid)
        return command(_real(sys.executable), self._guest.environment, who, (), {})

    def _bubblewrap(self, scratch: str) -> Iterator[str]:
        hidden = sorted({*_hidden(self._guest.hidden)})
        yield from (BUBBLEWRAP, "--die-with-parent", *_APART, "--cap-drop", "ALL")
        if self.other:
            yield from ("--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID")
        yield from ("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc")
        for folder in _SCRATCH:
            place = Path(f"{scratch}{folder}")
            place.mkdir(parents=True)
            place.chmod(0o1777)  # below a folder of the builder's, which nobody else can enter
            yield from ("--bind", str(place), folder)
        for folder in hidden:
            yield from ("--tmpfs", folder)
        yield from _shown(self._wanted(), (*hidden, *_SCRATCH))
        for folder in hidden:
            yield from ("--remount-ro", folder)

    def _wanted(self) -> Iterator[str]:
        """What is there for the guest, wherever it lies."""
        yield self._guest.folder
        yield from self._guest.shown
        yield str(Path(envman.__file__).parent)
        for interpreter in (self._guest.interpreter, sys.executable):
            yield str(Path(_real(interpreter)).parents[1])
        yield self._guest.interpreter


def _real(path: str) -> str:
    return os.path.realpath(path)


def _other_user(guest: Guest) -> Identity | None:
    """Whom a guest runs as: its spec's user, where this machine has it, else nobody."""
    for user, group in ((guest.user or NOBODY, guest.group or ""), (NOBODY, ""), ("65534", "65534")):
        try:
            return identity(user, group)
        except Refused:
            continue
    return None


def _hidden(folders: Iterable[str]) -> Iterator[str]:
    """Folders that are not there for a guest, as they really are; those that there are."""
    home = os.environ.get("HOME", "")
    for folder in (*_PRIVATE, home, *folders):
        real = _real(folder) if folder else "/"
        if real != "/" and Path(real).is_dir():
            yield real


def _shown(paths: Iterable[str], hidden: Iterable[str]) -> Iterator[str]:
    """What brings files back that lie in hidden folders: mounted where they really are, linked elsewhere."""
    places = tuple(f"{folder}/" for folder in hidden)
    mounted: tuple[str, ...] = ()
    for path in sorted(set(paths), key=len):
        real = _real(path)
        if real.startswith(places) and not f"{real}/".startswith(mounted):
            mounted += (f"{real}/",)
            yield from _way_to(real, places)
            yield from ("--ro-bind", real, real)
        if path != real and path.startswith(places) and not path.startswith(mounted):
            yield from _way_to(path, places)
            yield from ("--symlink", real, path)


def _way_to(path: str, places: tuple[str, ...]) -> Iterator[str]:
    """Folders down to a path that anybody may enter: those that bubblewrap makes unasked are its user's."""
    for above in reversed(Path(path).parents):
        if f"{above}/".startswith(places):
            yield from ("--dir", str(above))
