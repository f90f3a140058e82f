"""The lock of an environment's dev overlay: what `[dev]` asks for, over the versions of its own lock.

It stands beside that, and holds what the environment lacks. Its inputs are the requirements of `[dev]` and
the pins of the environment's lock, so that a change of either makes it stale.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from envman.errors import LockError, Problem
from envman.lock.lock_state import LockState, LockStatus, read_lock_text
from envman.lock.lockfile import Pin, parse_header, parse_pins
from envman.spec.inputs import ConstraintSet, Inputs, changed_inputs
from envman.spec.project import Environment
from envman.spec.workspace import Workspace


def dev_inputs(environment: Environment, pins: Iterable[Pin]) -> Inputs:
    """What decides the lock of the overlay; `pins` are those of the environment's lock."""
    held = tuple(f"{pin.name}=={pin.version}{pin.marker and f' ; {pin.marker}'}" for pin in pins)
    return Inputs(
        environment=environment.name,
        requires_python=environment.requires_python,
        platforms=environment.platforms,
        airflow_version=None,
        requirements={"dev.dependencies": environment.dev},
        constraints=(ConstraintSet("environment's lock", None, held),),
        overrides=environment.overrides,
        no_build=environment.no_build,
    )


def lacking(resolved: Iterable[Pin], pins: Sequence[Pin]) -> tuple[Pin, ...]:
    """The resolved pins without those that the environment has wherever they are wanted."""
    had = {(pin.name, pin.version, pin.marker) for pin in pins}
    return tuple(
        pin
        for pin in resolved
        if not {(pin.name, pin.version, pin.marker), (pin.name, pin.version, "")} & had
    )


def read_dev_lock(workspace: Workspace, environment: Environment) -> str:
    """The text of the overlay's lock, empty where there is none; raises LockError where it can't be read."""
    return read_lock_text(workspace, environment, environment.dev_lock_file)


def fresh_dev_lock(workspace: Workspace, environment: Environment, pins: Sequence[Pin]) -> str:
    """The text of an overlay's lock that answers `[dev]` and these pins; raises LockError for any other."""
    text = read_dev_lock(workspace, environment)
    state = _state(environment, text, pins)
    if state.problem:
        raise LockError(state.problem)
    return text


def dev_lock_states(workspace: Workspace, names: Iterable[str]) -> tuple[LockState, ...]:
    """The states of the overlays' locks; an environment whose own lock is no lock has none."""
    states: list[LockState] = []
    for environment in workspace.choose(names):
        if not environment.dev:
            continue
        try:
            pins = parse_pins(read_lock_text(workspace, environment), environment.lock_file, environment.name)
        except LockError:
            continue
        try:
            states.append(_state(environment, read_dev_lock(workspace, environment), pins))
        except LockError as error:
            states.append(_wrong(environment, LockStatus.DAMAGED, error.problems[0]))
    return tuple(states)


def _state(environment: Environment, text: str, pins: Sequence[Pin]) -> LockState:
    name, file = environment.name, environment.dev_lock_file
    remedy = f"Run: envman lock {name}"
    if not text:
        what = f"the dev overlay of the environment '{name}' has no lock"
        return _wrong(environment, LockStatus.MISSING, Problem(file, what, remedy))
    try:
        header = parse_header(text, file, name)
        if header.environment != name:
            raise LockError(Problem(file, f"is the lock of the environment '{header.environment}'", remedy))
    except LockError as error:
        return _wrong(environment, LockStatus.DAMAGED, error.problems[0])
    changes = changed_inputs(header.inputs, dev_inputs(environment, pins).digests())
    if not changes:
        return LockState(name, file, LockStatus.FRESH)
    listed = "; ".join(f"{label} {change.value}" for label, change in changes)
    what = f"is out of date with [dev] of {environment.file}, or with {environment.lock_file}: {listed}"
    return _wrong(environment, LockStatus.STALE, Problem(file, what, remedy))


def _wrong(environment: Environment, status: LockStatus, problem: Problem) -> LockState:
    return LockState(environment.name, environment.dev_lock_file, status, problem)
