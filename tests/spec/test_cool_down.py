"""Which spans and dates `exclude-newer` may be: those that uv understands, on every machine the same."""

from __future__ import annotations

import pytest

from envman.spec.inputs import Inputs, changed_inputs
from envman.spec.parse import parse_environment


@pytest.mark.parametrize(
    "text",
    [
        *("7 days", "1 day", "24 hours", "2 weeks", "P7D", "P2W", "PT24H", "2026-11-01", "2024-02-29"),
        *("2026-11-01T12:00:00Z", "2026-11-01T12:00:00.5+01:00"),
    ],
)
def test_a_span_or_a_date_is_taken_as_it_is(text: str) -> None:
    spec, problems = parse_environment(f"exclude-newer = '{text}'", "e.toml")
    assert not problems
    assert spec is not None
    assert spec.exclude_newer == text


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "7",
            "days",
            "0 days",
            "-7 days",
            "7 days ago",
            "2 months",
            "1 year",
            "P1M",
            "99999 weeks",
            "yesterday",
        ),
        *(
            "2026-02-29",
            "2026-13-01",
            "0000-01-01",
            "2026-11-01T12:00:00",
            "2026-11-01T25:00:00Z",
            "7 days\n",
        ),
    ],
)
def test_anything_else_is_an_error_with_examples(text: str) -> None:
    _, (problem,) = parse_environment(f"exclude-newer = {text!r}", "e.toml")
    assert problem.where == "e.toml: exclude-newer"
    assert "'7 days'" in problem.remedy


def test_the_cool_down_is_part_of_the_fingerprint_as_it_is_written() -> None:
    plain = Inputs("e", "==3.12.*", (), None, {})
    week = Inputs("e", "==3.12.*", (), None, {}, exclude_newer="7 days")
    looser = Inputs("e", "==3.12.*", (), None, {}, exclude_newer="7 days", exclude_newer_except=("a",))
    assert [label for label, _ in changed_inputs(plain.digests(), week.digests())] == ["exclude-newer"]
    assert [label for label, _ in changed_inputs(week.digests(), looser.digests())] == [
        "exclude-newer-except"
    ]
