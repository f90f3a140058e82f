"""The bytecode store: each source file is compiled once for a Python version, whoever has the file.

    ~/.cache/envman/bytecode/cpython-3.12.1/3f/9c2a7b….pyc

The name is a digest of the source and of its path below `site-packages`, which stands in the bytecode until
Python puts the true path in its place at import. Each environment that has the source gets a link to it, or a
copy where the environment is on another file system than the store.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from envman.errors import BuildError, Problem
from envman.inside.protocol import SCRIPTS
from envman.store.manifest import BaseInterpreter
from envman.system.child_process import Finished
from envman.system.digests import Digests
from envman.system.files import sync_file_system
from envman.system.processes import Processes
from envman.system.waiting import alone

COMPILER = f"{SCRIPTS}/compiler.py"


@dataclass(frozen=True)
class Filled:
    """What became of an environment's sources: linked or copied from the store, of them compiled just now."""

    linked: int
    copied: int
    compiled: int


@dataclass(frozen=True)
class Compiler:
    """The interpreter that compiles, and how many processes of it at once; `held` are locks they inherit."""

    python: Path
    processes: Processes
    jobs: int
    held: Sequence[int] = ()

    def run(self, jobs: Sequence[tuple[str, str, str]], folder: Path) -> list[str]:
        """Compile (source, name, destination); returns the sources that are no Python. Raises BuildError."""
        seen = self.processes.seen
        list_file = folder / "jobs.json"
        places = [(seen(source), name, seen(destination)) for source, name, destination in jobs]
        list_file.write_text(json.dumps(places), encoding="utf-8")
        command = [str(self.python), "-s", "-S", COMPILER, str(list_file), str(self.jobs)]
        finished = self.processes.run(command, {"PYTHONHASHSEED": "0"}, str(folder), self.held)
        if finished.exit_code:
            raise BuildError(_failed(finished))
        return [jobs[position][0] for position in json.loads(finished.stdout)]


@dataclass(frozen=True)
class _Source:
    """A source file, its bytecode's place, and the bytecode's name in the store."""

    path: str
    relative: str
    bytecode: str
    name: str


class BytecodeStore:
    """The bytecode of one Python version.

    `version` tells versions apart, such as `cpython-3.12.1`; `suffix` is how the names of its bytecode files
    end, such as `.cpython-312.pyc`. With `renewed`, what is not in that set of names is compiled anew.
    """

    def __init__(
        self, folder: Path, version: str, suffix: str, digests: Digests, renewed: set[str] | None = None
    ) -> None:
        self._folder = folder / "bytecode" / version
        self._suffix = suffix
        self._digests = digests
        self._renewed = renewed

    def fill(self, packages: Path, compiler: Compiler, report: Callable[[int], None]) -> Filled:
        """Give every source below `packages` (a `site-packages`) its bytecode.

        What the store lacks is compiled first; of several builds that lack the same, one compiles it.
        `report` gets the number of files to compile. Raises BuildError, OSError.
        """
        for folder in (self._folder.parent, self._folder):
            if folder.is_symlink():
                raise BuildError(Problem(str(folder), "is a link, and has to be a folder", "Remove it."))
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        sources = [self._source(packages, path) for path in _sources(str(packages))]
        counts = {"linked": 0, "copied": 0}
        compiled = 0
        if missing := list(self._placed(sources, counts)):
            with alone(self._folder / "lock"):
                compiled = self._complete(list(self._placed(missing, counts)), counts, compiler, report)
        return Filled(**counts, compiled=compiled)

    def _source(self, packages: Path, path: str) -> _Source:
        relative = path[len(str(packages)) + 1 :]
        folder, file = os.path.split(path)
        bytecode = f"{folder}/__pycache__/{file.removesuffix('.py')}{self._suffix}"
        name = hashlib.sha256(f"{relative}\0{self._digests.of(path)}".encode()).hexdigest()
        return _Source(path, relative, bytecode, name)

    def _stored(self, name: str) -> str:
        return f"{self._folder}/{name[:2]}/{name[2:]}"

    def _placed(self, sources: Sequence[_Source], counts: dict[str, int]) -> Iterator[_Source]:
        """Place what the store has, and give back what it lacks."""
        for source in sources:
            if self._renewed is not None and source.name not in self._renewed:
                yield source
                continue
            stored = self._stored(source.name)
            try:
                counts[_place(f"{stored}.pyc", source.bytecode)] += 1
            except FileNotFoundError:
                if not Path(f"{stored}.none").exists():
                    yield source

    def _complete(
        self,
        missing: Sequence[_Source],
        counts: dict[str, int],
        compiler: Compiler,
        report: Callable[[int], None],
    ) -> int:
        """Compile what is missing, and place it; returns how many there were."""
        if not missing:
            return 0
        report(len(missing))
        failed = self._compile(missing, compiler)
        compiled = [source for source in missing if source.path not in failed]
        for source in self._placed(compiled, counts):
            raise BuildError(_vanished(source.path))
        return len(compiled)

    def _compile(self, sources: Sequence[_Source], compiler: Compiler) -> set[str]:
        """Compile into the store, whole files only; returns the sources that are no Python."""
        for left in self._folder.glob(".new-*"):  # a killed build's: nobody else compiles while this one does
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=self._folder) as name:
            jobs = [(source.path, source.relative, f"{name}/{source.name}.pyc") for source in sources]
            failed = set(compiler.run(jobs, Path(name)))
            sync_file_system(self._folder)  # a name in the store never stands for an empty file
            for source in sources:
                stored = self._stored(source.name)
                Path(stored).parent.mkdir(exist_ok=True)
                if source.path in failed:
                    Path(f"{stored}.none").touch()
                else:
                    Path(f"{name}/{source.name}.pyc").replace(f"{stored}.pyc")
        if self._renewed is not None:
            self._renewed.update(source.name for source in sources)
        return failed


def _sources(folder: str) -> Iterator[str]:
    """Every source below a folder, in an order of its own, and the folders that their bytecode goes to."""
    for parent, folders, files in os.walk(folder):
        with contextlib.suppress(ValueError):
            folders.remove("__pycache__")
        folders.sort()
        names = sorted(name for name in files if name.endswith(".py"))
        if names:
            made = Path(f"{parent}/__pycache__")
            if made.is_symlink():  # to somewhere else
                made.unlink()
            made.mkdir(exist_ok=True)
        for name in names:
            if not Path(f"{parent}/{name}").is_symlink():
                yield f"{parent}/{name}"


def _place(stored: str, bytecode: str) -> str:
    """Link a file of the store, or copy it; returns which. Raises FileNotFoundError where it is not there."""
    try:
        os.link(stored, bytecode)
    except FileExistsError:  # a wheel may bring its own
        Path(bytecode).unlink()
        return _place(stored, bytecode)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        shutil.copy2(stored, bytecode)
        return "copied"
    return "linked"


_NO_LINKS = {errno.EXDEV, errno.EMLINK, errno.EPERM, errno.ENOTSUP}
"""Another file system, one link too many, another user's file, a file system without links."""


def _failed(finished: Finished) -> Problem:
    words = "\n  ".join(finished.stderr.strip().splitlines()[-10:])
    full = "No space left on device" in finished.stderr
    remedy = "The disk is full: free space for the bytecode store." if full else "Report it."
    return Problem("bytecode", f"the compiler ended with {finished.exit_code}\n  {words}", remedy)


def _vanished(path: str) -> Problem:
    return Problem(path, "its bytecode went away from the store just after it was compiled", "Build again.")


def unused_bytecode(cache: Path, before: float) -> Iterator[Path]:
    """Files of all stores of a cache that stand in no environment, and did not since a moment."""
    for path in (cache / "bytecode").glob("*/[0-9a-f][0-9a-f]/*"):
        if path.parent.is_symlink() or path.parent.parent.is_symlink():
            continue
        status = path.lstat()
        if status.st_nlink == 1 and status.st_ctime < before:  # a link that comes or goes changes it
            yield path


@dataclass(frozen=True)
class Bytecode:
    """What the builds of one command share: `folder` has the stores, `jobs` is how many processes compile.

    With `renewed` nothing is taken from the stores that this command has not compiled: a build that is to
    mend what is there trusts no file that a crash may have left.
    """

    folder: Path
    digests: Digests
    jobs: int
    renewed: set[str] | None = None

    def store(self, interpreter: BaseInterpreter) -> BytecodeStore:
        """The store of an interpreter's version; its bytecode files are named as PEP 3147 says."""
        implementation = interpreter.implementation.lower()
        major, minor = interpreter.version.split(".")[:2]
        tag = f"cpython-{major}{minor}" if implementation == "cpython" else f"{implementation}{major}{minor}"
        version = f"{implementation}-{interpreter.version}"
        return BytecodeStore(self.folder, version, f".{tag}.pyc", self.digests, self.renewed)
