"""Masks: what is masked, and how much of it at most."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from envman.door.masks import MOST, MOST_CHARACTERS, Masks, texts
from tests.strategies import law
from tests.waiting import until

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


def test_what_is_kept_later_stays_whatever_a_child_asks_for() -> None:
    masks = Masks(["kept one"])
    masks.add("a-credential")
    masks.keep("a-credential")
    masks.keep("another-credential")
    for number in range(3 * MOST):
        masks.add(f"secret-{number:05}")
    masks.add("a" * MOST_CHARACTERS)
    masks.clear()
    text = "kept one, a-credential, another-credential, secret-00899"
    assert masked(masks, text) == "***, ***, ***, secret-00899"


def test_more_is_kept_than_a_child_may_ask_for() -> None:
    """As a credential of a thousand lines, and a token beside it."""
    masks = Masks()
    masks.keep("a-token")
    for number in range(1000):
        masks.keep(f"line {number:04}")
    masks.add("of the child")
    assert masked(masks, "a-token line 0000 line 0999 of the child") == "*** *** *** ***"


def test_what_a_thread_adds_while_another_one_masks_is_masked_from_then_on() -> None:
    """A credential arrives while the child's lines are read: right as the longest is looked for."""
    threads: list[threading.Thread] = []

    class Long(str):
        __slots__ = ()

        def __len__(self) -> int:
            if not threads:
                threads.append(threading.Thread(target=masks.keep, args=("late",)))
                threads[0].start()
                until(lambda: not threads[0].is_alive() or masks._lock.locked(), "neither is to be")
            return super().__len__()

    masks = Masks([Long("a word")])
    masked(masks, "a line")
    threads[0].join()
    assert masked(masks, "late, a word") == "***, ***"


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
