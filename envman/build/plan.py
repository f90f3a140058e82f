"""What a build is to make: everything that decides a generation, and its name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from envman.errors import BuildError, Problem
from envman.lock.lockfile import Lock, LockedSource, Pin, body_digest, parse_lock
from envman.lock.platforms import host_platform
from envman.spec.project import Environment
from envman.store.folder import Store
from envman.store.manifest import BaseInterpreter, generation_identifier, options_digest


@dataclass(frozen=True)
class Plan:
    """Everything that decides a generation, and what it will hold; `packages` maps names to versions.

    `own` are the pins that are built from sources of the project, with those.
    """

    environment: Environment
    lock_text: str
    lock_text_digest: str
    lock_body: str
    packages: Mapping[str, str]
    interpreter: BaseInterpreter
    options: str
    generation: str
    own: Mapping[Pin, LockedSource] = field(default_factory=dict)


def plan_generation(
    store: Store, environment: Environment, text: str, interpreter: BaseInterpreter, rebuild: bool
) -> Plan:
    """The generation that a lock's text and an interpreter give; with `rebuild` a new one in any case.

    Raises LockError for a damaged lock, BuildError for one that does not cover this machine.
    """
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
        generation=store.name_for(identifier, rebuild),
        own={pin: source for pin, source in lock.own().items() if pin.applies(markers)},
    )


def _text_digest(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
