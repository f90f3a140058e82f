"""What is said of Airflow's tests of its supervisor, and which of them fail a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.supervisor import __main__ as session
from tests.supervisor.expected import EXPECTED, Known
from tests.supervisor.outcomes import FAILED, PASSED, SKIPPED, Outcome, figures, read_outcomes

XML = """<testsuites><testsuite>
<testcase classname="tests.x.TestIt" name="test_a[1]"/>
<testcase classname="tests.x" name="test_b"><failure message="assert 1 == 2&#10;more">text</failure></testcase>
<testcase classname="tests.x" name="test_c"><error message="gone"/></testcase>
<testcase classname="tests.x" name="test_d"><skipped message="not here"/></testcase>
</testsuite></testsuites>"""


def test_outcomes_are_read(tmp_path: Path) -> None:
    (tmp_path / "outcomes.xml").write_text(XML)
    found = read_outcomes(tmp_path / "outcomes.xml")
    assert found == {
        "TestIt::test_a[1]": Outcome(PASSED),
        "test_b": Outcome(FAILED, "assert 1 == 2"),
        "test_c": Outcome(FAILED, "gone"),
        "test_d": Outcome(SKIPPED, "not here"),
    }
    assert figures(found) == "1 passed, 2 failed, 1 skipped"


@pytest.mark.parametrize(
    ("failing", "kind", "fails_the_run"),
    [
        ("warm", session.LISTED, False),
        ("warm cold", session.NOT_LISTED, True),  # the reason is for the one way
        ("", session.MENDED, False),
        ("stock warm cold", session.STOCK, False),
    ],
)
def test_a_test_is_excused_in_the_ways_that_have_a_reason(
    monkeypatch: pytest.MonkeyPatch, failing: str, kind: str, fails_the_run: bool
) -> None:
    monkeypatch.setattr(session, "EXPECTED", {"test_a": Known("so it is", ("warm",))})
    outcomes = {
        way: {"test_a[1]": Outcome(FAILED, "no") if way in failing.split() else Outcome(PASSED)}
        for way in session.WAYS
    }
    text, unlisted = session.report("3.3.2", outcomes)
    assert bool(unlisted) == fails_the_run
    assert "- test_a[1] (" in text.partition(f"## {kind}\n")[2].partition("##")[0]


def test_each_reason_is_for_ways_that_there_are() -> None:
    for known in EXPECTED.values():
        assert known.reason
        assert set(known.ways) <= session.WAYS.keys() - {"stock"}
