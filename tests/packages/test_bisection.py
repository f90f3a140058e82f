"""The search for what makes the difference, against every answer there may be."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envman.packages.bisection import Found, Verdict, bisection, usual_trials

Judge = Callable[[frozenset[int]], Verdict]


def searched(count: int, judge: Judge, below: dict[int, set[int]] | None = None) -> tuple[Found, int]:
    """What the search finds, and how many sets it has tried, none of them twice."""
    groups = [frozenset({number, *(below or {}).get(number, ())}) for number in range(count)]
    search = bisection(groups)
    tried: list[frozenset[int]] = []
    try:
        wanted = next(search)
        while True:
            assert wanted not in tried
            tried.append(wanted)
            wanted = search.send(judge(wanted))
    except StopIteration as stop:
        return stop.value, len(tried)


def needs(*culprits: int) -> Judge:
    return lambda wanted: Verdict.BAD if wanted >= {*culprits} else Verdict.GOOD


@pytest.mark.parametrize("count", range(1, 40))
def test_one_culprit_is_found_wherever_it_is(count: int) -> None:
    for culprit in range(count):
        found, tried = searched(count, needs(culprit))
        assert found == Found((culprit,))
        assert tried <= usual_trials(count)


def test_one_of_fourteen_takes_five_trials_at_most() -> None:
    assert max(searched(14, needs(culprit))[1] for culprit in range(14)) == usual_trials(14) == 5


@given(
    st.integers(2, 20).flatmap(
        lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1), min_size=1, max_size=4))
    )
)
def test_what_it_takes_together_is_found_together(asked: tuple[int, set[int]]) -> None:
    count, culprits = asked
    found, tried = searched(count, needs(*culprits))
    assert set(found.culprits) == culprits
    assert not found.suspects
    assert tried <= len(culprits) * usual_trials(count)


def test_a_culprit_takes_along_what_it_needs_and_that_is_none() -> None:
    below = {5: {1, 2}, 7: {1}}
    found, _ = searched(9, needs(5), below)
    assert found == Found((5,))


@given(st.integers(2, 14), st.data())
def test_skipped_sets_leave_suspects_with_the_culprit_among_them(count: int, data: st.DataObject) -> None:
    culprit = data.draw(st.integers(0, count - 1))
    skipped = data.draw(st.sets(st.integers(0, count)))

    def judge(wanted: frozenset[int]) -> Verdict:
        return Verdict.SKIPPED if len(wanted) in skipped else needs(culprit)(wanted)

    found, tried = searched(count, judge)
    assert culprit in {*found.culprits, *found.suspects}
    assert found.suspects or found.alone_untried or found == Found((culprit,))
    assert tried <= 3 * count


def test_where_nothing_can_be_tried_all_are_suspects() -> None:
    found, _ = searched(4, lambda _: Verdict.SKIPPED)
    assert found == Found((), (0, 1, 2, 3))


@given(st.integers(1, 12), st.randoms())
def test_a_command_that_answers_by_chance_ends_the_search_too(count: int, random: object) -> None:
    judge = lambda _: getattr(random, "choice")([*Verdict])  # noqa: B009, E731
    assert searched(count, judge)[1] <= count * count + 2
