from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envman.store.switches import Action, Switch, current_between, parse_history, recent, settled, standing
from tests.strategies import law


def history(*steps: str) -> list[Switch]:
    """Switches a second apart: 'a' is a build of generation a, '<a' a rollback to it."""
    return [
        Switch(step.lstrip("<"), float(at), Action.ROLLBACK if step.startswith("<") else Action.BUILD)
        for at, step in enumerate(steps)
    ]


def test_a_history_reads_back_as_it_was() -> None:
    switches = history("a", "b", "<a")
    assert parse_history("".join(f"{switch.to_line()}\n" for switch in switches)) == tuple(switches)


def test_a_switch_is_one_line() -> None:
    build, rollback = history("a", "<a")
    assert '{"generation": "a", "at": 0.0, "action": "build", "by": {' in build.to_line()
    assert (rollback,) == parse_history(rollback.to_line())


def test_no_text_is_no_history() -> None:
    assert parse_history("") == ()


@pytest.mark.parametrize(
    "line",
    [
        "not JSON",
        '{"generation": "a", "at": 0.0, "action": "deploy"}',
        '{"generation": "a", "at": "yesterday", "action": "build"}',
        '{"generation": "a", "at": 0.0}',
        "[]",
        "1",
        "",
    ],
)
def test_a_damaged_line_is_refused(line: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        parse_history(f"{history('a')[0].to_line()}\n{line}\n")


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((), ()),
        (("a",), ("a",)),
        (("a", "b", "c"), ("a", "b", "c")),
        (("a", "b", "<a"), ("a",)),
        (("a", "b", "c", "<b"), ("a", "b")),
        (("a", "b", "<a", "c"), ("a", "c")),
        (("a", "b", "c", "<b", "<a"), ("a",)),
        (("a", "b", "a"), ("b", "a")),
        (("a", "b", "<a", "<b"), ("a", "b")),
    ],
)
def test_a_rollback_takes_away_what_stands_above(steps: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert standing(history(*steps)) == expected


histories = st.lists(st.sampled_from(["a", "b", "c", "d", "<a", "<b", "<c", "<d"]), max_size=12).map(
    lambda steps: history(*steps)
)


@law
@given(histories)
def test_the_current_generation_stands_last_and_each_stands_once(switches: list[Switch]) -> None:
    stack = standing(switches)
    assert len(set(stack)) == len(stack)
    assert set(stack) <= {switch.generation for switch in switches}
    assert stack[-1:] == tuple(switch.generation for switch in switches[-1:])


@law
@given(histories)
def test_what_was_rolled_back_is_not_gone_back_to(switches: list[Switch]) -> None:
    """Going back below a generation takes it away until a switch names it again."""
    for end in range(1, len(switches)):
        before, after, switch = standing(switches[:end]), standing(switches[: end + 1]), switches[end]
        if switch.action is Action.ROLLBACK and switch.generation in before:
            assert after == before[: before.index(switch.generation) + 1]
        else:
            assert after == (*(name for name in before if name != switch.generation), switch.generation)


def test_a_generation_is_current_until_the_next_switch() -> None:
    switches = history("a", "b", "c")
    assert current_between(switches, 0.0) == {"a", "b", "c"}
    assert current_between(switches, 1.0) == {"a", "b", "c"}
    assert current_between(switches, 1.5) == {"b", "c"}
    assert current_between(switches, 100.0) == {"c"}
    assert current_between([], 0.0) == set()


@law
@given(histories.filter(bool), st.floats(-1, 13))
def test_the_last_generation_is_current_at_any_later_time(switches: list[Switch], since: float) -> None:
    found = current_between(switches, since)
    assert switches[-1].generation in found
    assert {switch.generation for switch in switches if switch.at >= since} <= found


def test_the_recent_ones_are_the_last_different_ones() -> None:
    switches = history("a", "b", "c", "<b", "c", "<b")
    assert recent(switches, 0) == set()
    assert recent(switches, 1) == {"b"}
    assert recent(switches, 2) == {"b", "c"}
    assert recent(switches, 9) == {"a", "b", "c"}


@law
@given(histories, st.integers(0, 6))
def test_recent_gives_as_many_as_there_are_up_to_the_count(switches: list[Switch], count: int) -> None:
    different = {switch.generation for switch in switches}
    found = recent(switches, count)
    assert found <= different
    assert len(found) == min(count, len(different))


@pytest.mark.parametrize(
    ("steps", "current", "took_place"),
    [
        ((), None, 0),
        ((), "a", 0),
        (("a",), "a", 1),
        (("a",), None, 0),
        (("a", "b"), "b", 2),
        (("a", "b"), "a", 1),
        (("a", "b", "<a"), "b", 2),
        (("a", "b", "<a"), "a", 3),
        (("a", "b"), None, 2),
        (("a", "b"), "c", 2),
    ],
)
def test_a_switch_that_was_cut_off_before_it_was_made_did_not_take_place(
    steps: tuple[str, ...], current: str | None, took_place: int
) -> None:
    assert settled(history(*steps), current) == tuple(history(*steps)[:took_place])
