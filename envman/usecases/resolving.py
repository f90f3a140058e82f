"""Resolve the packages of an environment, with the wheels of the project's own sources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from envman.errors import LockError, Problem
from envman.lock.dev_lock import dev_inputs, lacking
from envman.lock.lockfile import Lock, Pin, parse_pins, pins_text
from envman.lock.platforms import lowest_python
from envman.lock.source_only import SourceOnly, source_only
from envman.spec.inputs import Inputs
from envman.spec.own_code import twice_problem
from envman.spec.project import Environment
from envman.spec.workspace import Workspace
from envman.system.events import Event, Report, Stage
from envman.uv.known_packages import LocalWheel
from envman.uv.runner import SourceNeededError, Upgrade, Uv

if TYPE_CHECKING:
    from envman.build.own_wheels import OwnWheel
    from envman.build.source_builds import SourceOptions, SourceTools
    from envman.build.source_metadata import SourceMetadata


@dataclass(frozen=True)
class LockResolution:
    """Whose requirements are resolved, by what, and whether sources run in a sandbox only."""

    workspace: Workspace
    environment: Environment
    uv: Uv
    report: Report
    sandbox_required: bool


def resolved_lock(
    resolution: LockResolution, inputs: Inputs, old: Lock, upgrade: Upgrade, believed: bool = True
) -> tuple[Lock, tuple[SourceOnly, ...]]:
    """The lock, whose versions are those of the old one as far as they fit, and the pins that have no wheel.

    Of an old one that is not believed no hash is taken over, and no wheel is looked for.
    """
    uv, name = resolution.uv, inputs.environment
    with ExitStack() as stack:
        own = _own_wheels(resolution, inputs, old if not upgrade.everything else None, stack)
        kept = [pin for pin in old.pins if pin.name not in own]
        previous = pins_text(kept) if believed else bare(kept)
        text = _text(resolution, inputs, (previous, upgrade), own, stack)
    pins = parse_pins(text, f"what uv resolved for '{name}'", name)
    for wheel in own.values():
        if any(pin.name == wheel.pin.name and pin.hashes != wheel.pin.hashes for pin in pins):
            what = f"'{wheel.pin.name}' is not taken from {wheel.source.path}"
            raise LockError(Problem(f"environment '{name}'", what, "Report this, with uv's version."))
    lock = Lock(name, inputs.digests(), pins, tuple(sorted(wheel.locked for wheel in own.values())))
    if not believed:
        return lock, ()
    files = uv.files_of(lock.indexed(), inputs.requires_python)
    return lock, source_only(files, inputs.platforms, lowest_python(inputs.requires_python))


def bare(pins: Iterable[Pin]) -> str:
    """Pins without the hashes that somebody says they have."""
    return "".join(f"{pin.name}=={pin.version}{pin.marker and f' ; {pin.marker}'}\n" for pin in pins)


def _own_wheels(
    resolution: LockResolution, inputs: Inputs, old: Lock | None, stack: ExitStack
) -> dict[str, OwnWheel]:
    """The wheels of the project's own sources, by name; raises LockError for two of one name, or a name that
    an override would take from an index.
    """
    if not inputs.sources:
        return {}
    from envman.build.own_wheels import OwnWheels  # which no other environment needs
    from envman.build.source_metadata import source_builds

    builds = stack.enter_context(source_builds(*_building(resolution)))
    wheels = OwnWheels(resolution.workspace.project.directory, builds)
    known = {one.path: one for one in old.sources} if old else {}
    found: dict[str, OwnWheel] = {}
    problems: list[Problem] = []
    overridden = {canonicalize_name(Requirement(text).name) for text in inputs.overrides}
    for label, source in inputs.sources.items():
        same = old is not None and old.inputs.get(label) == inputs.digests()[label]
        locked = known.get(source.path) if same else None
        wheel = wheels.for_lock(source, inputs.trees[source.path], locked)
        name = wheel.pin.name
        resolution.report(
            Event(inputs.environment, Stage.RESOLVING, f"{name} {wheel.pin.version} from {source.path}")
        )
        if name in found:
            problems.append(twice_problem(name, (source.path, found[name].source.path)))
        if name in overridden:
            what, remedy = f"{source.path} is its source", "Take the override out."
            problems.append(Problem(f"override of '{name}'", what, remedy))
        found[name] = wheel
    for wheel in found.values():  # whose names only their builds have told
        if asked := {one.partition("==")[0] for one in wheel.built_with} & found.keys():
            what = f"its build took '{min(asked)}', a source, from an index"
            problems.append(Problem(wheel.source.path, what, "Take that out of what its build asks for."))
    if problems:
        raise LockError(
            Problem(f"environment '{inputs.environment}': {p.where}", p.what, p.remedy) for p in problems
        )
    return found


def _text(
    resolution: LockResolution,
    inputs: Inputs,
    kept: tuple[str, Upgrade],
    own: Mapping[str, OwnWheel],
    stack: ExitStack,
) -> str:
    """What uv resolves, which is told what it would have to build sources for, one after the other."""
    reader: SourceMetadata | None = None
    wheels = [
        LocalWheel(one.pin.name, one.pin.version, str(one.wheel.path), one.wheel.sha256, one.source.extras)
        for one in own.values()
    ]
    while True:
        try:
            return resolution.uv.resolve(inputs, *kept, reader.known if reader else (), wheels)
        except SourceNeededError as needed:
            reader = reader or stack.enter_context(_reader(resolution, inputs))
            reader.read(needed.package, needed.version)


def resolved_text(resolution: LockResolution, inputs: Inputs, previous: str, upgrade: Upgrade) -> str:
    """What uv resolves of requirements alone, without sources of the project's own."""
    with ExitStack() as stack:
        return _text(resolution, inputs, (previous, upgrade), {}, stack)


def _reader(resolution: LockResolution, inputs: Inputs) -> AbstractContextManager[SourceMetadata]:
    """What reads the metadata of sources; raises BuildError where no interpreter fits the environment."""
    from envman.build.source_metadata import source_metadata  # which only a source needs

    return source_metadata(*_building(resolution), inputs.requires_python)


def _building(resolution: LockResolution) -> tuple[SourceOptions, SourceTools]:
    """For whom sources are built, and what with; raises BuildError where no interpreter fits."""
    from envman.build.own_builds import building_of

    workspace, environment = resolution.workspace, resolution.environment
    return building_of(workspace, environment, resolution.uv, resolution.report, resolution.sandbox_required)


def resolved_dev(
    resolution: LockResolution, of_lock: Inputs, lock: Lock, kept: tuple[str, Upgrade]
) -> tuple[Pin, ...]:
    """The pins of the dev overlay that lies over a lock."""
    environment = resolution.environment
    with ExitStack() as stack:
        own = _own_wheels(resolution, of_lock, lock, stack)
        text = _text(resolution, dev_inputs(environment, lock.pins), kept, own, stack)
    return lacking(parse_pins(text, "dev", environment.name), lock.pins)
