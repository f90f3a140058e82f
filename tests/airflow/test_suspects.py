"""One trigger that ends its runner is found, and no other is failed for it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from envman.airflow.suspects import DEATHS, TRIAL, Suspects
from tests.strategies import law


class World:
    """A bundle's triggers, of which some end whatever runner they are in at once."""

    def __init__(self, bad: set[int]) -> None:
        self.suspects = Suspects()
        self.bad = bad
        self.now = 0.0
        self.failed: set[int] = set()
        self.running: set[int] = set()
        self.deaths = 0

    def round(self, wanted: set[int]) -> None:
        self.now += TRIAL + 1
        self.suspects.forget_all_but(wanted)
        self.running = self.suspects.admitted(wanted, self.running)
        if self.running & self.bad:
            self.failed |= self.suspects.runner_ended(self.running)
            self.running = set()
            self.deaths += 1
        else:
            self.suspects.runner_lives(self.running, self.now)


@law
@given(st.sets(st.integers(1, 30), min_size=1, max_size=12), st.data())
def test_the_bad_ones_are_failed_and_no_others(wanted: set[int], data: st.DataObject) -> None:
    bad = data.draw(st.sets(st.sampled_from(sorted(wanted)), max_size=3))
    world = World(bad)
    for _ in range(400):
        world.round(wanted - world.failed)
    assert world.failed == bad
    assert world.running == wanted - bad
    assert world.deaths <= DEATHS * (len(bad) + 1) + 40 * len(bad)


def test_a_runner_that_ends_now_and_then_makes_nobody_a_suspect() -> None:
    suspects = Suspects()
    for number in range(20):
        begin = number * 100.0
        suspects.runner_lives({1, 2}, begin)
        suspects.runner_lives({1, 2}, begin + TRIAL + 1)
        assert suspects.runner_ended({1, 2}) == set()
        assert suspects.admitted({1, 2}, ()) == {1, 2}


def test_of_the_suspects_one_is_let_in_at_a_time() -> None:
    suspects = Suspects()
    for _ in range(DEATHS):
        assert suspects.runner_ended({3, 1, 2}) == set()
    assert suspects.admitted({1, 2, 3, 9}, ()) == {1, 9}
    suspects.runner_lives({1, 9}, 0.0)
    assert suspects.admitted({1, 2, 3, 9}, {1, 9}) == {1, 9}
    suspects.runner_lives({1, 9}, TRIAL + 1)
    assert suspects.admitted({1, 2, 3, 9}, {1, 9}) == {1, 2, 9}
    assert suspects.runner_ended({1, 2, 9}) == {2}


def test_what_runs_is_never_taken_out() -> None:
    suspects = Suspects()
    for _ in range(DEATHS):
        suspects.runner_ended({1, 2})
    assert suspects.admitted({1, 2}, {1, 2}) == {1, 2}
