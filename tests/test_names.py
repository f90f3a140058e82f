from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envman.names import name_problem, nearest
from tests.strategies import law, names


@pytest.mark.parametrize(
    "name", ["a", "7", "env_a", "Env-A", "team.data", "a_", "dags-folder", "3.12", "a--b"]
)
def test_a_plain_name_is_accepted(name: str) -> None:
    assert name_problem(name) is None


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("", "empty"),
        (".", "letters"),
        ("..", "letters"),
        (".gen", "letters"),
        ("_a", "letters"),
        ("-a", "letters"),
        ("a-", "letters"),
        ("a.", "letters"),
        ("a..b", "single '.'"),
        ("a/b", "letters"),
        ("a b", "letters"),
        ("a\tb", "letters"),
        ("a\n", "letters"),
        ("a\0", "letters"),
        ("umläut", "letters"),
        ("a\N{DIGIT FOUR}\N{ARABIC-INDIC DIGIT FOUR}", "letters"),
        ("all", "reserved"),
        ("Default", "reserved"),
        ("NONE", "reserved"),
    ],
)
def test_a_name_that_would_not_fit_everywhere_is_refused(name: str, word: str) -> None:
    problem = name_problem(name)
    assert problem is not None
    assert word in problem


def test_a_name_has_at_most_64_characters() -> None:
    assert name_problem("a" * 64) is None
    assert name_problem("a" * 65) == "the name has 65 characters, 64 are allowed"


@law
@given(st.text("aZ0_.-/ \n\t\\*=", max_size=8))
def test_an_accepted_name_is_one_harmless_part_of_a_path(name: str) -> None:
    if name_problem(name) is None:
        assert not set(name) & set("/ \n\t\\*=")
        assert ".." not in name
        assert not name.startswith((".", "-"))
        assert not name.endswith((".", "-"))


@law
@given(names)
def test_letters_digits_and_inner_dashes_are_always_accepted(name: str) -> None:
    assert name_problem(name) is None


def test_the_nearest_known_name_is_offered_and_all_are_listed() -> None:
    assert nearest("env_aa", ["env_b", "env_a", "zoo"]) == "Did you mean 'env_a'? Known: env_a, env_b, zoo."


def test_where_no_name_is_near_the_known_ones_are_listed() -> None:
    assert nearest("quite_another", ["b", "a"]) == "Known: a, b."


def test_where_nothing_is_known_that_is_said() -> None:
    assert nearest("env_a", []) == "There is none yet."


def test_a_long_list_of_known_names_is_cut() -> None:
    text = nearest("zzzz", [f"n{number:02}" for number in range(15)])
    assert "n11 and 3 more." in text
    assert "n12" not in text
    assert nearest("zzzz", [f"n{number:02}" for number in range(12)]).endswith("n10, n11.")
