"""How the triggerer's capacity is shared between environments. Pure: numbers in, identifiers out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping


def choose(
    waiting: Iterable[tuple[int, str]],
    held: Mapping[str, int],
    environments: Collection[str],
    capacity: int,
    at_most: int,
) -> list[int]:
    """Which of the waiting triggers to take on now, in their order.

    `waiting` are triggers with their environments, the most urgent first; `held` says how many each
    environment has already. Half of the capacity belongs to all environments in equal parts, taken or not;
    the other half to whoever comes first. A team that defers thousands of tasks leaves room for the others.
    """
    own = capacity // (2 * max(len(environments), 1))
    counts = Counter(held)
    free = capacity - counts.total()
    kept = sum(max(0, own - counts[environment]) for environment in environments)
    chosen: list[int] = []
    for trigger, environment in waiting:
        if len(chosen) >= at_most or free <= 0:
            break
        below_its_part = environment in environments and counts[environment] < own
        if not below_its_part and free <= kept:
            continue
        chosen.append(trigger)
        counts[environment] += 1
        free -= 1
        kept -= 1 if below_its_part else 0
    return chosen
