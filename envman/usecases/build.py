"""`envman build`: from locks alone into immutable generations, then publish their names and the table."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from packaging.specifiers import SpecifierSet

from envman.digests import Digests
from envman.errors import BuildError, LockError, Problem
from envman.files import cache_folder
from envman.generation.history import Action
from envman.generation.manifest import Interpreter, Manifest, generation_identifier, options_digest
from envman.lock.lockfile import Lock, body_digest, parse_header, parse_lock
from envman.lock.platforms import host_platform
from envman.spec.project import Environment
from envman.store.generations import generation_name, is_whole, read_manifest, remove_leftovers
from envman.store.locks import locked
from envman.store.publish import current, publish_generation, publish_table
from envman.usecases.events import Event, Report, Stage
from envman.usecases.generation_builder import Bytecode, GenerationBuilder, Plan, Tools
from envman.usecases.lock_state import LockStatus, lock_state, read_lock_text
from envman.usecases.machine import Machine
from envman.usecases.side_by_side import Outcomes, default_jobs, side_by_side
from envman.usecases.workspace import Workspace
from envman.uv.runner import Source, Uv


class BuildStatus(str, Enum):
    """What a build did for an environment."""

    BUILT = "built"
    SWITCHED = "switched"
    UNCHANGED = "unchanged"


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
    """How to build: from where, how many at once, for which machine; `rebuild`: what is there, too."""

    source: Source
    jobs: int
    machine: Machine
    rebuild: bool = False


def build(
    workspace: Workspace, names: Iterable[str], options: BuildOptions, report: Report
) -> Outcomes[BuildOutcome]:
    """Build environments, all where none is named, and publish what is whole.

    A failed environment keeps the generation that it had, and is in the outcomes as an error. The table is
    published only if nothing failed: until then bundles stay where they were.
    """
    environments = {environment.name: environment for environment in workspace.choose(names)}
    root = workspace.project.root
    bytecode = Bytecode(
        cache_folder(os.environ), Digests(), default_jobs(), set() if options.rebuild else None
    )
    remove_leftovers(root)

    def work(name: str) -> BuildOutcome:
        started = time.monotonic()
        environment = environments[name]
        text = _fresh_lock_text(workspace, environment)
        if (manifest := _unchanged(root, environment, text, options)) is not None:
            report(Event(name, Stage.DONE, "nothing to do"))
            return _outcome(name, BuildStatus.UNCHANGED, manifest, time.monotonic() - started)
        plan = _plan(root, environment, text, options.machine.choose(environment), options)
        status, manifest = _built(workspace, plan, options, bytecode, report)
        outcome = _outcome(name, status, manifest, time.monotonic() - started)
        report(Event(name, Stage.DONE, f"{outcome.interpreter}, {outcome.packages} packages"))
        return outcome

    outcomes = side_by_side(environments, work, workspace.processes, options.jobs, report)
    if not outcomes.errors:
        publish_table(root, workspace.table())
    return outcomes


def _fresh_lock_text(workspace: Workspace, environment: Environment) -> str:
    state = lock_state(workspace, environment)
    if state.status is not LockStatus.FRESH and state.problem:
        raise LockError(state.problem)
    return read_lock_text(workspace, environment)


def _text_digest(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _unchanged(root: str, environment: Environment, text: str, options: BuildOptions) -> Manifest | None:
    """The current generation's manifest, if it is what this build would make.

    An interpreter that was chosen once is kept while it is there, unaltered and fits: a new Python on the
    machine is no reason to build anew, `--python` is.
    """
    generation = current(root, environment.name)
    manifest = read_manifest(root, generation) if generation else None
    if manifest is None or options.rebuild or manifest.options != options_digest(environment):
        return None
    if not options.machine.is_same(manifest.interpreter):
        return None
    if not SpecifierSet(environment.requires_python).contains(manifest.interpreter.version):
        return None
    header = parse_header(text, environment.lock_file, environment.name)
    return manifest if manifest.lock == header.pins else None


def _plan(
    root: str, environment: Environment, text: str, interpreter: Interpreter, build_options: BuildOptions
) -> Plan:
    lock: Lock = parse_lock(text, environment.lock_file, environment.name)
    if (host := host_platform()) not in environment.platforms:
        what = f"its lock covers {', '.join(environment.platforms)}, this machine is {host}"
        remedy = f"Add the platform to 'platforms' in {environment.file} and lock it."
        raise BuildError(Problem(f"environment '{environment.name}'", what, remedy))
    markers = interpreter.marker_environment()
    options = options_digest(environment)
    body = body_digest(lock.pins)
    identifier = generation_identifier(body, interpreter, options)
    return Plan(
        environment=environment,
        lock_text=text,
        lock_text_digest=_text_digest(text),
        lock_body=body,
        packages={pin.name: pin.version for pin in lock.pins if pin.applies(markers)},
        interpreter=interpreter,
        options=options,
        generation=generation_name(root, identifier, build_options.rebuild),
    )


def _built(
    workspace: Workspace, plan: Plan, options: BuildOptions, bytecode: Bytecode, report: Report
) -> tuple[BuildStatus, Manifest]:
    """Make the generation if it is not there whole, and point the environment's name to it."""
    root, name = workspace.project.root, plan.environment.name
    status = BuildStatus.SWITCHED

    def waiting() -> None:
        report(Event(name, Stage.WAITING, "another build makes the same generation"))

    with locked(root, plan.generation, waiting) as held:
        if not is_whole(root, plan.generation):
            uv = Uv(workspace.processes, options.source)
            tools = Tools(workspace.processes, uv, options.machine, bytecode)
            GenerationBuilder(root, tools, held, report).make(plan)
            status = BuildStatus.BUILT
        report(Event(name, Stage.PUBLISHING))
        switched = publish_generation(root, name, plan.generation, Action.BUILD)
    if not switched and status is BuildStatus.SWITCHED:
        status = BuildStatus.UNCHANGED
    manifest = read_manifest(root, plan.generation)
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
