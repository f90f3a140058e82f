"""Make one generation: venv, packages, checks, file list, manifest. It counts once the manifest stands."""

from __future__ import annotations

import functools
import os
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from envman import __version__
from envman.build.bytecode import Bytecode, Compiler
from envman.build.machine import Machine
from envman.build.plan import Plan
from envman.build.quarantine import SANDBOX_REMEDY, Guest, GuestRights, Quarantine, guest_variables
from envman.build.venv import Trial, VirtualEnvironment, virtualenv_version
from envman.errors import BuildError, Problem
from envman.packages.package import conflicts
from envman.spec.declared import spec_digest
from envman.store import layout
from envman.store.folder import Store
from envman.store.inventory import (
    FileEntry,
    Inventory,
    altered_since_packed,
    claimed,
    contested,
    differences,
    replaced,
    take_inventory,
)
from envman.store.manifest import Manifest, list_digest
from envman.system.digests import Digests
from envman.system.events import Event, Report, Stage
from envman.system.files import remove_tree, strangers_folder, sync_file_system, write_atomic
from envman.system.processes import Processes
from envman.system.sandbox import PROGRAM as BUBBLEWRAP
from envman.uv.indexes import places_of_files
from envman.uv.known_packages import LocalWheel
from envman.uv.messages import as_warning
from envman.uv.runner import Uv

if TYPE_CHECKING:
    from envman.build.source_builds import SourceBuilds
    from envman.lock.lockfile import Pin


@dataclass(frozen=True)
class BuildTools:
    """What a build works with; `sandbox_required`: nothing that came with packages runs outside of one.

    `project` is the project's folder, which is not there for what packages run; nor are the folders `hidden`.
    """

    processes: Processes
    uv: Uv
    machine: Machine
    bytecode: Bytecode
    sandbox_required: bool = False
    project: str = ""
    hidden: tuple[str, ...] = ()


class GenerationBuilder:
    """Builds a generation in its final place, where its scripts' first lines already point to.

    The caller holds the generation's lock (`held`), which every child inherits.
    """

    def __init__(self, store: Store, tools: BuildTools, held: int, report: Report) -> None:
        self._store = store
        self._tools = tools
        self._held = (held,)
        self._report = report

    def make(self, plan: Plan) -> Manifest:
        """Build and check the generation; returns the manifest that it has written.

        Raises EnvmanError or OSError, and then leaves nothing behind.
        """
        started = time.monotonic()
        with self._store.being_made(plan.generation) as folder:
            environment = VirtualEnvironment(folder)
            made = self.create(plan, environment)
            self.install(plan, environment)
            check_own_files(folder, made)  # before the interpreter runs that they decide about
            self.compile(plan, environment)
            inventory = self._inventory(plan, environment)
            self._check(plan, environment, inventory)
            return self._write_manifest(plan, inventory, started)

    @contextmanager
    def tried_out(self, plan: Plan) -> Iterator[Path]:
        """The same environment without checks, file list and manifest, so that it never is a generation; it
        is gone when the context ends. Raises EnvmanError, OSError.
        """
        with self._store.being_made(plan.generation) as folder:
            environment = VirtualEnvironment(folder)
            made = self.create(plan, environment)
            self.install(plan, environment)
            check_own_files(folder, made)
            self.compile(plan, environment)
            yield folder
        remove_tree(folder)

    def create(self, plan: Plan, environment: VirtualEnvironment) -> Mapping[str, FileEntry]:
        """An environment without packages, and the lock; returns its files."""
        self._report(Event(plan.environment.name, Stage.CREATING, plan.interpreter.describe()))
        virtualenv = self._tools.machine.virtualenv(plan.interpreter)
        environment.create(virtualenv, self._tools.processes, self._held)
        (environment.folder / layout.LOCK_COPY).write_text(plan.lock_text, encoding="utf-8")
        return take_inventory(environment.folder, Digests()).entries

    def install(self, plan: Plan, environment: VirtualEnvironment) -> None:
        """Install a plan's packages; raises BuildError, OSError."""
        name, tools = plan.environment.name, self._tools
        self._report(Event(name, Stage.INSTALLING, f"{len(plan.packages)} packages"))

        def said(line: str) -> None:
            self._report(_said_by_uv(name, line))

        from envman.build.installation import Installation  # what an unchanged environment does not need
        from envman.build.own_builds import own_names
        from envman.build.source_builds import SourceBuilds, SourceOptions, SourceTools

        options = SourceOptions(
            environment=name,
            interpreter=plan.interpreter,
            network=plan.environment.build_network,
            variables=plan.environment.build_variables,
            hidden=self._hidden(),
            sandbox_required=tools.sandbox_required,
            own=own_names(plan.environment, tools.project) | {pin.name for pin in plan.own},
        )
        with_sources = SourceTools(tools.processes, tools.uv, tools.machine, self._report, self._held)
        with folder_for_builds(environment.folder / layout.SOURCES) as folder:
            builds = SourceBuilds(folder, options, with_sources)
            own = self._own_wheels(plan, builds) if plan.own else {}
            Installation(plan, environment, folder, tools.uv, self._held, said).run(builds, own)
        (environment.folder / ".lock").unlink(missing_ok=True)  # uv's own, of no use in what nobody changes

    def _own_wheels(self, plan: Plan, builds: SourceBuilds) -> Mapping[Pin, LocalWheel]:
        """The wheels of the project's own sources, as uv finds them, and as they are locked."""
        from envman.build.own_wheels import OwnWheels

        wheels = OwnWheels(self._tools.project, builds).all_from_lock(plan.environment, plan.own)
        seen = self._tools.processes.seen  # uv may run where the wheels have another place
        return {
            pin: LocalWheel(pin.name, pin.version, seen(str(wheel.path)), wheel.sha256)
            for pin, wheel in wheels.items()
        }

    def compile(self, plan: Plan, environment: VirtualEnvironment) -> None:
        """Put the bytecode of what is installed beside it."""
        name, interpreter = plan.environment.name, plan.interpreter
        store = self._tools.bytecode.store(interpreter)
        python = Path(interpreter.executable)  # what the packages have put beside it counts for nothing
        compiler = Compiler(python, self._tools.processes, self._tools.bytecode.jobs, self._held)
        self._report(Event(name, Stage.COMPILING, "bytecode"))
        for packages in environment.packages():
            filled = store.fill(
                packages,
                compiler,
                lambda files: self._report(Event(name, Stage.COMPILING, f"{files} files")),
            )
            said = f"{filled.compiled} files compiled, {filled.linked} linked, {filled.copied} copied"
            self._report(Event(name, Stage.COMPILING, said))

    def _inventory(self, plan: Plan, environment: VirtualEnvironment) -> Inventory:
        """The files as they were packed and compiled: nothing that came with a package has run so far."""
        self._report(Event(plan.environment.name, Stage.LISTING))
        packages = environment.installed()
        if (present := {one.name: one.version for one in packages}) != plan.packages:
            raise BuildError(_set_problem(plan, present))
        overridden = {canonicalize_name(Requirement(text).name) for text in plan.environment.overrides}
        if wrong := conflicts(packages, plan.interpreter.marker_environment(), overridden):
            raise BuildError(_conflict_problem(plan, wrong))
        own = {f"{pin.name.replace('-', '_')}-{pin.version}" for pin in plan.own}
        if own and (twice := contested(environment.folder, own)):
            raise BuildError(_contested_problem(plan, twice))
        inventory = take_inventory(environment.folder, self._tools.bytecode.digests)
        if altered := altered_since_packed(environment.folder, inventory):
            raise BuildError(_altered_problem(altered))
        return inventory

    def _check(self, plan: Plan, environment: VirtualEnvironment, inventory: Inventory) -> None:
        declared = plan.environment
        if not (declared.check_imports or declared.preload or declared.check_commands):
            return  # nothing of a package runs at this build
        bin_folder = str(environment.python.parent)
        variables = guest_variables(bin_folder, declared.keep_out, declared.set_variables)
        quarantine = self._tools.machine.quarantine(self._guest(plan, environment), variables)
        self._report(_said_of(quarantine, declared.name))
        if self._tools.sandbox_required:
            quarantine.refuse_if_not_apart()
        trial = Trial(environment, quarantine.processes, variables)
        trial.imports(declared.check_imports, "checks.imports")
        trial.imports(declared.preload, "preload")
        for words in declared.check_commands:
            trial.command(words)
        if quarantine.rights is GuestRights.BUILDERS and (changes := _changes(environment.folder, inventory)):
            raise BuildError(_changed_problem(changes))

    def _guest(self, plan: Plan, environment: VirtualEnvironment) -> Guest:
        return Guest(
            environment=plan.environment.name,
            folder=str(environment.folder),
            interpreter=plan.interpreter.executable,
            hidden=self._hidden(),
        )

    def _hidden(self) -> tuple[str, ...]:
        """What is not there for what packages run: the root folder, the project, all caches, and what says
        where packages come from.
        """
        source = self._tools.uv.source
        folders = (self._store.root, self._tools.machine.cache, *self._caches)
        further = places_of_files(os.environ, source.config)
        named = self._tools.project, *self._tools.hidden, source.wheelhouse or ""
        return (*map(str, folders), *named, *further)

    @functools.cached_property
    def _caches(self) -> tuple[Path, ...]:
        """uv's and the bytecode's; uv is run to say where its own is."""
        caches = (self._tools.uv.cache_folder(), self._tools.bytecode.folder)
        return tuple(cache for cache in caches if cache)

    def _write_manifest(self, plan: Plan, inventory: Inventory, started: float) -> Manifest:
        folder = self._store.folder(plan.generation)
        self._tell_of_copies(plan.environment.name, folder, inventory)
        listing = inventory.to_text()
        write_atomic(folder / layout.FILES, listing)
        manifest = Manifest(
            generation=plan.generation,
            environment=plan.environment.name,
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - started, 3),
            interpreter=plan.interpreter,
            lock=plan.lock_body,
            lock_text=plan.lock_text_digest,
            options=plan.options,
            spec=spec_digest(plan.environment),
            files=list_digest(listing.encode()),
            file_count=len(inventory.entries),
            size=inventory.size,
            packages=dict(sorted(plan.packages.items())),
            tools={"envman": __version__, "uv": self._tools.uv.version(), "virtualenv": virtualenv_version()},
        )
        sync_file_system(folder)  # what the manifest stands for outlives a power cut, or it doesn't stand
        write_atomic(folder / layout.MANIFEST, manifest.to_json())
        return manifest

    def _tell_of_copies(self, name: str, folder: Path, inventory: Inventory) -> None:
        """Say what it costs that files could not be linked, unless somebody has chosen that."""
        if not self._tools.machine.links:
            return
        elsewhere = [str(one) for one in self._caches if _device(one) != _device(folder)]
        if elsewhere and "UV_LINK_MODE" not in os.environ:
            what = f"{inventory.unshared / 1e6:.0f} MB are copies, not links, since {' and '.join(elsewhere)}"
            root = self._store.root
            remedy = f"is on another file system than {root}; UV_LINK_MODE=copy says that this is known"
            self._report(Event(name, Stage.LISTING, f"{what} {remedy}", warning=True))


@contextmanager
def folder_for_builds(folder: Path) -> Iterator[Path]:
    """A folder that builds from source work below, gone when the context ends: this one, unless root builds
    without bubblewrap where other users can't get to, as below /root or with umask 077: builds would run as
    root there.
    """
    alone = os.geteuid() == 0 and shutil.which(BUBBLEWRAP) is None
    if alone and not all(above.stat().st_mode & stat.S_IXOTH for above in folder.parents):
        with strangers_folder("envman-sources-") as elsewhere:
            elsewhere.chmod(0o755)
            yield elsewhere
        return
    folder.mkdir()
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        remove_tree(folder)


def _changes(folder: Path, inventory: Inventory) -> list[str]:
    """What is no longer as it was packed, although it has the time that it had."""
    found = take_inventory(folder, Digests())
    return [one.path for one in differences(inventory.entries, found.entries)]


def _said_of(quarantine: Quarantine, name: str) -> Event:
    if quarantine.rights is GuestRights.SANDBOXED:
        return Event(name, Stage.CHECKING, "imports and commands, in a sandbox")
    why = "; ".join(quarantine.why)
    if quarantine.rights is GuestRights.ANOTHERS:
        what = "what packages run here can change nothing, but read what everybody may, and use the network"
        return Event(name, Stage.CHECKING, f"imports and commands, as another user: {what} ({why})")
    what = f"what packages run here has all rights of this user, over other environments, too ({why})"
    return Event(name, Stage.CHECKING, f"{what}. {SANDBOX_REMEDY}", warning=True)


def _changed_problem(changed: list[str]) -> Problem:
    what = f"the checks changed what was installed: {', '.join(changed[:5])}"
    remedy = "Find out which package does that as it is imported; and build in a sandbox: install bubblewrap."
    return Problem("checks", what, remedy)


def _said_by_uv(name: str, line: str) -> Event:
    warning, text = as_warning(line)
    return Event(name, Stage.INSTALLING, text, warning)


def _device(path: Path) -> int:
    """The file system of a folder, or of what is above it where it is not there yet."""
    while not path.exists():
        path = path.parent
    return path.stat().st_dev


def check_own_files(folder: Path, made: Mapping[str, FileEntry]) -> None:
    """Raises BuildError where a package has put a file in the place of one that the build has made itself."""
    brought = claimed(folder)
    packages = dict(brought)
    if wrong := sorted({*packages, *replaced(folder, made)}):
        listed = "; ".join(
            f"{path} by {packages.get(path, 'a package that does not say so')}" for path in wrong[:10]
        )
        what = f"files that are the environment's own were replaced: {listed}"
        remedy = "Take the package out of the dependencies, or lock a version of it that leaves them alone."
        raise BuildError(Problem("uv pip sync", what, remedy))


def _altered_problem(altered: list[str]) -> Problem:
    listed = "; ".join(altered[:10])
    what = f"{len(altered)} files are not as their package's RECORD says: {listed}"
    remedy = (
        "They came so from uv's cache, which somebody wrote to: uv cache clean PACKAGE, then build again."
    )
    return Problem("uv pip sync", what, remedy)


def _contested_problem(plan: Plan, twice: list[str]) -> Problem:
    what = f"files of its sources come from another package, too: {'; '.join(twice[:10])}"
    return Problem(f"environment '{plan.environment.name}'", what, "Rename one of them, or take one out.")


def _set_problem(plan: Plan, installed: Mapping[str, str]) -> Problem:
    names = sorted(installed.keys() | plan.packages.keys())
    listed = [
        f"{name}: locked {plan.packages.get(name, 'nothing')}, installed {installed.get(name, 'nothing')}"
        for name in names
        if installed.get(name) != plan.packages.get(name)
    ]
    what = f"what is installed is not what is locked: {'; '.join(listed[:10])}"
    return Problem(
        f"environment '{plan.environment.name}'", what, "Lock it anew; report it if that does not help."
    )


def _conflict_problem(plan: Plan, wrong: list[str]) -> Problem:
    what = f"what is installed does not fit together: {'; '.join(wrong[:10])}"
    remedy = "Declare the missing or conflicting package in the spec, lock and build again."
    return Problem(f"environment '{plan.environment.name}'", what, remedy)
