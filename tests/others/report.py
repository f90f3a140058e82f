"""The report of a comparison: Markdown, as a person reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.others.comparison import Difference, Judged
from tests.others.packages import PROVIDERS, folder_of
from tests.others.rows import Rows

DAGS, ERRORS = "serialized Dags", "import errors"
SYSTEMS = "systems"
"""The bundle of the providers' system tests; all others have the name of whose Dags they are."""

SHOWN = 40


@dataclass(frozen=True)
class Run:
    """One Dag processor's rows, and how long it took."""

    rows: Rows
    seconds: float


def report(version: str, runs: Mapping[str, Run], judged: Judged) -> str:
    """All of it, as Markdown."""
    lines = [f"# Others' Dags on Airflow {version}", "", headline(runs["stock"].rows, judged), ""]
    lines += [f"- {name}: {run.seconds:.0f} s" for name, run in runs.items()]
    lines += ["", *_sources(runs["stock"].rows, judged), "", *_tables(runs["stock"].rows, judged)]
    for title, differences in _kinds(judged):
        lines += ["", f"## {title}", ""]
        lines += [f"- {line}" for line in _told(differences)]
    lines += ["", "## Import errors of both", ""]
    lines += [
        f"- {bundle}/{file}: {_last_line(row)}" for (bundle, file), row in runs["stock"].rows[ERRORS].items()
    ]
    return "\n".join(lines) + "\n"


def headline(stock: Rows, judged: Judged) -> str:
    """The figures in one sentence."""
    differing = {difference.key for difference in _all(judged) if difference.table == DAGS}
    count = len(stock[DAGS])
    return (
        f"{count} Dags, {count - len(differing)} serialized alike; {len(stock[ERRORS])} files with import errors; "
        f"{len(judged.unlisted)} differences that are not listed, "
        f"{sum(map(len, judged.expected.values()))} that are, "
        f"{len(judged.unsteady)} where the stock Dag processor differs from itself."
    )


def source_of(bundle: str, file: str) -> str:
    """Whose a file is."""
    if bundle != SYSTEMS:
        return bundle
    names = [name for name in PROVIDERS if file.startswith(f"system/{folder_of(name)}/")]
    return max(names, key=len, default=bundle)


def _all(judged: Judged) -> Iterator[Difference]:
    yield from judged.unlisted
    yield from judged.unsteady
    for differences in judged.expected.values():
        yield from differences


def _sources(stock: Rows, judged: Judged) -> list[str]:
    owner = {dag: source_of(row[0], row[1]) for (dag,), row in stock["Dags"].items()}
    dags = Counter(owner.values())
    errors = Counter(source_of(*key) for key in stock[ERRORS])
    differing = {difference.key for difference in _all(judged) if difference.table == DAGS}
    unlike = Counter(owner.get(dag, "?") for (dag,) in differing)
    names = sorted(dags.keys() | errors.keys())
    lines = ["| Whose | Dags | serialized alike | files with import errors |", "|---|---|---|---|"]
    return lines + [
        f"| {name} | {dags[name]} | {dags[name] - unlike[name]} | {errors[name]} |" for name in names
    ]


def _tables(stock: Rows, judged: Judged) -> list[str]:
    differing = Counter(table for table, _ in {(one.table, one.key) for one in _all(judged)})
    lines = ["| Table | rows | that differ |", "|---|---|---|"]
    return lines + [f"| {name} | {len(rows)} | {differing[name]} |" for name, rows in stock.items()]


def _kinds(judged: Judged) -> Iterator[tuple[str, Sequence[Difference]]]:
    yield "Not listed", judged.unlisted
    for reason, differences in judged.expected.items():
        yield f"Listed: {reason}", differences
    yield "The stock Dag processor differs from itself", judged.unsteady


def _told(differences: Sequence[Difference]) -> Iterable[str]:
    yield from (str(one) for one in differences[:SHOWN])
    if len(differences) > SHOWN:
        yield f"and {len(differences) - SHOWN} more"


def _last_line(row: Sequence[str]) -> str:
    lines = row[0].strip().splitlines()
    return lines[-1] if lines else ""
