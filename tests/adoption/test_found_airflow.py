"""Nothing that an interpreter says is believed before it was checked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from envman.adoption.found_airflow import WrongAnswerError, read_answer
from tests.adoption.answers import answer, bundle, distribution


@pytest.mark.parametrize(
    "text",
    [
        *("", "Hello", "[]", "null", "{}", "{", '"text"', "NaN", "[" * 100_000, '{"python": ' * 50_000),
        json.dumps({**answer(), "more": 1}),
        json.dumps({**answer(), "home": 5}),
        json.dumps({**answer(), "home": "\udcff"}),
        json.dumps({**answer(), "bundles": [bundle("a", path=None)]}),
        json.dumps({**answer(), "distributions": [distribution("a", "1", has_record="yes")]}),
        json.dumps({**answer(), "distributions": [distribution("a" * 200_000, "1")]}),
        json.dumps({**answer(), "plugins": ["p.py"] * 20_001}),
    ],
    ids=range(17),
)
def test_what_is_no_answer_is_refused_with_a_short_reason(text: str) -> None:
    with pytest.raises(WrongAnswerError) as refused:
        read_answer(text)
    assert 0 < len(str(refused.value)) < 1000
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "a\x00", "\u202e"])
def test_no_text_has_a_character_that_a_terminal_obeys_or_a_file_does_not_take(text: str) -> None:
    said: dict[str, Any] = answer([distribution("a", "1")], home=text, plugins=[text])
    found = read_answer(json.dumps(said))
    assert found.home.replace("\n", "").isprintable()
    assert (found.home + found.plugins[0]).encode()


def test_airflows_version_is_that_of_its_core_or_of_all_in_one() -> None:
    both = [distribution("apache-airflow", "3.3.0"), distribution("Apache_Airflow.core", "3.3.2")]
    assert read_answer(json.dumps(answer(both))).airflow == "3.3.2"
    assert read_answer(json.dumps(answer([distribution("apache-airflow", "2.11.0")]))).airflow == "2.11.0"
    assert read_answer(json.dumps(answer([distribution("-", "1")]))).airflow == ""
