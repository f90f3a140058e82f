from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envman.image.entries import Entry, Kind, fingerprint, folder, in_order, portable_mode, written


def test_entries_are_in_the_order_of_their_bytes() -> None:
    paths = ["b", "a/b", "a", "a-b", "ä", "a/a"]
    assert [one.path for one in in_order(folder(path) for path in paths)] == [
        "a",
        "a-b",
        "a/a",
        "a/b",
        "b",
        "ä",
    ]


def test_equal_files_are_links_to_the_first() -> None:
    files = [written(path, b"same") for path in ("c", "a", "b")]
    first, *others = in_order(files)
    assert (first.path, first.kind) == ("a", Kind.FILE)
    assert [(one.path, one.kind, one.target) for one in others] == [
        ("b", Kind.HARD_LINK, "a"),
        ("c", Kind.HARD_LINK, "a"),
    ]


@pytest.mark.parametrize(
    "other",
    [
        written("b", b"other"),
        written("b", b"same", 0o755),
        Entry("b", Kind.FILE, 0o644, digest=sha256(b"same").hexdigest(), size=4, user=1),
    ],
)
def test_files_that_differ_in_anything_are_no_links(other: Entry) -> None:
    assert [one.kind for one in in_order([written("a", b"same"), other])] == [Kind.FILE, Kind.FILE]


def test_empty_files_stay_files() -> None:
    """`__init__.py` of a hundred packages: links would make each a change of all others."""
    assert {one.kind for one in in_order([written("a", b""), written("b", b"")])} == {Kind.FILE}


@pytest.mark.parametrize(
    ("mode", "portable"),
    [
        (0o600, 0o644),
        (0o664, 0o644),
        (0o700, 0o755),
        (0o777, 0o755),
        (0o444, 0o444),
        (0o4755, 0o4755),
        (0o2750, 0o2755),
        (0o1777, 0o1755),
    ],
)
def test_a_mode_does_not_tell_of_an_umask(mode: int, portable: int) -> None:
    assert portable_mode(mode) == portable


@given(st.integers(0, 0o7777), st.sampled_from([0o022, 0o002, 0o027, 0o077]))
def test_no_umask_of_another_builder_matters(mode: int, umask: int) -> None:
    """Whatever an umask leaves of a mode whose owner may read and write."""
    mode |= 0o600
    assert portable_mode(mode & ~umask) == portable_mode(mode)


def test_the_fingerprint_tells_of_everything_that_a_layer_holds() -> None:
    entries = [
        written("a", b"1"),
        written("a", b"2"),
        written("b", b"1"),
        written("a", b"1", 0o755),
        folder("a"),
        folder("a", user=1),
        Entry("a", Kind.SYMBOLIC_LINK, 0o777, target="x"),
        Entry("a", Kind.SYMBOLIC_LINK, 0o777, target="y"),
    ]
    assert len({fingerprint([entry]) for entry in entries}) == len(entries)
    assert fingerprint(entries) == fingerprint(list(entries))
