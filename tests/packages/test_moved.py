"""Which packages can only move together, by their own metadata."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st
from packaging.markers import default_environment

from envman.packages.moved import MovedGroup, moved_groups
from envman.packages.package import Package, conflicts

MARKERS = {key: str(value) for key, value in default_environment().items()}


def names(groups: tuple[MovedGroup, ...]) -> list[list[str]]:
    return [[one.package for one in group.packages] for group in groups]


def test_what_needs_a_newer_one_moves_with_it_and_behind_it() -> None:
    old = [Package("a", "1"), Package("b", "1", ("a<2",)), Package("c", "1"), Package("same", "1", ("a",))]
    new = [Package("a", "2"), Package("b", "2", ("a>=2",)), Package("c", "2"), Package("same", "1", ("a",))]
    groups = moved_groups(old, new, MARKERS)
    assert names(groups) == [["a", "b"], ["c"]]  # each needs the other one's version of its own side
    loose = [Package("a", "1"), Package("b", "1", ("a",)), Package("c", "1")]
    groups = moved_groups(
        loose, [Package("a", "2"), Package("b", "2", ("a>=2",)), Package("c", "2")], MARKERS
    )
    assert names(groups) == [["a"], ["b"], ["c"]]
    assert [group.with_groups for group in groups] == [{0}, {0, 1}, {2}]


def test_packages_that_come_and_go_are_there_as_long_as_somebody_needs_them() -> None:
    old = [Package("a", "1", ("left",)), Package("left", "1")]
    new = [Package("a", "2", ("came",)), Package("came", "1")]
    groups = moved_groups(old, new, MARKERS)
    assert names(groups) == [["came"], ["a"], ["left"]]
    assert groups[2].with_groups == {0, 1, 2}
    assert groups[2].packages[0].new is None


def test_an_override_and_a_requirement_of_another_platform_tie_nothing() -> None:
    old = [Package("a", "1"), Package("b", "1", ("c; sys_platform == 'never'",)), Package("c", "1")]
    new = [Package("a", "2", ("b<1",)), Package("b", "2"), Package("c", "2")]  # b<1 is overridden in both
    assert all(len(group.with_groups) == 1 for group in moved_groups(old, new, MARKERS))


def test_an_extra_ties_where_anybody_asks_for_it() -> None:
    old = [Package("a", "1"), Package("b", "1")]
    new = [Package("a", "2", ("b>=2; extra == 'x'",)), Package("b", "2")]
    assert all(len(group.with_groups) == 1 for group in moved_groups(old, new, MARKERS))
    assert len(moved_groups(old, new, MARKERS, ["a[x]"])[1].with_groups) == 2


@st.composite
def two_sets(draw: st.DrawFn) -> tuple[list[Package], list[Package]]:
    """Two sets of packages that each fit together; some came, some went."""
    count = draw(st.integers(2, 6))
    sides = []
    present = [draw(st.sampled_from([(1, 1), (1, 1), (0, 1), (1, 0)])) for _ in range(count)]
    for side in (0, 1):
        there = [number for number in range(count) if present[number][side]]
        packages = []
        for number in there:
            needed = draw(st.lists(st.sampled_from(there), max_size=2, unique=True))
            bounds = ("", "<2", "<3") if side == 0 else ("", ">=2", ">=1")
            texts = tuple(f"p{one}{draw(st.sampled_from(bounds))}" for one in needed)
            packages.append(Package(f"p{number}", str(side + 1), texts))
        sides.append(packages)
    return sides[0], sides[1]


@given(two_sets())
def test_the_first_so_many_groups_and_each_alone_always_fit_together(
    sets: tuple[list[Package], list[Package]],
) -> None:
    """The same judgement as a build's own, of every set that the search may try."""
    old, new = ({one.name: one for one in side} for side in sets)
    groups = moved_groups(*sets, MARKERS)
    tried = [set(range(number)) for number in range(len(groups) + 1)]
    tried += [set(group.with_groups) for group in groups]
    tried += [a | b for a, b in itertools.product(tried, tried)]
    for wanted in tried:
        moved = {one.package for number in wanted for one in groups[number].packages}
        mixed = {name: one for name, one in old.items() if name not in moved}
        mixed |= {
            name: one for name, one in new.items() if name in moved or (name in old and old[name] == one)
        }
        assert conflicts(mixed.values(), MARKERS, ()) == []
