"""Whether locks answer their specs: for `lock --check`, `build` and `list`. No network."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from envman.errors import LockError, PolicyError, Problem
from envman.lock.lockfile import LockedSource, parse_header
from envman.lock.signatures import check_lock, check_project
from envman.spec.inputs import CORE, changed_inputs
from envman.spec.own_code import OwnSource
from envman.spec.project import Environment
from envman.spec.workspace import Workspace

SDK = "apache-airflow-task-sdk"


class LockStatus(str, Enum):
    """How a lock stands to its spec."""

    FRESH = "fresh"
    STALE = "stale"
    MISSING = "missing"
    DAMAGED = "damaged"
    EDITED = "edited"
    """It answers its spec, and holds what resolving does not give."""
    UNSIGNED = "unsigned"
    """It answers its spec, and the policy refuses it, its spec or envman.toml."""


@dataclass(frozen=True)
class LockState:
    """One environment's lock: its status, what is wrong with it; if it is fresh, the digest of its pins."""

    environment: str
    file: str
    status: LockStatus
    problem: Problem | None = None
    pins: str = ""


def read_lock_text(workspace: Workspace, environment: Environment, file: str = "") -> str:
    """The lock's text, or that of another `file` of the environment's; empty where there is none. Raises
    LockError where it can't be read.
    """
    file = file or environment.lock_file
    try:
        return workspace.files.read(file)
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        remedy = f"Make it anew: envman lock {environment.name}"
        why = (isinstance(error, OSError) and error.strerror) or error
        raise LockError(Problem(file, f"can't be read: {why}", remedy)) from None


def lock_state(workspace: Workspace, environment: Environment) -> LockState:
    """Compare an environment's lock with its spec and the files that the spec names; where a policy stands,
    the signatures of lock, spec and envman.toml have to be ones that it allows.
    """
    return _checked(workspace, environment)[0]


def _checked(workspace: Workspace, environment: Environment) -> tuple[LockState, str]:
    """The state of a lock, and the text that has it: it is read once, so that no other one is built."""
    state, text = state_to_spec(workspace, environment)
    if state.problem:
        return state, text
    try:
        check_project(workspace)
        check_lock(workspace, environment, text)
    except PolicyError as error:
        problem = error.problems[0]
        return LockState(environment.name, environment.lock_file, LockStatus.UNSIGNED, problem), text
    return state, text


def state_to_spec(workspace: Workspace, environment: Environment) -> tuple[LockState, str]:
    """Compare an environment's lock with its spec and the files that the spec names; with the lock's text,
    whoever has signed it.
    """
    try:
        text = read_lock_text(workspace, environment)
    except LockError as error:
        damaged = LockState(environment.name, environment.lock_file, LockStatus.DAMAGED, error.problems[0])
        return damaged, ""
    return _compared(workspace, environment, text), text


def _compared(workspace: Workspace, environment: Environment, text: str) -> LockState:
    name, file = environment.name, environment.lock_file
    remedy = f"Run: envman lock {name}"
    if not text:
        problem = Problem(file, f"the environment '{name}' has no lock", remedy)
        return LockState(name, file, LockStatus.MISSING, problem)
    try:
        header = parse_header(text, file, name)
        if header.environment != name:
            raise LockError(Problem(file, f"is the lock of the environment '{header.environment}'", remedy))
    except LockError as error:
        return LockState(name, file, LockStatus.DAMAGED, error.problems[0])
    inputs = workspace.inputs(environment)
    changes = changed_inputs(header.inputs, inputs.digests(fetched=header.inputs))
    if not changes and not _are_of(header.sources, inputs.sources.values()):
        problem = Problem(file, f"its sources are not those of {environment.file}", remedy)
        return LockState(name, file, LockStatus.DAMAGED, problem)
    if not changes:
        return LockState(name, file, LockStatus.FRESH, pins=header.pins)
    listed = "; ".join(f"{label} {change.value}" for label, change in changes)
    problem = Problem(file, f"does not answer {environment.file}: {listed}", remedy)
    return LockState(name, file, LockStatus.STALE, problem)


def _are_of(locked: Iterable[LockedSource], declared: Iterable[OwnSource]) -> bool:
    """Whether these are the declared sources, by their paths, and by their names where those are stated.

    What a lock has of a source without saying so would be taken from an index.
    """
    names = {source.path: source.name for source in declared}
    found = {source.path: source.name for source in locked}
    return names.keys() == found.keys() and all(name in {"", found[path]} for path, name in names.items())


def check_states(states: Iterable[LockState]) -> None:
    """Raises LockError, or PolicyError if the policy refuses the first that is not as it should be."""
    wrong = [state for state in states if state.problem]
    problems = list(dict.fromkeys(state.problem for state in wrong if state.problem))
    if wrong:
        raise PolicyError(problems) if wrong[0].status is LockStatus.UNSIGNED else LockError(problems)


def fresh_lock_text(workspace: Workspace, environment: Environment) -> str:
    """The text of a lock that answers its spec; raises LockError for any other, PolicyError for one that the
    policy refuses.
    """
    state, text = _checked(workspace, environment)
    check_states([state])
    return text


def check_locks(workspace: Workspace, names: Iterable[str]) -> tuple[LockState, ...]:
    """The states of several locks; raises LockError if they disagree about the deployment's Airflow."""
    states = tuple(lock_state(workspace, environment) for environment in workspace.choose(names))
    if problems := airflow_problems(workspace):
        raise LockError([*(state.problem for state in states if state.problem), *problems])
    return states


def airflow_problems(workspace: Workspace) -> list[Problem]:
    """Locks of one deployment that pin different releases of the task SDK, or another Airflow.

    The core's metadata names its task SDK: exactly from Airflow 3.1 on, as a range before.
    """
    version = workspace.project.airflow_version
    if version is None:
        return []
    releases: dict[str, list[str]] = {}
    for environment in workspace.project.environments.values():
        text = read_lock_text(workspace, environment) if environment.airflow else ""
        pinned = _pinned(text, CORE), _pinned(text, SDK)
        if text and pinned[0] == [version]:  # another core: the lock is stale, and says so itself
            releases.setdefault(", ".join(pinned[1]) or "none", []).append(environment.name)
    if len(releases) < 2:
        return []
    listed = "; ".join(f"{sdk} in {', '.join(names)}" for sdk, names in sorted(releases.items()))
    remedy = f"Components and environments run the same release: envman lock -P {SDK}"
    return [Problem("airflow-version", f"the locks pin different releases of {SDK}: {listed}", remedy)]


def _pinned(text: str, package: str) -> list[str]:
    return sorted(set(re.findall(rf"^{re.escape(package)}==([^\s;\\]+)", text, re.MULTILINE)))
