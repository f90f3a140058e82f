"""Write what was run into reference/compatibility.md: `python docs/compatibility.py FOLDER`.

FOLDER holds one JUnit report for each version of Airflow, as `nox -s compatibility` leaves them. A version
whose report is not there keeps the line that it has.
"""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

from packaging.version import Version

PAGE = Path(__file__).parent / "reference/compatibility.md"
START, END = "<!-- compatibility -->\n", "<!-- end -->"
HEAD = """\
By `nox -s compatibility`: on PostgreSQL, with LocalExecutor, and with Celery over Redis.

| Airflow | Pythons: components; bundles | Shared components | A component for each bundle | Tests | Failed |
|---|---|---|---|---|---|
"""


def line(version: str, report: ET.Element) -> str:
    """A version's line of the table."""
    cases: dict[str, list[bool]] = {}
    for case in report.iter("testcase"):
        file = (case.get("classname") or "").rpartition(".")[2]
        failed = any(case.find(kind) is not None for kind in ("failure", "error", "skipped"))
        cases.setdefault(file, []).append(not failed)
    own = cases.get("test_own_component", [])
    shared = [ok for file, oks in cases.items() if file != "test_own_component" for ok in oks]
    every = [*own, *shared]
    pythons = [one.get("value") or "" for one in report.iter("property") if one.get("name") == "pythons"]
    counts = str(len(every)), str(every.count(False))
    cells = [version, *pythons[:1], _word(shared), _word(own), *counts]
    return f"| {' | '.join(cells)} |"


def _word(results: list[bool]) -> str:
    if not results:
        return "not with this version"
    return "yes" if all(results) else "no"


def main(folder: Path) -> None:
    """Put the reports' lines into the page, newest version first."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    block, _, after = rest.partition(END)
    lines = dict(re.findall(r"^\| ([0-9][0-9a-z.]+) (\|.*)$", block, re.MULTILINE))
    lines = {version: f"| {version} {row}" for version, row in lines.items()}
    for report in folder.glob("*.xml"):
        root = ET.parse(report).getroot()  # noqa: S314  # the tests have just written it
        lines[report.stem] = line(report.stem, root)
    newest = sorted(lines, key=Version, reverse=True)
    table = "\n".join(lines[version] for version in newest)
    PAGE.write_text(f"{before}{START}{HEAD}{table}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
