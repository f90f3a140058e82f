"""The fewest groups that sets of requirements fit into, asked of whoever can tell whether some fit together.

What fits together fits in parts, too, and what does not fit does not with more: so an answer tells of others.
Up to MOST_EXACT members every grouping that could be smaller is tried, within MOST_QUESTIONS. Above that
each member goes into the first group that takes it: the number of groupings grows faster than exponentially,
and each may have to be asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

MOST_EXACT = 12
MOST_QUESTIONS = 500
"""Questions after which no smaller grouping is looked for any more: each may take a second."""

Members = frozenset[int]
Question = tuple[Members, str]
"""Do these members fit together, on this Python?"""


class FitAnswers:
    """Which members fit together on which Python, as far as it is known or follows."""

    def __init__(self, ask: Callable[[FitAnswers, Collection[Question]], None]) -> None:
        self._ask = ask
        self._fitting: dict[str, set[Members]] = {}
        self._conflicting: dict[str, set[Members]] = {}
        self.asked = 0

    def note(self, members: Members, python: str, fits: bool) -> None:
        """Note an answer."""
        (self._fitting if fits else self._conflicting).setdefault(python, set()).add(members)

    def known(self, members: Members, python: str) -> bool | None:
        """The answer, if it is known or follows from others."""
        if any(members <= one for one in self._fitting.get(python, ())):
            return True
        if any(one <= members for one in self._conflicting.get(python, ())):
            return False
        return None

    def fits(self, members: Members, python: str) -> bool:
        """The answer, asked for if need be."""
        self.ask([(members, python)])
        return bool(self.known(members, python))

    def ask(self, questions: Iterable[Question]) -> None:
        """Ask what is not known of these questions."""
        if open_ones := [one for one in dict.fromkeys(questions) if self.known(*one) is None]:
            self.asked += len(open_ones)
            self._ask(self, open_ones)


@dataclass(frozen=True)
class Grouping:
    """Groups of members with the Pythons on which each fits; `least`: with fewer it is shown not to go."""

    groups: tuple[tuple[Members, tuple[str, ...]], ...]
    misfits: tuple[int, ...]
    least: int

    @property
    def is_fewest(self) -> bool:
        """Whether no grouping has fewer."""
        return len(self.groups) == self.least


class _Search:
    def __init__(self, count: int, pythons: Sequence[str], answers: FitAnswers) -> None:
        self.pythons = pythons
        self.answers = answers
        self._ask_each(frozenset([one]) for one in range(count))
        self.members = [one for one in range(count) if self.fit(frozenset([one]))]
        self.misfits = tuple(one for one in range(count) if one not in self.members)

    def _ask_each(self, several: Iterable[Members]) -> None:
        """Ask for several sets at once: on one Python, then on the next for those that did not fit."""
        sets = list(several)
        for python in self.pythons:
            left = [one for one in sets if not any(self.answers.known(one, each) for each in self.pythons)]
            self.answers.ask((one, python) for one in left)

    def fit(self, members: Members) -> bool:
        """Whether there is a Python on which they fit; one that is known to do comes first."""
        states = {python: self.answers.known(members, python) for python in self.pythons}
        if True in states.values():
            return True
        return any(self.answers.fits(members, python) for python, state in states.items() if state is None)

    def all_pairs(self) -> None:
        """Ask for all pairs."""
        self._ask_each(frozenset(pair) for pair in combinations(self.members, 2))

    def conflict(self, one: int, other: int) -> bool:
        """Whether two are known to fit on no Python."""
        pair = frozenset([one, other])
        return all(self.answers.known(pair, python) is False for python in self.pythons)

    def order(self) -> list[int]:
        """The members, those first that are known to conflict with most others."""
        return sorted(self.members, key=lambda one: -sum(self.conflict(one, other) for other in self.members))

    def apart(self) -> list[int]:
        """Members of which no two fit: there are at least as many groups."""
        most: list[int] = []
        for first in self.members:
            found = [first]
            for one in self.members:
                if all(one != other and self.conflict(one, other) for other in found):
                    found.append(one)
            most = max(most, found, key=len)
        return most

    def first_fit(self, order: Iterable[int]) -> list[Members]:
        groups: list[Members] = []
        for member in order:
            for index, group in enumerate(groups):
                if self.fit(group | {member}):
                    groups[index] = group | {member}
                    break
            else:
                groups.append(frozenset([member]))
        return groups

    def fewer(self, order: Sequence[int], best: list[Members], least: int) -> tuple[list[Members], bool]:
        """The smallest grouping, and whether that is certain: each member in turn goes into each group that
        takes it, or a new one.
        """
        waiting: list[list[Members]] = [[]]
        while waiting and len(best) > least:
            if self.answers.asked > MOST_QUESTIONS:
                return best, False
            groups = waiting.pop()
            placed = sum(len(group) for group in groups)
            if placed == len(order):
                best = groups if len(groups) < len(best) else best
                continue
            member = order[placed]
            if len(groups) + 1 < len(best):
                waiting.append([*groups, frozenset([member])])
            for index in reversed(range(len(groups))):
                grown = groups[index] | {member}
                if len(groups) < len(best) and self.fit(grown):
                    waiting.append([*groups[:index], grown, *groups[index + 1 :]])
        return best, True


def group(count: int, pythons: Sequence[str], answers: FitAnswers) -> Grouping:
    """Group members 0 to `count`, each on one of the Pythons; members that fit on none are left out."""
    answers.ask((frozenset(range(count)), python) for python in pythons)
    search = _Search(count, pythons, answers)
    everyone = frozenset(search.members)
    if not everyone or search.fit(everyone):
        groups = [everyone] if everyone else []
        return Grouping(_with_pythons(groups, search), search.misfits, len(groups))
    groups = search.first_fit(search.order())
    least = max(2, len(search.apart()))
    is_small = len(everyone) <= MOST_EXACT
    if len(groups) > least:
        if is_small:
            search.all_pairs()
        groups = min(
            groups, search.first_fit(search.order()), key=len
        )  # in the order of what is known by now
        least = max(least, len(search.apart()))
    if len(groups) > least and is_small:
        groups, is_certain = search.fewer(search.order(), groups, least)
        least = len(groups) if is_certain else least
    return Grouping(_with_pythons(groups, search), search.misfits, least)


def _with_pythons(groups: Iterable[Members], search: _Search) -> tuple[tuple[Members, tuple[str, ...]], ...]:
    ordered = sorted(groups, key=lambda one: (-len(one), sorted(one)))
    search.answers.ask((one, python) for one in ordered for python in search.pythons)
    return tuple(
        (one, tuple(python for python in search.pythons if search.answers.known(one, python)))
        for one in ordered
    )


def smallest_conflict(items: Sequence[str], conflicts: Callable[[Sequence[str]], bool]) -> list[str]:
    """The fewest of conflicting items that still conflict, in the sense that each of them is needed.

    Halves are taken out as long as the rest conflicts (Junker's QuickXplain).
    """

    def explain(background: list[str], added: bool, rest: list[str]) -> list[str]:
        if added and conflicts(background):
            return []
        if len(rest) == 1:
            return rest
        middle = len(rest) // 2
        first, second = rest[:middle], rest[middle:]
        of_second = explain([*background, *first], True, second)
        of_first = explain([*background, *of_second], bool(of_second), first)
        return [*of_first, *of_second]

    return explain([], False, list(items)) if items else []
