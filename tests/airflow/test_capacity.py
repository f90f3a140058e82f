from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envman.airflow.capacity import choose
from tests.strategies import law

Waiting = list[tuple[int, str]]


def waiting(owners: str) -> Waiting:
    """One trigger for each letter, whose environment the letter is."""
    return list(enumerate(owners))


@pytest.mark.parametrize(
    ("owners", "held", "environments", "capacity", "chosen"),
    [
        ("", {}, "ab", 8, []),
        ("aabb", {}, "ab", 8, [0, 1, 2, 3]),
        ("aaaaaaaaaa", {}, "ab", 8, [0, 1, 2, 3, 4, 5]),  # two places are kept for b
        ("aaaaaaaaaab", {}, "ab", 8, [0, 1, 2, 3, 4, 5, 10]),
        ("aab", {"a": 6}, "ab", 8, [2]),
        ("aab", {"a": 8}, "ab", 8, []),
        ("aab", {"a": 9}, "ab", 8, []),
        ("ab", {"a": 4, "b": 2}, "ab", 8, [0, 1]),
        ("aaab", {"a": 4, "b": 3}, "ab", 8, [0]),  # b has its part, so nothing is kept
        ("aaaa", {}, "a", 4, [0, 1, 2, 3]),
        ("aaaa", {}, "ab", 3, [0, 1, 2]),  # a part of less than one place is none
        ("aaaa", {}, "", 3, [0, 1, 2]),
        ("??aa", {}, "a", 4, [0, 1, 2, 3]),
        ("?????a", {}, "a", 4, [0, 1, 5]),  # what belongs to nobody leaves the parts alone
        ("aaab", {}, "ab", 0, []),
    ],
)
def test_half_of_the_capacity_is_kept_in_equal_parts(
    owners: str, held: dict[str, int], environments: str, capacity: int, chosen: list[int]
) -> None:
    assert choose(waiting(owners), held, list(environments), capacity, 100) == chosen


def test_no_more_than_one_rounds_share_is_taken() -> None:
    assert choose(waiting("aabb"), {}, "ab", 8, 3) == [0, 1, 2]
    assert choose(waiting("aabb"), {}, "ab", 8, 0) == []


def test_an_environment_that_comes_anew_gets_its_part_as_soon_as_a_place_is_free() -> None:
    held = {"a": 100}
    assert choose(waiting("aaab"), held, "ab", 100, 10) == []
    held["a"] -= 1
    assert choose(waiting("aaab"), held, "ab", 100, 10) == [3]


def test_what_is_held_is_left_as_it_is() -> None:
    held = {"a": 1}
    choose(waiting("aab"), held, "ab", 8, 8)
    assert held == {"a": 1}


owners = st.sampled_from("abcd")
situations = st.tuples(
    st.text("abcd", max_size=30),
    st.dictionaries(owners, st.integers(0, 12), max_size=4),
    st.sets(owners, max_size=4),
    st.integers(0, 24),
    st.integers(0, 30),
)
Situation = tuple[str, dict[str, int], set[str], int, int]


@law
@given(situations)
def test_never_more_than_the_capacity_and_the_rounds_share_and_in_order(situation: Situation) -> None:
    letters, held, environments, capacity, at_most = situation
    chosen = choose(waiting(letters), held, environments, capacity, at_most)
    assert len(chosen) <= at_most
    assert len(chosen) <= max(0, capacity - sum(held.values()))
    assert chosen == sorted(set(chosen))
    for environment in set(letters):
        of_it = [number for number, owner in enumerate(letters) if owner == environment]
        taken = [number for number in chosen if letters[number] == environment]
        assert taken == of_it[: len(taken)]


def _own(environments: set[str], capacity: int) -> int:
    return capacity // (2 * max(len(environments), 1))


@law
@given(situations)
def test_who_is_below_its_part_gets_a_place_whenever_one_is_free(situation: Situation) -> None:
    letters, held, environments, capacity, at_most = situation
    chosen = choose(waiting(letters), held, environments, capacity, at_most)
    after = Counter(held) + Counter(letters[number] for number in chosen)
    if len(chosen) < at_most and after.total() < capacity:
        for number, owner in enumerate(letters):
            if number not in chosen and owner in environments:
                assert after[owner] >= _own(environments, capacity), (number, chosen)


@law
@given(situations)
def test_what_stays_free_is_kept_for_somebody_below_its_part(situation: Situation) -> None:
    letters, held, environments, capacity, at_most = situation
    chosen = choose(waiting(letters), held, environments, capacity, at_most)
    after = Counter(held) + Counter(letters[number] for number in chosen)
    own = _own(environments, capacity)
    kept = sum(max(0, own - after[environment]) for environment in environments)
    if len(chosen) < min(at_most, len(letters)):
        assert capacity - after.total() <= kept


@law
@given(situations)
def test_who_has_its_part_does_not_take_a_place_that_is_kept(situation: Situation) -> None:
    letters, held, environments, capacity, at_most = situation
    counts, own = Counter(held), _own(environments, capacity)
    for number in choose(waiting(letters), held, environments, capacity, at_most):
        owner = letters[number]
        kept = sum(max(0, own - counts[environment]) for environment in environments)
        assert (owner in environments and counts[owner] < own) or capacity - counts.total() > kept
        counts[owner] += 1
