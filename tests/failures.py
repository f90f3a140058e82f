"""What failed, told once more at the end: CI keeps only the end of a long output.

Runs in nox's own Python: the standard library.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

LINES = 60
"""So many lines of a failure are told: its end, where the error stands."""


def failures(report: Path) -> Iterator[str]:
    """Each failed test of a JUnit report, with the end of what it said; nothing where pytest wrote no report."""
    if not report.exists():
        return
    for case in ET.parse(report).getroot().iter("testcase"):
        for kind in ("failure", "error"):
            if (found := case.find(kind)) is not None:
                said = (found.text or found.get("message") or "").splitlines()[-LINES:]
                yield "\n".join([f"{kind}: {case.get('classname')}::{case.get('name')}", *said])
