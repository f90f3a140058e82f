"""`envman build`: from locks alone into immutable generations, then publish their names and the table."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from packaging.specifiers import SpecifierSet

from envman.build.bytecode import Bytecode
from envman.build.generation_builder import BuildTools, GenerationBuilder
from envman.build.machine import Machine
from envman.build.plan import Plan, plan_generation
from envman.errors import BuildError, Problem
from envman.lock.lock_state import fresh_lock_text
from envman.lock.lockfile import parse_header
from envman.lock.signatures import check_declared
from envman.spec.project import Environment
from envman.spec.workspace import Workspace
from envman.store.failures import files_of_root
from envman.store.folder import Store
from envman.store.manifest import Manifest, options_digest
from envman.store.sealing import NO_SEAL, Seal
from envman.store.switches import Action
from envman.system.caller import current_actor
from envman.system.digests import Digests
from envman.system.events import Event, Report, Stage
from envman.system.side_by_side import Outcomes, default_jobs, side_by_side
from envman.uv.runner import Source, Uv


class BuildStatus(str, Enum):
    """What a build did for an environment."""

    BUILT = "built"
    SWITCHED = "switched"
    UNCHANGED = "unchanged"
    HELD = "held"


@dataclass(frozen=True)
class BuildOutcome:
    """One environment after a build; `size` in bytes, `seconds` of this run."""

    environment: str
    status: BuildStatus
    generation: str
    interpreter: str
    packages: int
    size: int
    seconds: float


@dataclass(frozen=True)
class BuildOptions:
    """How to build: from where, how many at once, for which machine; `rebuild`: what is there, too; `seal`:
    how it gets signed.
    """

    source: Source
    jobs: int
    machine: Machine
    rebuild: bool = False
    seal: Seal = NO_SEAL


def build(
    workspace: Workspace, names: Iterable[str], options: BuildOptions, report: Report
) -> Outcomes[BuildOutcome]:
    """Build environments, all where none is named, and publish what is whole.

    One that is held keeps its generation. So does a failed one, which is in the outcomes as an error. The
    table is published only if nothing failed: until then bundles stay where they were.
    """
    environments = {environment.name: environment for environment in workspace.choose(names)}
    store = Store(workspace.project.root)
    bytecode = Bytecode(options.machine.cache, Digests(), default_jobs(), set() if options.rebuild else None)
    store.remove_leftovers()
    tools = BuildTools(
        processes=workspace.processes,
        uv=Uv(workspace.processes, options.source),
        machine=options.machine,
        bytecode=bytecode,
        sandbox_required=workspace.project.sandbox_required,
        project=workspace.project.directory,
    )
    made: dict[str, Manifest] = {}

    def work(name: str) -> BuildOutcome:
        started = time.monotonic()
        environment = environments[name]
        with files_of_root(store.root, f"environment '{name}'"):
            if held := store.held(name):
                hold, manifest = held
                report(Event(name, Stage.DONE, hold.advice(name), warning=True))
                return _outcome(name, BuildStatus.HELD, manifest, time.monotonic() - started)
            text = fresh_lock_text(workspace, environment)
            unchanged = _unchanged(store, environment, text, options)
            if unchanged is not None and options.seal.stands(store, name, unchanged.generation):
                report(Event(name, Stage.DONE, "nothing to do"))
                return _outcome(name, BuildStatus.UNCHANGED, unchanged, time.monotonic() - started)
            making = _Making(store, options, tools, report, made)
            status, manifest = making.published(environment, text, again=unchanged is not None)
        outcome = _outcome(name, status, manifest, time.monotonic() - started)
        report(Event(name, Stage.DONE, f"{outcome.interpreter}, {outcome.packages} packages"))
        return outcome

    outcomes = side_by_side(environments, work, options.jobs, report)
    if not outcomes.errors:
        check_declared(workspace)
        table = workspace.table()
        options.seal.table(store, table)
        store.publish_table(table)
    return outcomes


def _unchanged(store: Store, environment: Environment, text: str, options: BuildOptions) -> Manifest | None:
    """The current generation's manifest, if it is what this build would make.

    An interpreter that was chosen once is kept while it is there, unaltered and fits: a new Python on the
    machine is no reason to build anew, `--python` is.
    """
    generation = store.current(environment.name)
    manifest = store.manifest(generation) if generation else None
    if manifest is None or options.rebuild or manifest.options != options_digest(environment):
        return None
    if not options.machine.is_same(manifest.interpreter):
        return None
    if not SpecifierSet(environment.requires_python).contains(manifest.interpreter.version):
        return None
    header = parse_header(text, environment.lock_file, environment.name)
    return manifest if manifest.lock == header.pins else None


@dataclass(frozen=True)
class _Making:
    """Makes generations, signs them, and points names to them; `made` are those of this run."""

    store: Store
    options: BuildOptions
    tools: BuildTools
    report: Report
    made: dict[str, Manifest]

    def published(self, environment: Environment, text: str, again: bool) -> tuple[BuildStatus, Manifest]:
        """Point the environment's name to its generation, made if it is not there whole.

        One that is there and that nobody vouches for is left as it is, and made under another name; `again`:
        that is known already.
        """
        interpreter = self.options.machine.choose(environment)
        published = None
        while published is None:
            if again:
                said = "its generation is not signed, or not as it was signed: it is made again"
                self.report(Event(environment.name, Stage.CREATING, said, warning=True))
            rebuild = again or self.options.rebuild
            published = self._published(plan_generation(self.store, environment, text, interpreter, rebuild))
            again = published is None
        return published

    def _published(self, plan: Plan) -> tuple[BuildStatus, Manifest] | None:
        name, seal, status = plan.environment.name, self.options.seal, BuildStatus.SWITCHED

        def waiting() -> None:
            self.report(Event(name, Stage.WAITING, "another build makes the same generation"))

        with self.store.locked(plan.generation, waiting) as held:
            if not self.store.is_whole(plan.generation):
                seal.check_key(name)
                builder = GenerationBuilder(self.store, self.tools, held, self.report)
                self.made[plan.generation] = builder.make(plan)
                status = BuildStatus.BUILT
            own = self.made.get(plan.generation)
            if own is None and not seal.stands(self.store, name, plan.generation):
                return None
            self.report(Event(name, Stage.PUBLISHING))
            if own is not None:
                seal.generation(self.store, name, own)  # before the name leads to it
            switched = self.store.publish(name, plan.generation, Action.BUILD, current_actor())
        if not switched and status is BuildStatus.SWITCHED:
            status = BuildStatus.UNCHANGED
        manifest = self.store.manifest(plan.generation)
        if manifest is None:
            what = f"its generation {plan.generation} went away while it was built"
            raise BuildError(Problem(f"environment '{name}'", what, f"Run: envman build {name}"))
        return status, manifest


def _outcome(name: str, status: BuildStatus, manifest: Manifest, seconds: float) -> BuildOutcome:
    return BuildOutcome(
        environment=name,
        status=status,
        generation=manifest.generation,
        interpreter=manifest.interpreter.describe(),
        packages=len(manifest.packages),
        size=manifest.size,
        seconds=seconds,
    )
