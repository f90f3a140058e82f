"""Lines pass whole, and none is longer than the limit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from envman.door.lines import Lines
from tests.strategies import law

LIMIT = 20
pieces = st.lists(st.binary(max_size=45).map(lambda one: one.replace(b"\r", b"\n")), max_size=8)


def passed(lines: Lines, given_pieces: list[bytes]) -> list[bytes]:
    return [lines.feed(one) for one in given_pieces]


@law
@given(pieces)
def test_nothing_is_lost_and_no_line_is_longer_than_the_limit(given_pieces: list[bytes]) -> None:
    lines = Lines(LIMIT)
    fed = passed(lines, given_pieces)
    assert all(one.endswith(b"\n") for one in fed if one)
    all_of_it = b"".join(fed) + lines.end()
    assert all(len(one) <= LIMIT for one in all_of_it.split(b"\n"))
    said = b"".join(given_pieces)
    assert all_of_it.replace(b"\n", b"") == said.replace(b"\n", b"")
    if all(len(one) <= LIMIT for one in said.split(b"\n")):
        assert all_of_it == said + (b"" if said.endswith(b"\n") or not said else b"\n")


@law
@given(st.binary(max_size=200), st.lists(st.integers(1, 30), min_size=1, max_size=5))
def test_short_lines_are_the_same_in_whatever_pieces_they_come(said: bytes, sizes: list[int]) -> None:
    cut, at = [], 0
    while at < len(said):
        size = sizes[at % len(sizes)]
        cut.append(said[at : at + size])
        at += size
    whole, split = Lines(500), Lines(500)
    assert whole.feed(said) + whole.end() == b"".join(passed(split, cut)) + split.end()


def test_a_line_without_an_end_is_not_kept_for_ever() -> None:
    lines = Lines(LIMIT)
    for _ in range(1000):
        lines.feed(b"x" * LIMIT)
    assert len(lines.end()) <= LIMIT + 1


def test_each_line_is_checked_by_itself() -> None:
    seen: list[bytes] = []

    def check(line: bytes) -> bytes:
        seen.append(line)
        return line.upper()

    lines = Lines(LIMIT, check)
    assert lines.feed(b"one\ntwo\nthr") == b"ONE\nTWO\n"
    assert lines.feed(b"ee\n") == b"THREE\n"
    assert lines.feed(b"left") + lines.end() == b"LEFT\n"
    assert seen == [b"one", b"two", b"three", b"left"]
