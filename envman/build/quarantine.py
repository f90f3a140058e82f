"""Run what came with packages without the builder's rights: builds from source, import checks, commands.

Where bubblewrap can work they run in a sandbox: of the machine's files programs, libraries and settings alone
are there, read-only; other environments, the caches, the builder's folders, the network and all other
processes are not. Where the builder is root they run as nobody, in the sandbox or without one.

Neither bubblewrap nor the step behind it has a variable of the guest's, as the loader would obey LD_PRELOAD
there, with the builder's rights; and both are known by their paths, not looked for among what packages
brought.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import envman
from envman.confine.reaper import SCRIPT as REAPER
from envman.confine.step import Identity, Refused, command, identity, variables_file
from envman.errors import BuildError, Problem
from envman.resolver.inherited import inherited
from envman.resolver.variables import child_environment
from envman.system.child_process import Finished
from envman.system.processes import Processes
from envman.system.sandbox import PROGRAM as BUBBLEWRAP

NOT_FOUND = 127
"""As a shell ends where there is no such program."""

_APART = ("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try")
_MACHINE = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/sys"),
    *("/nix/store", "/gnu/store"),
)
"""Where programs, libraries and their settings are."""

_RESOLVER = ("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf")
"""Links, at times, to where the machine keeps what changes."""

_SCRATCH = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108  # each guest has its own
_TRIAL = ("-I", "-S", "-c", "import os, sys; os.listdir(sys.argv[1])")
_PATIENCE = 60.0


class GuestRights(str, Enum):
    """With whose rights what came with packages runs."""

    SANDBOXED = "in a sandbox"
    ANOTHERS = "as another user"
    BUILDERS = "with the builder's rights"


@dataclass(frozen=True)
class Guest:
    """What is tried out: a virtual environment in a folder, made from an interpreter; `environment` names it.

    `hidden` are folders and files that are not there for it, wherever they lie: the root folder, the caches.
    `writable` are folders that it may write to: `Quarantine.give` makes them its own. `network`: it has the
    builder's.
    """

    environment: str
    folder: str
    interpreter: str
    hidden: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    network: bool = False


@dataclass(frozen=True)
class Quarantine:
    """What runs a guest's programs, and with whose rights; `why` says why not with fewer.

    `other` is the user that it runs as where that is not the builder.
    """

    processes: Processes
    rights: GuestRights
    why: tuple[str, ...] = ()
    other: Identity | None = None

    def give(self, folder: Path) -> None:
        """Have the guest own a folder with all that is in it, while none of it is; raises OSError."""
        if self.other is None:
            return
        for parent, _, files in os.walk(folder):  # which follows no link
            for path in (parent, *(f"{parent}/{name}" for name in files)):
                os.chown(path, self.other.uid, self.other.gid, follow_symlinks=False)

    def let_in(self, folder: Path) -> None:
        """Have the guest enter a folder of the builder's alone, where no sandbox shows it what is below;
        raises OSError.
        """
        if self.rights is GuestRights.ANOTHERS and self.other is not None:
            os.chown(folder, -1, self.other.gid)
            folder.chmod(0o710)

    def refuse_if_not_apart(self) -> None:
        """Raises BuildError where the guest would not run in a sandbox."""
        if self.rights is not GuestRights.SANDBOXED:
            what = f"no sandbox can be had for what packages run: {'; '.join(self.why)}"
            raise BuildError(Problem("sandbox-required", what, SANDBOX_REMEDY))


SANDBOX_REMEDY = (
    "Install bubblewrap 0.5 or newer (apt-get install bubblewrap), and allow user namespaces; or let root "
    "build, with an interpreter that everybody may run."
)


def quarantine(guest: Guest, variables: Mapping[str, str]) -> Quarantine:
    """As far apart as this machine can keep a guest; each way is tried with a program that nobody brought.

    `variables` are those that the guest will have. Raises BuildError where no way works, the last one
    neither: then something else is wrong.
    """
    bubblewrap = shutil.which(BUBBLEWRAP)
    nobody = _nobody() if os.geteuid() == 0 else None
    why = [] if bubblewrap else ["bubblewrap is not installed"]
    ways: list[tuple[GuestRights, Identity | None]] = []
    if bubblewrap:
        ways += [(GuestRights.SANDBOXED, nobody)] if nobody else []
        ways.append((GuestRights.SANDBOXED, None))  # root's, too, without capabilities
    if nobody:
        ways.append((GuestRights.ANOTHERS, nobody))
    for rights, other in (*ways, (GuestRights.BUILDERS, None)):
        processes = GuestProcesses(guest, rights, other, bubblewrap or "")
        if problem := processes.problem(variables):
            why.append(problem)
        else:
            return Quarantine(processes, rights, tuple(why), other)
    remedy = "Find out what keeps the base interpreter from running; then build again."
    raise BuildError(Problem("checks", f"nothing can be tried out: {'; '.join(why)}", remedy))


class GuestProcesses(Processes):
    """Runs programs of a guest's with certain rights; those of another user where there is one (`other`).

    `bubblewrap` is its program.
    """

    def __init__(
        self, guest: Guest, rights: GuestRights, other: Identity | None = None, bubblewrap: str = ""
    ) -> None:
        super().__init__()
        self._guest = guest
        self._rights = rights
        self._bubblewrap_program = bubblewrap
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

        It inherits no lock: whoever has one can give it up. A program that is not there ends with 127.
        """
        if self._rights is GuestRights.BUILDERS:
            return super().run(command, environment, folder, (), on_line, timeout=timeout)
        path = environment.get("PATH", os.defpath)
        program = command[0] if "/" in command[0] else shutil.which(command[0], path=path)
        if program is None:
            return Finished(NOT_FOUND, "", f"{command[0]}: command not found")
        with self._home() as home, os.fdopen(variables_file(environment), "rb") as described:
            words = [*self._step(home, described.fileno()), program, *command[1:]]
            if self._rights is GuestRights.SANDBOXED:
                words = [*self._bubblewrap(), "--chdir", folder, "--", *words]
            else:
                words = [_real(sys.executable), "-I", "-S", REAPER, *words]
            return super().run(
                words, {"PATH": os.defpath}, folder, (described.fileno(),), on_line, timeout=timeout
            )

    def problem(self, variables: Mapping[str, str]) -> str:
        """What keeps the base interpreter from reading the guest's folder; empty where nothing does."""
        trial = [self._guest.interpreter, *_TRIAL, self._guest.folder]
        try:
            finished = self.run(trial, variables, self._guest.folder, timeout=_PATIENCE)
        except OSError as error:
            return f"{self._rights.value}: {error}"
        if finished.exit_code == 0:
            return ""
        said = (finished.stderr.strip() or f"it ended with {finished.exit_code}").splitlines()[-1]
        return f"{self._rights.value}: {said}"

    @contextlib.contextmanager
    def _home(self) -> Iterator[str]:
        """Its HOME, and the folder for its temporary files."""
        if self._rights is GuestRights.SANDBOXED:
            yield _SCRATCH[0]
            return
        folder = tempfile.mkdtemp(prefix="envman-guest-")
        try:
            if self.other:
                os.chown(folder, self.other.uid, self.other.gid)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _step(self, home: str, variables: int) -> list[str]:
        who = (str(self.other.uid), str(self.other.gid)) if self.other else None
        *words, end = command(_real(sys.executable), self._guest.environment, who, (), {}, variables)
        return [*words, "--guest", home, end]

    def _bubblewrap(self) -> Iterator[str]:
        yield from (self._bubblewrap_program, "--die-with-parent", *_APART, "--cap-drop", "ALL")
        if not self._guest.network:
            yield "--unshare-net"
        if self.other:
            yield from ("--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID")
        for folder in _MACHINE:
            if Path(folder).is_symlink():
                yield from ("--symlink", str(Path(folder).readlink()), folder)
            elif Path(folder).is_dir():
                yield from ("--ro-bind", folder, folder)
        yield from ("--dev", "/dev", "--proc", "/proc")
        for folder in _SCRATCH:
            yield from ("--perms", "1777", "--tmpfs", folder)
        paths = sorted({*_hidden(self._guest.hidden)})
        hidden = [path for path in paths if Path(path).is_dir()]
        for path in paths:
            if path in hidden:
                yield from ("--tmpfs", path)
            elif not path.startswith(tuple(f"{folder}/" for folder in hidden)):
                yield from ("--ro-bind", os.devnull, path)
        yield from _shown(self._wanted(hidden), hidden, self._guest.writable)
        for folder in hidden:
            yield from ("--remount-ro", folder)
        yield from ("--remount-ro", "/")

    def _wanted(self, hidden: Sequence[str]) -> Iterator[str]:
        """What is there for the guest, wherever it lies."""
        yield self._guest.folder
        if self._guest.network:
            yield from (_real(file) for file in _RESOLVER if Path(file).exists())
        yield str(Path(envman.__file__).parent)
        yield self._guest.interpreter
        for interpreter in (self._guest.interpreter, sys.executable):
            yield from _installation(_real(interpreter), hidden)


def guest_variables(bin_folder: str, keep_out: Iterable[str], variables: Mapping[str, str]) -> dict[str, str]:
    """What the machine sets for every program, and `variables`: no secret of the builder's."""
    inherits = {
        name: value
        for name, value in inherited(os.environ, (), ()).items()
        if not name.startswith("AIRFLOW_")  # which a component hands on, and a build is none
    }
    return child_environment(inherits, bin_folder, keep_out, variables)


def _real(path: str) -> str:
    return os.path.realpath(path)


def _nobody() -> Identity | None:
    """The user who owns nothing. A spec's own user is the team's to choose, with all that it may read."""
    for user, group in (("nobody", ""), ("65534", "65534")):
        with contextlib.suppress(Refused):
            return identity(user, group)
    return None


def _installation(interpreter: str, hidden: Sequence[str]) -> Iterator[str]:
    """What a Python consists of: the folder that it was installed to, or its own files where that is more."""
    prefix = Path(interpreter).parent.parent
    if any(f"{folder}/".startswith(f"{prefix}/".replace("//", "/")) for folder in hidden):
        yield interpreter
        for pattern in ("python3*", "libpython3*"):
            yield from map(str, (prefix / "lib").glob(pattern))
    else:
        yield str(prefix)


def _hidden(paths: Iterable[str]) -> Iterator[str]:
    """Folders and files below those of the machine that are not there for a guest; those that there are."""
    account = ""
    with contextlib.suppress(KeyError):
        account = pwd.getpwuid(os.geteuid()).pw_dir
    for path in (os.environ.get("HOME", ""), account, str(Path.cwd()), tempfile.gettempdir(), *paths):
        real = _real(path) if path else "/"
        if Path(real).exists() and f"{real}/".startswith(tuple(f"{one}/" for one in _MACHINE)):
            yield real


def _shown(paths: Iterable[str], hidden: Iterable[str], writable: Iterable[str]) -> Iterator[str]:
    """What mounts files where they really are, and links to them from elsewhere, unless they are there; and
    the folders that a guest may write to.
    """
    visible = tuple(f"{folder}/" for folder in _MACHINE if not Path(folder).is_symlink())
    covered = tuple(f"{folder}/" for folder in hidden)
    mounted: tuple[str, ...] = ()

    def is_there(path: str) -> bool:
        if f"{path}/".startswith(mounted):
            return True
        return path.startswith(visible) and not path.startswith(covered)

    for path in sorted(set(paths), key=len):
        real = _real(path)
        if not is_there(real):
            mounted += (f"{real}/",)
            yield from _way_to(real, is_there)
            yield from ("--ro-bind", real, real)
        if path != real and not is_there(path):
            yield from _way_to(path, is_there)
            yield from ("--symlink", real, path)
    for path in writable:
        yield from _way_to(path, is_there)
        yield from ("--bind", path, path)


def _way_to(path: str, is_there: Callable[[str], bool]) -> Iterator[str]:
    """Folders down to a path that anybody may enter: those that bubblewrap makes unasked are its user's."""
    for above in reversed(Path(path).parents):
        if str(above) != "/" and not is_there(str(above)):
            yield from ("--dir", str(above))
