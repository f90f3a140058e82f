"""Frames pass whole, or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envman.door.breach import BreachError
from envman.door.frames import HEADER, Frames
from tests.strategies import law

LIMIT = 1000
frames = st.lists(st.binary(min_size=1, max_size=LIMIT), max_size=5)


def framed(*contents: bytes) -> bytes:
    return b"".join(len(one).to_bytes(HEADER, "big") + one for one in contents)


def fed(reader: Frames, stream: bytes, sizes: list[int]) -> bytes:
    """What passes of a stream that comes in pieces, each as large as was asked for at most."""
    passed, at = b"", 0
    while at < len(stream):
        size = min(reader.wanted(), sizes[at % len(sizes)] if sizes else LIMIT)
        assert size > 0
        passed += reader.feed(stream[at : at + size])
        at += size
    return passed


@law
@given(frames, st.lists(st.integers(1, 50), max_size=7))
def test_frames_pass_as_they_are_in_whatever_pieces_they_come(
    contents: list[bytes], sizes: list[int]
) -> None:
    reader = Frames(LIMIT)
    assert fed(reader, framed(*contents), sizes) == framed(*contents)
    assert reader.end() == b""


@law
@given(frames, st.binary(min_size=1, max_size=LIMIT), st.data())
def test_half_a_frame_never_passes(contents: list[bytes], last: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, HEADER + len(last) - 1))
    reader = Frames(LIMIT)
    assert fed(reader, framed(*contents) + framed(last)[:cut], []) == framed(*contents)
    assert reader.end() == b""


def test_never_more_than_one_frame_is_asked_for() -> None:
    reader = Frames(LIMIT)
    assert reader.wanted() == HEADER
    reader.feed(b"\0\0")
    assert reader.wanted() == 2
    reader.feed(b"\0\5")
    assert reader.wanted() == 5
    reader.feed(b"abc")
    assert reader.wanted() == 2
    assert reader.feed(b"de") == framed(b"abcde")
    assert reader.wanted() == HEADER


@pytest.mark.parametrize("length", [0, LIMIT + 1, 2**31, 2**32 - 1])
def test_a_length_that_may_not_be_is_a_breach_before_any_of_it_is_read(length: int) -> None:
    reader = Frames(LIMIT)
    with pytest.raises(BreachError, match=f"a request of {length:,} bytes, where 1 to 1,000 are allowed"):
        reader.feed(length.to_bytes(HEADER, "big"))


def test_the_greatest_length_passes() -> None:
    content = b"x" * LIMIT
    assert Frames(LIMIT).feed(framed(content)) == framed(content)
