"""Bundles take turns at being parsed."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from envman.airflow.parse_order import Turns


@dataclass(frozen=True)
class Waiting:
    """A file, named by its bundle and a number."""

    name: str

    @property
    def bundle_name(self) -> str:
        return self.name[0]


def named(names: str) -> list[Waiting]:
    return [Waiting(name) for name in names.split()]


@pytest.mark.parametrize(
    ("waiting", "running", "count", "expected"),
    [
        ("a1 a2 a3", "", 2, "a1 a2"),
        ("a1 a2 a3 b1 b2", "", 2, "a1 b1"),
        ("a1 a2 a3 b1 b2", "", 4, "a1 b1 a2 b2"),
        ("a1 a2 a3 b1 b2", "a8 a9", 1, "b1"),
        ("a1 a2 a3 b1 b2", "a8 a9", 3, "b1 b2 a1"),
        ("a1 a2", "a8 a9", 1, "a1"),
        ("c1 a1 b1", "c9", 5, "a1 b1 c1"),
        ("", "a1", 1, ""),
    ],
)
def test_who_is_next(waiting: str, running: str, count: int, expected: str) -> None:
    assert Turns().take(named(waiting), named(running), count) == named(expected)


@pytest.mark.parametrize(
    ("ready", "count", "expected"),
    [("bc", 2, "b1 c1"), ("c", 2, "c1"), ("", 3, ""), ("ab", 4, "a1 b1 a2 a3"), ("b", 1, "b1")],
)
def test_who_is_not_ready_keeps_nobody_else(ready: str, count: int, expected: str) -> None:
    asked: list[str] = []

    def is_ready(bundle: str) -> bool:
        asked.append(bundle)
        return bundle in ready

    waiting = named("a1 a2 a3 b1 c1")
    assert Turns().take(waiting, [], count, is_ready) == named(expected)
    assert len(asked) == len({*asked})


def test_no_more_bundles_are_asked_than_it_takes() -> None:
    asked: list[str] = []

    def is_ready(bundle: str) -> bool:
        asked.append(bundle)
        return bundle != "a"

    assert Turns().take(named("a1 b1 c1 d1 e1"), [], 2, is_ready) == named("b1 c1")
    assert asked == ["a", "b", "c"]
    assert Turns().take(named("a1 b1"), [], 0, lambda _: pytest.fail("nothing is to be taken")) == []


def test_who_was_not_ready_comes_before_who_was() -> None:
    turns = Turns()
    assert turns.take(named("a1 b1 b2"), [], 1, lambda bundle: bundle == "b") == named("b1")
    assert turns.take(named("a1 b2"), [], 1) == named("a1")


def test_one_process_goes_from_bundle_to_bundle() -> None:
    turns, waiting, order = Turns(), named("a1 a2 a3 a4 b1 b2 c1"), []
    while waiting:
        chosen = turns.take(waiting, [], 1)
        waiting = [file for file in waiting if file not in chosen]
        order += chosen
    assert order == named("a1 b1 c1 a2 b2 a3 a4")
