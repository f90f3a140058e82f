"""Which generations an environment's name pointed to, when and why; and which one a rollback goes back to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum

from envman.system.actor import Actor, parse_actor


class Action(str, Enum):
    """What made an environment's name point to a generation."""

    BUILD = "build"
    PULL = "pull"
    ROLLBACK = "rollback"


@dataclass(frozen=True)
class Switch:
    """One switch of an environment's name; `at` is in seconds since the epoch, `by` who did it."""

    generation: str
    at: float
    action: Action
    by: Actor = field(default_factory=Actor)

    def to_line(self) -> str:
        """One line of JSON, without a line feed."""
        return json.dumps(asdict(self))


def parse_history(text: str) -> tuple[Switch, ...]:
    """Read history lines, oldest first; raises ValueError for text that is none."""
    switches: list[Switch] = []
    for line in text.splitlines():
        data = json.loads(line)
        if not isinstance(data, dict):
            raise TypeError("is not an object")
        by = parse_actor(data.get("by", {}))
        switches.append(Switch(str(data["generation"]), float(data["at"]), Action(data["action"]), by))
    return tuple(switches)


def settled(history: Sequence[Switch], current: str | None) -> tuple[Switch, ...]:
    """The switches that took place, by where the name points.

    A switch is written into the history before it is made. Where a command was cut off in between, the name
    still points where the switch before it has led, and the last one never took place.
    """
    before = history[-2].generation if len(history) > 1 else None
    if history and history[-1].generation != current == before:
        return tuple(history[:-1])
    return tuple(history)


def standing(history: Sequence[Switch]) -> tuple[str, ...]:
    """The generations that builds put on top of each other, current one last.

    A build puts its generation on top; a rollback takes away what stands above the one that it goes back to:
    what was rolled back is never what a later rollback returns to.
    """
    stack: list[str] = []
    for switch in history:
        if switch.generation in stack:
            if switch.action is Action.ROLLBACK:
                del stack[stack.index(switch.generation) + 1 :]
                continue
            stack.remove(switch.generation)
        stack.append(switch.generation)
    return tuple(stack)


def current_between(history: Sequence[Switch], since: float) -> set[str]:
    """The generations that the name pointed to at some moment from `since` on."""
    current: set[str] = set()
    for index, switch in enumerate(history):
        following = history[index + 1].at if index + 1 < len(history) else float("inf")
        if following >= since:
            current.add(switch.generation)
    return current


def recent(history: Sequence[Switch], count: int) -> set[str]:
    """The last `count` different generations that the name pointed to."""
    found: list[str] = []
    for switch in reversed(history):
        if switch.generation not in found:
            found.append(switch.generation)
    return set(found[:count])
