"""A line of the log is one that Airflow's supervisors can take, whatever the child has sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envman.door.log_lines import LEVELS, TAKEN, checked
from tests.strategies import law

GOOD = {
    "timestamp": "2026-11-26T10:11:12.123456Z",
    "level": "info",
    "event": "said",
    "logger": "task",
    "n": 3,
}


def given_line(**changed: Any) -> bytes:
    event = {key: value for key, value in {**GOOD, **changed}.items() if value is not ...}
    return json.dumps(event).encode()


def told(line: bytes) -> dict[str, Any]:
    made = json.loads(checked(line))
    assert isinstance(made, dict)
    return made


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"timestamp": ...},
        {"timestamp": "2026-11-26T10:11:12+05:30"},
        {"event": ...},
        {"level": "critical"},
        {"exception": [{"exc_type": "ValueError", "frames": []}]},
        {"nested": {"a": [1, {"b": None}]}, "text": "…é\n"},
    ],
)
def test_a_right_line_goes_on_as_it_is(changed: dict[str, Any]) -> None:
    assert checked(given_line(**changed)) == given_line(**changed)


@pytest.mark.parametrize(
    "line",
    [
        b"5",
        b"null",
        b'"text"',
        b"[]",
        b"",
        b"{",
        b"\xff\xfe",
        b'{"level": "info", "event": "\\ud800"}',
        b"[" * 100_000,
        b'{"a":' * 900 + b"1" + b"}" * 900,
        json.dumps({"level": "info", "event": "x"}).encode("utf-16"),
    ],
)
def test_what_is_no_line_is_shown_as_one(line: bytes) -> None:
    made = told(line)
    assert made["level"] == "warning"
    assert made["event"].startswith("A log line that is ")
    assert made["line"][:20] == line.decode(errors="replace")[:20]
    assert len(made["line"]) <= 2001


@pytest.mark.parametrize("level", [5, None, [], "loud", "INFO", {"a": 1}])
def test_a_level_that_is_none_is_information(level: object) -> None:
    made = told(given_line(level=level))
    assert made["level"] == "info"
    assert made.get("level_") == level
    assert made["event"] == "said"


def test_a_line_without_a_level_is_information() -> None:
    assert told(given_line(level=...)) == {**GOOD, "level": "info"}


@pytest.mark.parametrize(
    "time",
    [
        *(1697190085, None, [], "soon", '"', "2026-13-01T00:00:00Z", "2026-11-26T25:00:00Z"),
        *("2026-11-26T10:11:12+99:00", "2026-11-26T10:11:12Z\n", "2026-11-26", "٢٠٢٦-11-26T10:11:12Z"),
    ],
)
def test_a_time_that_is_none_is_kept_as_something_else(time: object) -> None:
    made = told(given_line(timestamp=time))
    assert "timestamp" not in made
    assert made["timestamp_"] == time


@pytest.mark.parametrize("key", sorted(TAKEN))
def test_a_key_that_the_component_would_take_for_its_own_gets_another_name(key: str) -> None:
    made = told(given_line(**{key: True}))
    assert key not in made
    assert made[f"{key}_"] is True
    assert made["event"] == "said"


@pytest.mark.parametrize("number", ["5", None, [], {}, True, 1.5])
def test_a_triggers_number_that_is_none_is_kept_as_something_else(number: object) -> None:
    made = told(given_line(trigger_id=number))
    assert "trigger_id" not in made
    assert made["trigger_id_"] == number
    assert checked(given_line(trigger_id=7)) == given_line(trigger_id=7)


def test_numbers_that_json_has_not_are_told_as_text() -> None:
    made = told(b'{"level": "error", "event": "x", "loss": NaN, "most": [-Infinity]}')
    assert made == {"level": "error", "event": "x", "loss": "NaN", "most": ["-Infinity"]}


def test_an_event_that_is_no_text_is_shown() -> None:
    assert told(given_line(event={"a": [1]}))["event"] == '{"a": [1]}'


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
keys = st.sampled_from([*GOOD, *sorted(TAKEN), "exception", "error_detail", "a"]) | st.text(max_size=6)
objects = st.dictionaries(keys, json_values | st.sampled_from([*sorted(LEVELS), *GOOD.values()]), max_size=8)


@law
@given(objects.map(json.dumps).map(str.encode) | st.binary(max_size=60))
def test_whatever_comes_a_line_goes_on(line: bytes) -> None:
    made = told(line)
    assert made["level"] in LEVELS
    assert isinstance(made.get("event", ""), str)
    assert TAKEN.isdisjoint(made)
    assert b"\n" not in checked(line) or b"\n" in line
