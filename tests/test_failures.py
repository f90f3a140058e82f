"""What failed is told again: each test, with the end of what it said."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.failures import LINES, failures

FILE = """
import pytest

def test_fine(): pass

@pytest.mark.parametrize("value", ["a"])
def test_wrong(value): assert value == "b"

def test_talkative(): raise RuntimeError("\\n".join(f"line {n}" for n in range(200)))

@pytest.fixture
def broken(): raise OSError("no such thing")

def test_unfixed(broken): pass
"""


def test_each_failure_and_error_is_told_with_the_end_of_what_it_said(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(FILE)
    report = tmp_path / "report.xml"
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
    done = subprocess.run([*words, "test_it.py"], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 1
    wrong, talkative, unfixed = failures(report)
    assert wrong.startswith("failure: test_it::test_wrong[a]\n")
    assert "assert 'a' == 'b'" in wrong
    assert talkative.count("\n") == LINES
    assert "line 199" in talkative
    assert unfixed.startswith("error: test_it::test_unfixed\n")
    assert "no such thing" in unfixed


def test_no_report_is_no_failure(tmp_path: Path) -> None:
    assert not list(failures(tmp_path / "report.xml"))
