"""The search for the groups of packages that make the difference. It asks, and whoever runs it answers.

The groups are in an order in which the first so many always fit together. Half of the distance between the
last good and the first bad number of groups is tried, until they are neighbours: then that group makes the
difference, beside those in front of it. Whether it does so alone, with what it needs, is tried then. If not,
the same search among those in front finds what it takes besides.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from enum import Enum


class Verdict(str, Enum):
    """What a trial of a set says."""

    GOOD = "good"
    BAD = "bad"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Found:
    """The groups that make the difference, together if they are several, by their numbers, in the order in
    which they were found. `suspects` are further ones of which it is one at least: what is between could not
    be tried. `alone_untried`: whether the groups do without the others could not be tried.
    """

    culprits: tuple[int, ...]
    suspects: tuple[int, ...] = ()
    alone_untried: bool = False


Search = Generator[frozenset[int], Verdict, Found]
"""Yields sets of groups to try, takes verdicts, returns what was found."""


def bisection(with_groups: Sequence[frozenset[int]]) -> Search:
    """Search among groups, each with those that have to move with it; all of them together are bad, none is
    good. No set is asked for twice.
    """
    known = {frozenset[int](): Verdict.GOOD, frozenset(range(len(with_groups))): Verdict.BAD}
    culprits: list[int] = []
    moved: frozenset[int] = frozenset()
    bound = len(with_groups)
    while True:
        low, high = yield from _narrowed(moved, bound, known)
        if high - low > 1:
            return Found(tuple(culprits), tuple(range(low, high)))
        culprits.append(low)
        moved |= with_groups[low]
        verdict = yield from _asked(moved, known)
        if verdict is Verdict.BAD:
            return Found(tuple(culprits))
        if verdict is Verdict.SKIPPED or low == 0:
            return Found(tuple(culprits), alone_untried=True)
        bound = low


def _narrowed(
    moved: frozenset[int], bound: int, known: dict[frozenset[int], Verdict]
) -> Generator[frozenset[int], Verdict, tuple[int, int]]:
    """Numbers of first groups, a good one and a bad one, with nothing between them that could be tried."""
    low, high = 0, bound
    while high - low > 1:
        middle = (low + high) // 2
        for candidate in sorted(range(low + 1, high), key=lambda number: abs(number - middle)):
            verdict = yield from _asked(moved | frozenset(range(candidate)), known)
            if verdict is Verdict.BAD:
                high = candidate
            elif verdict is Verdict.GOOD:
                low = candidate
            else:
                continue
            break
        else:
            break
    return low, high


def _asked(
    wanted: frozenset[int], known: dict[frozenset[int], Verdict]
) -> Generator[frozenset[int], Verdict, Verdict]:
    if wanted not in known:
        known[wanted] = yield wanted
    return known[wanted]


def usual_trials(groups: int) -> int:
    """How many sets are tried at most, where one group makes the difference and none is skipped."""
    return max(groups - 1, 0).bit_length() + (groups > 1)
