"""How much a child may say."""

from __future__ import annotations

import pytest

from envman.door.breach import BreachError
from envman.door.rules import ALONE, MEBIBYTE, SHARED, WINDOW, Allowance, Rule


def test_what_is_said_within_the_window_is_counted_together() -> None:
    allowance = Allowance(Rule(request=1, values=0, output=3 * MEBIBYTE, line=1, answer=1.0), 100.0)
    allowance.take(2 * MEBIBYTE, 101.0)
    allowance.take(MEBIBYTE, 102.0)
    with pytest.raises(BreachError, match="more than 3 MiB of output within 10 s"):
        allowance.take(1, 103.0)


def test_what_is_said_later_is_counted_anew() -> None:
    allowance = Allowance(Rule(request=1, values=0, output=MEBIBYTE, line=1, answer=1.0), 100.0)
    for number in range(10):
        allowance.take(MEBIBYTE, 100.0 + number * (WINDOW + 0.1))


def test_a_task_may_say_as_much_as_it_likes() -> None:
    allowance = Allowance(ALONE, 0.0)
    for _ in range(1000):
        allowance.take(MEBIBYTE, 0.0)


def test_what_shares_its_component_has_the_narrower_rule() -> None:
    assert SHARED.request < ALONE.request
    assert SHARED.answer < ALONE.answer
