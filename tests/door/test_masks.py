"""Masks: what is masked, and how much of it at most."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from envman.door.masks import MOST, MOST_CHARACTERS, Masks, texts
from tests.strategies import law

words = st.text("abc*", min_size=1, max_size=6)


def masked(masks: Masks, text: str) -> str:
    return masks.sub("***", text)


def test_nothing_is_masked_at_first() -> None:
    assert not Masks()
    assert masked(Masks(), "a text") == "a text"


def test_the_longest_secret_goes_first() -> None:
    masks = Masks(["word"])
    masks.add("password")
    assert masked(masks, "a password, a word") == "a ***, a ***"


@law
@given(st.lists(words, min_size=1, max_size=10), st.text("abcd ", max_size=60))
def test_no_secret_is_left(secrets: list[str], text: str) -> None:
    masks = Masks()
    for secret in secrets:
        masks.add(secret)
    left = masks.sub("", text)
    assert not any(secret in left for secret in secrets if len(set(secret)) == 1 and "*" not in secret)


def test_of_too_many_the_oldest_is_forgotten_but_not_what_is_kept() -> None:
    masks = Masks(["kept one"])
    for number in range(MOST + 2):
        masks.add(f"secret-{number:05}")
        masks.add("secret-00000")  # asked for again: it is no longer the oldest
    assert (
        masked(masks, "kept one, secret-00000, secret-00001, secret-00003") == "***, ***, secret-00001, ***"
    )


def test_together_they_have_a_size() -> None:
    masks = Masks()
    masks.add("a" * (MOST_CHARACTERS - 5))
    masks.add("another")
    assert masked(masks, "a" * (MOST_CHARACTERS - 5)) == "a" * (MOST_CHARACTERS - 5)
    assert masked(masks, "another") == "***"
    masks.add("b" * (MOST_CHARACTERS + 1))
    assert masked(masks, "another") == "***"


def test_cleared_it_masks_what_is_kept() -> None:
    masks = Masks(["kept"])
    masks.add("other")
    masks.clear()
    assert masked(masks, "kept other") == "*** other"


def test_texts_have_the_key_that_is_next_above() -> None:
    value = {"password": ["one", "two"], "host": "there", "more": {"token": "three"}, "number": 5}
    found = {*texts(value, "extra"), *texts("bare"), *texts(None)}
    assert found == {
        ("one", "password"),
        ("two", "password"),
        ("there", "host"),
        ("three", "token"),
        ("bare", None),
    }


def test_of_a_huge_value_no_more_texts_come_than_can_be_masked() -> None:
    assert len([*texts([["a"] * 1000] * 1000)]) == MOST
