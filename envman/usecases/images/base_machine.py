"""A base image as the machine that environments are built for: bubblewrap over its unpacked files."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version
from uv import find_uv_bin

import envman
from envman.build.interpreters import Interpreters
from envman.build.quarantine import Guest, GuestRights, Quarantine, quarantine
from envman.build.venv import portable_virtualenv, unfit_for, virtualenv_version
from envman.errors import BuildError, ImageError, Problem
from envman.inside.protocol import SCRIPTS
from envman.oci.bases import Base
from envman.spec.project import Environment
from envman.store.manifest import BaseInterpreter, parse_interpreter
from envman.system.beneath import names_in_root
from envman.system.files import mark_used
from envman.system.processes import Processes
from envman.system.sandbox import HOME, INSIDE, Mount, Sandbox
from envman.uv.indexes import local_folders, uv_configurations
from envman.uv.runner import Source, Uv

ROOT = "/venv"
"""Where the environments of an image are, whatever base it has."""

OWN_CACHE = ".cache"
"""Below a base's root folder: what is cached for it alone."""

LEAST_PYTHON = "3.10"

VIRTUALENV = f"{INSIDE}/virtualenv"

PYTHON_FACTS = f"{SCRIPTS}/python_facts.py"

_PYTHON = re.compile(r"python3?(\.[0-9]+)?")


@dataclass(frozen=True)
class BaseMachine:
    """A base image with its interpreters, and what runs programs so that `root` is its `/venv`.

    `virtualenv_folder` is what an interpreter runs as virtualenv, by the path that it sees. `cache` has the
    bytecode that its interpreters compile, and nobody else's: a base's Python may write whatever it likes.
    """

    base: Base
    root: Path
    processes: Processes
    found: Interpreters
    virtualenv_folder: str
    cache: Path
    links: bool

    def choose(self, environment: Environment) -> BaseInterpreter:
        """The newest interpreter that the environment admits; raises BuildError naming those there are."""
        return self.found.choose(environment.name, environment.requires_python)

    def is_same(self, interpreter: BaseInterpreter) -> bool:
        """Whether the base has an interpreter just as it was chosen once."""
        return interpreter in self.found.found

    def virtualenv(self, interpreter: BaseInterpreter) -> Sequence[str]:
        """The words that start virtualenv, in the interpreter itself; raises BuildError where that is too old
        for what is installed beside envman.
        """
        if unfit := unfit_for(interpreter.version):
            what = f"can't be run by the base's {interpreter.describe()}: {', '.join(unfit)}"
            minor = ".".join(interpreter.version.split(".")[:2])
            remedy = f"Install older ones beside envman, such as an installation for Python {minor} gets."
            raise BuildError(Problem("virtualenv", what, remedy))
        return interpreter.executable, self.virtualenv_folder

    def quarantine(self, guest: Guest, variables: Mapping[str, str]) -> Quarantine:
        """What runs programs of a generation that is being built, kept as far apart as can be."""
        if isinstance(self.processes, Sandbox):
            shown = (guest.folder, SCRIPTS)
            inside = self.processes.showing(shown, guest.writable, guest.network)
            return Quarantine(inside, GuestRights.SANDBOXED)
        return quarantine(guest, variables)

    def newest(self) -> BaseInterpreter:
        """The interpreter that the launcher runs in; raises ImageError where none is new enough."""
        newest = max(self.found.found, key=lambda one: Version(one.version))
        if Version(newest.version) < Version(LEAST_PYTHON):
            what = f"its newest Python is {newest.version}, and envman's launcher needs {LEAST_PYTHON}"
            raise ImageError(Problem(self.base.name, what, "Choose a base with a newer Python beside it."))
        return newest


def base_machine(base: Base, cache: Path, processes: Processes, source: Source, epoch: int) -> BaseMachine:
    """Make an unpacked base image ready to build in, with a root folder that is kept for it.

    Whatever else decides what a build makes has a root of its own: envman, uv and virtualenv.
    Raises ImageError, OSError.
    """
    root = cache / "roots" / build_key(base, processes, source, epoch)
    uv_cache = Uv(processes, source).cache_folder() or cache / "uv"
    inside = _sandbox(base, root, uv_cache, source, epoch)
    return BaseMachine(
        base, root, inside, _interpreters(base, inside), VIRTUALENV, root / OWN_CACHE, links=False
    )


def build_key(base: Base, processes: Processes, source: Source, epoch: int) -> str:
    """What, besides its lock, decides what an environment's build for a base makes; as a short digest."""
    uv = Uv(processes, source).version()
    versions = f"{base.digest} {envman.__version__} {uv} {virtualenv_version()} {epoch}"
    return hashlib.sha256(versions.encode()).hexdigest()[:16]


def _sandbox(base: Base, root: Path, uv_cache: Path, source: Source, epoch: int) -> Sandbox:
    for folder in (root, uv_cache):
        folder.mkdir(parents=True, exist_ok=True)
    mark_used(root)
    mounts = [
        Mount(str(root), ROOT, writable=True),
        Mount(find_uv_bin(), f"{INSIDE}/uv"),
        Mount(str(uv_cache), f"{INSIDE}/uv-cache", writable=True),
        Mount(SCRIPTS, f"{INSIDE}/scripts"),
        Mount(str(portable_virtualenv(root.parent.parent)), VIRTUALENV),
        *_places_of_packages(source, os.environ),
    ]
    environ = {
        **base.environ(),
        "UV_CACHE_DIR": f"{INSIDE}/uv-cache",
        "UV_LINK_MODE": "copy",  # a mount of its own: there are no links from the cache to it
        "HOME": HOME,
        "SOURCE_DATE_EPOCH": str(epoch),
    }
    return Sandbox(base.root, environ, mounts)


def _places_of_packages(source: Source, environ: Mapping[str, str]) -> Iterator[Mount]:
    """What tells uv where files come from, and the folders that it tells of."""
    if source.wheelhouse:
        yield Mount(source.wheelhouse, f"{INSIDE}/wheelhouse")
    netrc = environ.get("NETRC") or os.path.expanduser("~/.netrc")  # noqa: PTH111
    targets = {netrc: f"{HOME}/.netrc", environ.get("SSL_CERT_FILE", ""): f"{INSIDE}/certificates.pem"}
    for path in uv_configurations(environ, None):
        targets[path] = path if path.startswith("/etc/") else f"{HOME}/.config/uv/uv.toml"
    for path, target in targets.items():
        if path and Path(path).is_file():
            yield Mount(path, target)
    for path in local_folders(environ, source.config):
        yield Mount(path, path)


def _interpreters(base: Base, inside: Sandbox) -> Interpreters:
    """Look for the interpreters of a base image, on its PATH; raises ImageError where there is none."""
    found: dict[str, BaseInterpreter] = {}
    failures: list[str] = []
    for path in _candidates(base):
        finished = inside.run([path, "-I", "-S", PYTHON_FACTS], os.environ, "/")
        if finished.exit_code:
            failures.append(f"{path}: {(finished.stderr.strip() or 'it said nothing').splitlines()[-1]}")
            continue
        try:
            interpreter = parse_interpreter(finished.stdout)
        except ValueError as error:
            failures.append(f"{path}: {error}")
            continue
        found.setdefault(interpreter.executable, interpreter)
    if not found:
        why = "; ".join(failures) or f"none on its PATH, {base.environ().get('PATH', os.defpath)}"
        remedy = "Choose a base with the Python that the environment asks for."
        raise ImageError(Problem(base.name, f"has no Python that runs: {why}", remedy))
    return Interpreters(tuple(found.values()))


def _candidates(base: Base) -> Iterator[str]:
    for folder in base.environ().get("PATH", os.defpath).split(os.pathsep):
        names = names_in_root(str(base.root), folder) if folder.startswith("/") else ()
        yield from (f"{folder}/{name}" for name in names if _PYTHON.fullmatch(name))
