"""Frames pass whole, or not at all."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envman.door.breach import BreachError
from envman.door.frames import HEADER, Frames
from envman.door.msgpack_values import check_values
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


def test_a_request_of_very_many_values_is_a_breach() -> None:
    bomb = b"\xdd\x00\x00\x10\x00" + b"\x80" * 4096
    assert Frames(10_000, 5000).feed(framed(bomb)) == framed(bomb)
    with pytest.raises(BreachError, match="a request with more than 4,000 values"):
        Frames(10_000, 4000).feed(framed(bomb))


VALUES = [
    *(b"\x05", b"\xe0", b"\xc0", b"\xc2", b"\xca1234", b"\xcb12345678", b"\xcc1", b"\xcd12", b"\xce1234"),
    *(b"\xcf12345678", b"\xd01", b"\xd112", b"\xd21234", b"\xd312345678", b"\xa3abc", b"\xd9\x03abc"),
    *(b"\xda\x00\x03abc", b"\xdb\0\0\0\x03abc", b"\xc4\x03abc", b"\xc5\0\x03abc", b"\xc6\0\0\0\x03abc"),
    *(b"\xc7\x03tabc", b"\xc8\0\x03tabc", b"\xc9\0\0\0\x03tabc", b"\xd4ta", b"\xd5tab", b"\xd6tabcd"),
    *(b"\xd7tabcdefgh", b"\xd8t" + b"a" * 16, b"\x90", b"\x80", b"\xdc\0\0", b"\xdd\0\0\0\0", b"\xde\0\0"),
    b"\xdf\0\0\0\0",
]
"""One value of each kind that msgpack has."""


@law
@given(st.lists(st.sampled_from(VALUES), min_size=1, max_size=40))
def test_values_are_counted_whatever_they_are(values: list[bytes]) -> None:
    content = b"".join(values)
    check_values(content, len(values))
    if len(content) > len(values) - 1:
        with pytest.raises(BreachError, match="values"):
            check_values(content, len(values) - 1)


@law
@given(st.binary(max_size=300))
def test_what_is_no_msgpack_is_left_to_the_decoder(content: bytes) -> None:
    with contextlib.suppress(BreachError):
        check_values(content, 3)
