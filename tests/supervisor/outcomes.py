"""What became of the tests in one run of pytest, read from its JUnit XML."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
Outcomes = dict[str, "Outcome"]


@dataclass(frozen=True)
class Outcome:
    """How a test ended, and the line that says why."""

    end: str
    why: str = ""


def read_outcomes(file: Path) -> Outcomes:
    """The outcomes by test, `Class::name[parameters]`."""
    found = {}
    for case in ElementTree.parse(file).getroot().iter("testcase"):
        group = case.get("classname", "").rpartition(".")[2]
        name = case.get("name", "")
        found[f"{group}::{name}" if group.startswith("Test") else name] = _outcome(case)
    return found


def _outcome(case: ElementTree.Element) -> Outcome:
    for tag, end in (("failure", FAILED), ("error", FAILED), ("skipped", SKIPPED)):
        element = case.find(tag)
        if element is not None:
            lines = (element.get("message") or element.text or "").strip().splitlines()
            return Outcome(end, lines[0] if lines else "")
    return Outcome(PASSED)


def figures(outcomes: Outcomes) -> str:
    """How many of each."""
    counted = Counter(outcome.end for outcome in outcomes.values())
    return ", ".join(f"{counted[end]} {end}" for end in (PASSED, FAILED, SKIPPED))
