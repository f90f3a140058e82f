"""Run programs in an unpacked image, without a daemon and without being root: through bubblewrap.

Commands are given with this machine's paths. A path below a mount is named by what it is inside, in
arguments, variables and working folders alike.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from envman.errors import ImageError, Problem
from envman.system.beneath import place_in_root
from envman.system.child_process import Finished
from envman.system.processes import Processes

PROGRAM = "bwrap"
INSIDE = "/.envman"
"""Where this machine's files are mounted; never part of an image."""

HOME = f"{INSIDE}/home"

_OWN = (("--dev", "/dev"), ("--proc", "/proc"), ("--tmpfs", "/tmp"), ("--tmpfs", INSIDE))  # noqa: S108
_NETWORK = ("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf")
_INHERITED = ("UV_", "PIP_", "SSL_", "http_", "https_", "all_", "no_", "HTTP_", "HTTPS_", "ALL_", "NO_")
"""How the names of those variables begin that tell where files come from and how they are reached."""


@dataclass(frozen=True)
class Mount:
    """A file or folder of this machine, and its path inside."""

    source: str
    target: str
    writable: bool = False


class Sandbox(Processes):
    """Runs children with an unpacked image as their root, read-only but for the mounts; with the network.

    `environ` are the variables of the image's configuration. Of this machine's, a child gets those that say
    where files come from, and those that the caller of `run` has added or changed. `further` are more of
    bubblewrap's options.
    """

    def __init__(
        self, root: Path, environ: Mapping[str, str], mounts: Sequence[Mount], further: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self._further = further
        self._covered: list[str] = []
        self._root = root
        self._environ = environ
        self._mounts = sorted(mounts, key=lambda mount: -len(mount.source))  # the most particular path first

    def seen(self, path: str) -> str:
        """A path of this machine as it is inside."""
        for mount in self._mounts:
            if path == mount.source or path.startswith(f"{mount.source}/"):
                return mount.target + path[len(mount.source) :]
        return path

    def outside(self, path: str) -> str:
        """A path that is seen inside, as it is on this machine."""
        for mount in sorted(self._mounts, key=lambda one: -len(one.target)):
            if path == mount.target or path.startswith(f"{mount.target}/"):
                return mount.source + path[len(mount.target) :]
        return path

    def showing(self, paths: Iterable[str], writable: Iterable[str] = (), network: bool = False) -> Sandbox:
        """The same with these alone mounted, where they are; read-only but for those that are `writable`."""
        mounts = [Mount(path, self.seen(path)) for path in paths]
        mounts += [Mount(path, self.seen(path), writable=True) for path in writable]
        shown = Sandbox(self._root, self._environ, mounts, () if network else ("--unshare-net",))
        shown._covered = [mount.target for mount in self._mounts if mount.writable]  # else made in the image
        return shown

    def run(  # as the processes that it stands in for
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: str,
        held: Sequence[int] = (),
        on_line: Callable[[str], None] | None = None,
        *,
        timeout: float | None = None,
    ) -> Finished:
        """Run a program inside to its end, as `Processes.run` does outside. Raises ImageError, too."""
        mounts = list(self._mounts)
        where = self.seen(folder)
        if where == folder and folder != "/":
            where = f"{INSIDE}/work"
            mounts.append(Mount(folder, where, writable=True))
        variables = _options_file(self._variables(environment))
        words = [
            program(),
            *("--args", str(variables)),
            "--die-with-parent",
            "--unshare-pid",
            "--unshare-ipc",
            *("--cap-drop", "ALL"),  # root's programs would have all rights, and get out by a mount
            *self._further,
            "--bind",
            str(self._root),
            "/",
        ]
        for option, path in _OWN:
            words += [option, self._place(path)]
        words += ["--dir", self._place(HOME)]
        for path in self._covered:
            words += ["--tmpfs", self._place(path)]
        mounts += [Mount(os.path.realpath(path), path) for path in _NETWORK if Path(path).exists()]
        for mount in sorted(mounts, key=lambda one: one.target):
            words += ["--bind" if mount.writable else "--ro-bind", mount.source, self._place(mount.target)]
        words += ["--remount-ro", "/", "--chdir", where, "--", *(self.seen(word) for word in command)]
        try:
            return super().run(words, {}, "/", (*held, variables), on_line, timeout=timeout)
        finally:
            os.close(variables)

    def _place(self, path: str) -> str:
        """Where a mount goes, without a link on the way: bubblewrap makes what is missing of its path, and
        would follow an image's link to where this machine's files are. Raises ImageError.
        """
        first = INSIDE if path.startswith(f"{INSIDE}/") else path  # below it there is nothing of the image
        try:
            return f"/{place_in_root(str(self._root), first)}{path[len(first) :]}"
        except OSError as error:
            what = f"nothing can be mounted at {path}: {error.strerror}"
            raise ImageError(Problem(str(self._root), what, "Choose another base.")) from None

    def _variables(self, environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """The variables of a child."""
        yield from ((name, value) for name, value in self._environ.items() if name not in environment)
        for name, value in environment.items():
            added = os.environ.get(name) != value
            if name == "PATH":
                own = [self.seen(part) for part in value.split(os.pathsep) if self.seen(part) != part]
                yield name, os.pathsep.join([*own, self._environ.get(name, os.defpath)])
            elif name == "HOME":
                yield name, HOME
            elif added or name.startswith(_INHERITED):
                yield name, self.seen(value)
            elif name in self._environ:
                yield name, self._environ[name]


def _options_file(variables: Iterable[tuple[str, str]]) -> int:
    """A new descriptor of a file in memory with bubblewrap's options for a child's variables.

    They are none of bubblewrap's own: its loader would obey an image's LD_PRELOAD, with the builder's rights.
    And a password is on no command line. The caller closes it.
    """
    words = ["--clearenv", *(word for name, value in variables for word in ("--setenv", name, value))]
    descriptor = os.memfd_create("options")
    with open(descriptor, "wb", closefd=False) as stream:
        stream.write(b"".join(os.fsencode(word) + b"\0" for word in words))
        stream.flush()
        stream.seek(0)
    return descriptor


def program() -> str:
    """Where bubblewrap is; raises ImageError where it is not."""
    found = shutil.which(PROGRAM)
    if found is None:
        remedy = "Install it (apt-get install bubblewrap), or choose another --engine."
        raise ImageError(Problem(PROGRAM, "bubblewrap is not installed", remedy))
    return found
