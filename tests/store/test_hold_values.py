"""Holds as text, and who made them."""

from __future__ import annotations

import pytest

from envman.errors import UsageError
from envman.store.holds import Hold, parse_hold
from envman.system.actor import Actor
from envman.system.caller import current_actor
from envman.usecases.hold import new_hold


def test_a_hold_is_what_was_written() -> None:
    hold = Hold("why", 1795379220.5, Actor("ana", "ci-3", "1b2c" * 10, "https://ci/7"))
    assert parse_hold(hold.to_text()) == hold
    assert (
        hold.describe()
        == "held since 2026-11-22T20:27+00:00 by ana@ci-3, commit 1b2c1b2c1b2c, https://ci/7: why"
    )


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", "null", "[" * 100_000, '{"reason": "x", "at": "soon", "by": {}}'),
        *('{"reason": "x", "at": 1e400, "by": {}}', '{"reason": "x", "at": 1, "by": []}'),
        '{"reason": "x", "at": NaN, "by": {}}',
    ],
)
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, OverflowError, RecursionError)):
        parse_hold(text)


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines", "\x1b[31mred", "x" * 201])
def test_a_reason_is_a_line_that_can_be_read(reason: str) -> None:
    with pytest.raises(UsageError):
        new_hold(reason)


def test_jobs_have_no_credentials_and_are_short() -> None:
    def job(**variables: str) -> str:
        return current_actor(variables).job

    assert job(BUILD_URL="https://me:secret@ci/job/7?token=1#x") == "https://ci/job/7"
    assert job(CI_JOB_URL="https://ci/" + "x" * 1000) == ("https://ci/" + "x" * 1000)[:200]
    assert job(BUILD_URL="https://[::1") == ""
    assert job(GITHUB_SERVER_URL="https://g", GITHUB_REPOSITORY="a/b") == ""
    assert current_actor({"GIT_COMMIT": "ab\x1b[2Jcd\n"}).commit == "ab[2Jcd"
    assert current_actor({}).user
