from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envman.door.breach import BreachError
from envman.door.listing import LONGEST_LINE, MOST_FILES, is_path, listing


def told(*files: list[str]) -> bytes:
    return "".join(f"{json.dumps(file)}\n" for file in files).encode() + str(len(files)).encode()


def test_archives_have_the_places_of_their_dags() -> None:
    found = listing(told(["a.py"], ["b/c.zip", "b/c.zip/x.py", "b/c.zip/y/z.py"], ["d.zip"]))
    assert found.files == {"a.py": None, "b/c.zip": ["b/c.zip/x.py", "b/c.zip/y/z.py"], "d.zip": None}
    assert found.left_out == []


def test_a_place_is_within_its_file() -> None:
    found = listing(told(["a.zip", "b.py", "a.zip/../b.py", "a.zipper", "/a.zip", "a.zip/ok.py"]))
    assert found.files == {"a.zip": ["a.zip/ok.py"]}


@pytest.mark.parametrize(
    "path",
    [
        *(
            "",
            ".",
            "/etc/passwd",
            "../x.py",
            "a/../../x.py",
            "a//b.py",
            "./a.py",
            "a.py/",
            "nu\0l.py",
            "a\nb.py",
        ),
        *("\udcff.py", "x" * 241 + ".py", "é" * 121, "a/" * 500 + "a.py", "\x1b[31m.py"),
    ],
)
def test_what_nobody_can_keep_is_left_out(path: str) -> None:
    found = listing(told([path, path], ["kept.py"]))
    (name,) = found.left_out
    assert (len(name), [*found.files]) == (len(path[:100]), ["kept.py"])
    assert name.isprintable()  # a log takes it, whatever its encoding


def test_of_many_that_are_left_out_some_are_named() -> None:
    found = listing(told(*(["x" * 10**5] for _ in range(20))))
    assert (found.number_left_out, found.left_out) == (20, ["x" * 100] * 3)


def test_archives_have_no_end_of_files_in_them() -> None:
    with pytest.raises(BreachError, match="archives have more than 50,000 files"):
        listing(told(*(["a.zip", *["a"] * 10_000] for _ in range(6))))


@pytest.mark.parametrize("path", ["a b.py", "\N{IDEOGRAPHIC SPACE}ç/日.py", "...", "a/.hidden.py", "x" * 240])
def test_unusual_names_are_names(path: str) -> None:
    assert is_path(path)


def test_an_error_is_told_as_it_is_up_to_a_length() -> None:
    with pytest.raises(BreachError, match="a loop"):
        listing(b'{"error": "RuntimeError: a loop"}')
    with pytest.raises(BreachError) as caught:
        listing(json.dumps({"error": "x" * 10**6}).encode())
    assert len(str(caught.value)) == 1000


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"\n", b"5", b"true", b"null", b"[]", b'{"error": 5}', b"{", b"[" * 10**5, b'["a.py"]\n'),
        *(b'["a.py"]\n2', b'["a.py"]\ntrue', b"[]\n1", b"[5]\n1", b'{"a": "b"}\n1', b'["a.py", []]\n1'),
        *(b'"a.py"\n1', b"\xff\n1", b"\n" * (MOST_FILES + 2), b'["' + b"a" * LONGEST_LINE + b'"]\n1'),
    ],
)
def test_what_is_no_list_is_refused(data: bytes) -> None:
    with pytest.raises(BreachError):
        listing(data)


@settings(max_examples=1000)
@given(
    st.one_of(
        st.binary(),
        st.lists(
            st.one_of(st.lists(st.text()), st.integers(), st.text(), st.dictionaries(st.text(), st.text()))
        ).map(lambda lines: "\n".join([*map(json.dumps, lines), str(len(lines))]).encode()),
    )
)
def test_whatever_comes_it_is_a_list_of_paths_below_the_folder_or_a_breach(data: bytes) -> None:
    try:
        found = listing(data)
    except BreachError:
        return
    for path, places in found.files.items():
        assert is_path(path)
        assert all(is_path(place) and place.startswith(f"{path}/") for place in places or ())
