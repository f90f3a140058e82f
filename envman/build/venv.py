"""Create a virtual environment with virtualenv, and try out what was installed into it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from envman.build.quarantine import NOT_FOUND
from envman.errors import BuildError, Problem
from envman.inside.protocol import IMPORT_CHECK, RUN
from envman.packages.installed import read_package
from envman.packages.package import Package
from envman.system.child_process import Finished
from envman.system.files import mark_used, sync_file_system
from envman.system.processes import Processes

_BUILDERS_LINES = frozenset({"command", "virtualenv"})
"""Keys of pyvenv.cfg: the command with the path of the builder's Python, and the version of virtualenv."""


def virtualenv_version() -> str:
    """virtualenv's own version."""
    return version("virtualenv")


def portable_virtualenv(folder: Path) -> Path:
    """A folder that other Pythons run as virtualenv: `python FOLDER --help`; made below `folder`.

    It holds virtualenv and what that needs, as installed beside envman, all in Python; `unfit_for` says which
    Pythons that is too new for. Raises OSError.
    """
    parts = list(_with_requirements("virtualenv"))
    target = folder / "virtualenv" / _name_of(parts)
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".new-") as name:
            new = Path(name) / "it"
            for one in parts:
                for file in one.files or ():
                    source = Path(str(one.locate_file(file)))
                    if ".." not in file.parts and file.suffix != ".pyc" and source.is_file():
                        (new / file).parent.mkdir(parents=True, exist_ok=True)
                        shutil.copyfile(source, new / file)
            shutil.copyfile(new / "virtualenv" / "__main__.py", new / "__main__.py")
            sync_file_system(new)
            try:
                new.rename(target)
            except OSError:  # another envman was faster
                if not target.exists():
                    raise
    mark_used(target)
    return target


def _name_of(parts: Sequence[Distribution]) -> str:
    """The name of these versions: what virtualenv needs is upgraded without it."""
    listed = sorted(f"{one.name} {one.version}" for one in parts)
    return f"{virtualenv_version()}-{hashlib.sha256(repr(listed).encode()).hexdigest()[:8]}"


def unfit_for(python: str) -> list[str]:
    """What of the portable virtualenv a version of Python can't run, by its own word (Requires-Python)."""
    return [
        f"{one.name} {one.version} needs Python {needed}"
        for one in _with_requirements("virtualenv")
        if (needed := one.metadata.json.get("requires_python"))
        and not SpecifierSet(str(needed)).contains(python)
    ]


def _with_requirements(name: str, known: set[str] | None = None) -> Iterator[Distribution]:
    """A distribution and those that it requires, on whichever Python, as far as they are installed."""
    known = set() if known is None else known
    if name in known:
        return
    known.add(name)
    with contextlib.suppress(PackageNotFoundError):
        found = distribution(name)
        yield found
        for line in found.requires or ():
            requirement = Requirement(line)
            if "extra" not in str(requirement.marker):
                yield from _with_requirements(canonicalize_name(requirement.name), known)


class VirtualEnvironment:
    """A virtual environment that is being built in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"

    def create(self, virtualenv: Sequence[str], processes: Processes, held: Sequence[int]) -> None:
        """Create it, without pip; `virtualenv` are the words that start it. Raises BuildError.

        `held` are the locks that it inherits.
        """
        command = [*virtualenv, "--quiet", "--no-seed", "--no-vcs-ignore"]
        command += ["--activators", "bash,fish", str(self.folder)]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("VIRTUALENV_")}
        finished = processes.run(command, environment, str(self.folder.parent), held)
        if finished.exit_code:
            remedy = _remedy(finished, f"Check the interpreter: {shlex.join(virtualenv)}")
            raise BuildError(Problem("virtualenv", said_by(finished), remedy))
        self._drop_builders_lines()

    def _drop_builders_lines(self) -> None:
        """Take out of pyvenv.cfg who has made it: then builders at other paths make the same files. Python
        reads other lines (PEP 405).
        """
        file = self.folder / "pyvenv.cfg"
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if line.partition("=")[0].strip() not in _BUILDERS_LINES]
        file.write_text("".join(kept), encoding="utf-8")

    def packages(self) -> list[Path]:
        """Its `site-packages` folders; there is one."""
        return sorted(self.folder.glob("lib/python3*/site-packages"))

    def installed(self) -> list[Package]:
        """What is installed, from its metadata, which is read as text: no interpreter says it.

        Raises BuildError for metadata that can't be read.
        """
        found: list[Package] = []
        for folder in self.packages():
            for info in sorted(folder.glob("*.dist-info")):
                package = None
                with contextlib.suppress(UnicodeDecodeError):
                    package = read_package(Distribution.at(info))
                if package is None or not package.version:
                    what = "its METADATA is no text with a name and a version"
                    raise BuildError(Problem(info.name, what, "Lock another version of it."))
                found.append(package)
        return found


class Trial:
    """Tries out what was installed into a virtual environment, in `processes` that are kept apart from it.

    `variables` are those of the trial: what a workload of the environment would get, and no secret.
    """

    def __init__(
        self, environment: VirtualEnvironment, processes: Processes, variables: Mapping[str, str]
    ) -> None:
        self._folder = str(environment.folder)
        self._python = environment.python
        self._processes = processes
        self._variables = {**variables, "PYTHONDONTWRITEBYTECODE": "1"}

    def imports(self, modules: Sequence[str], key: str) -> None:
        """Import the modules of one of the spec's keys, all in one process; raises BuildError naming each
        that fails.
        """
        if not modules:
            return
        finished = self._run([str(self._python), RUN, IMPORT_CHECK, *modules])
        if finished.exit_code:
            remedy = _remedy(finished, f"Correct the dependencies, or take the module out of {key}.")
            raise BuildError(Problem(key, said_by(finished), remedy))

    def command(self, words: Sequence[str]) -> None:
        """Run one of the spec's commands; raises BuildError where it does not end with 0."""
        where = f"checks.commands: {shlex.join(words)}"
        inside = self._python.parent / words[0]
        program = str(inside) if "/" not in words[0] and inside.exists() else words[0]
        try:
            finished = self._run([program, *words[1:]])
        except FileNotFoundError:
            finished = Finished(NOT_FOUND, "", "")
        if finished.exit_code == NOT_FOUND:
            raise BuildError(Problem(where, "command not found", "Correct the command."))
        if finished.exit_code:
            what = f"ended with {finished.exit_code}: {said_by(finished)}"
            raise BuildError(
                Problem(where, what, _remedy(finished, "Correct the dependencies or the command."))
            )

    def _run(self, words: Sequence[str]) -> Finished:
        return self._processes.run(words, self._variables, self._folder)


def _remedy(finished: Finished, otherwise: str) -> str:
    if "No space left on device" in finished.stderr:
        return "The disk is full: free space for the root folder."
    return otherwise


def said_by(finished: Finished, most: int = 30) -> str:
    """The last lines that a guest has said."""
    lines = (finished.stderr.strip() or finished.stdout.strip()).splitlines()
    return "\n  ".join(lines[-most:]) or "it said nothing"
