"""Build a dev overlay: a virtual environment with the packages of `[dev]` that sees a generation's behind it.

It stands in the root folder, named by the generation and by what it adds, and is of no use without that
generation: a `.pth` file names its folder. No name, table, image or release leads to it.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path

from envman.build.bytecode import Bytecode
from envman.build.generation_builder import BuildTools, GenerationBuilder, check_own_files
from envman.build.machine import ThisMachine
from envman.build.plan import Plan
from envman.build.venv import VirtualEnvironment
from envman.errors import BuildError, LockError, PolicyError, Problem
from envman.lock.dev_lock import fresh_dev_lock
from envman.lock.lock_state import fresh_lock_text
from envman.lock.lockfile import Lock, Pin, body_digest, parse_header, parse_lock, parse_pins, render
from envman.signing.policy_file import policy_file
from envman.spec.project import Environment
from envman.spec.workspace import Workspace
from envman.store import layout
from envman.store.folder import Store
from envman.store.manifest import Manifest, options_digest
from envman.system.digests import Digests
from envman.system.events import Event, Report, Stage
from envman.system.files import sync_file_system, write_atomic
from envman.system.side_by_side import default_jobs
from envman.uv.runner import Source, Uv

PTH = "_envman_generation.pth"
"""In an overlay's site-packages; its name begins so that it is read before what packages bring."""


_NO_BYTECODE = "import sys; sys.dont_write_bytecode = True"
"""Has whoever starts the overlay's interpreter, editors, too, write nothing into the generation below it."""


@dataclass(frozen=True)
class Overlay:
    """A dev overlay that is there: its folder, what it lies over, what it adds; whether it was just built."""

    folder: str
    environment: str
    generation: str
    packages: tuple[str, ...]
    built: bool
    seconds: float

    def check_below(self, generation: str) -> None:
        """Raises BuildError where the environment has another generation by now."""
        if generation != self.generation:
            where, what = f"environment '{self.environment}'", "it got another generation meanwhile"
            raise BuildError(Problem(where, what, "Run it again."))


@dataclass(frozen=True)
class _Wanted:
    """What an overlay is made of."""

    environment: Environment
    manifest: Manifest
    pins: tuple[Pin, ...]

    @property
    def name(self) -> str:
        """The overlay's name: the generation's, and a digest of what is added."""
        added = hashlib.sha256(body_digest(self.pins).encode()).hexdigest()[:8]
        return f"{self.manifest.generation}-{added}"

    def plan(self) -> Plan:
        """The overlay as a build of its own, of what it adds."""
        declared = self.environment
        text = render(Lock(declared.name, {}, self.pins), declared.file)
        return Plan(
            environment=declared,
            lock_text=text,
            lock_text_digest="",
            lock_body=body_digest(self.pins),
            packages={pin.name: pin.version for pin in self.pins},
            interpreter=self.manifest.interpreter,
            options=options_digest(declared),
            generation=self.name,
        )


def overlay_tools(workspace: Workspace, source: Source) -> BuildTools:
    """What an overlay is built with: as an environment of the project on this machine."""
    machine = ThisMachine()
    return BuildTools(
        processes=workspace.processes,
        uv=Uv(workspace.processes, source),
        machine=machine,
        bytecode=Bytecode(machine.cache, Digests(), default_jobs(), None),
        sandbox_required=workspace.project.sandbox_required,
        project=workspace.project.directory,
    )


def dev_overlay(
    workspace: Workspace, environment: Environment, store: Store, tools: BuildTools, report: Report
) -> Overlay:
    """The overlay of an environment's current generation, built unless it is there.

    Raises LockError where one of the two locks is not up to date, ResolveError where the environment is not
    built, BuildError where it is not built from its lock, PolicyError where the host runs signed files alone.
    """
    started = time.monotonic()
    if policy_file():
        what = "this host starts only what is signed, and a dev overlay never is"
        raise PolicyError(
            Problem(f"environment '{environment.name}'", what, "Use it on a machine of your own.")
        )
    wanted = _wanted(workspace, environment, store)
    folder = Path(layout.overlay_path(store.root, wanted.name))
    mark = folder / layout.OVERLAY_MARK

    def waiting() -> None:
        report(Event(environment.name, Stage.WAITING, "another command builds the same dev overlay"))

    built = False
    if not mark.is_file():
        with store.locked(f"dev-{wanted.name}", waiting) as held:
            if not mark.is_file():
                _build(wanted, folder, GenerationBuilder(store, tools, held, report))
                built = True
    names = tuple(sorted(f"{pin.name} {pin.version}" for pin in wanted.pins))
    seconds = time.monotonic() - started
    return Overlay(str(folder), environment.name, wanted.manifest.generation, names, built, seconds)


def _wanted(workspace: Workspace, environment: Environment, store: Store) -> _Wanted:
    name = environment.name
    if not environment.dev:
        what = "declares no dev dependencies"
        remedy = f"Add what you need, for example: envman add {name} pytest --dev"
        raise LockError(Problem(environment.file, what, remedy))
    text = fresh_lock_text(workspace, environment)
    pins = parse_pins(text, environment.lock_file, name)
    dev = parse_lock(fresh_dev_lock(workspace, environment, pins), environment.dev_lock_file, name)
    manifest = store.current_manifest(name)
    if manifest.lock != parse_header(text, environment.lock_file, name).pins:
        what = f"its current generation {manifest.generation} is not built from {environment.lock_file}"
        raise BuildError(Problem(f"environment '{name}'", what, f"Run: envman build {name}"))
    markers = manifest.interpreter.marker_environment()
    applying = [pin for pin in dev.pins if pin.applies(markers)]
    return _Wanted(environment, manifest, tuple(pin for pin in applying if pin.name not in manifest.packages))


def _build(wanted: _Wanted, folder: Path, builder: GenerationBuilder) -> None:
    with Store.being_made_in(folder):
        environment, plan = VirtualEnvironment(folder), wanted.plan()
        made = builder.create(plan, environment)
        if plan.packages:
            builder.install(plan, environment)
            check_own_files(folder, made)
            builder.compile(plan, environment)
        below = folder.parent.parent / layout.GENERATIONS / wanted.manifest.generation
        for ours in environment.packages():
            theirs = below / ours.relative_to(folder)
            lines = f"{theirs}\nimport site; site.addsitedir({str(theirs)!r})\n{_NO_BYTECODE}\n"
            (ours / PTH).write_text(lines, encoding="utf-8")
        sync_file_system(folder)  # as for a generation: what the mark stands for outlives a power cut
        said = {"generation": wanted.manifest.generation, "packages": dict(sorted(plan.packages.items()))}
        write_atomic(folder / layout.OVERLAY_MARK, f"{json.dumps(said)}\n")
