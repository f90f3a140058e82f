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


def test_one_process_goes_from_bundle_to_bundle() -> None:
    turns, waiting, order = Turns(), named("a1 a2 a3 a4 b1 b2 c1"), []
    while waiting:
        chosen = turns.take(waiting, [], 1)
        waiting = [file for file in waiting if file not in chosen]
        order += chosen
    assert order == named("a1 b1 c1 a2 b2 a3 a4")
