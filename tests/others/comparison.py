"""Two Dag processors' rows, compared: where they differ, and what may."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from tests.others.rows import Key, Rows

MISSING = "(nothing)"
LONGEST = 300


@dataclass(frozen=True)
class Difference:
    """One place at which two rows differ; `path` leads to it in the row's JSON."""

    table: str
    key: Key
    path: str
    theirs: str
    ours: str

    @property
    def place(self) -> tuple[str, Key, str]:
        return self.table, self.key, self.path

    def __str__(self) -> str:
        return (
            f"{self.table}: {' '.join(self.key)}: {self.path}\n  stock:  {self.theirs}\n  shared: {self.ours}"
        )


@dataclass(frozen=True)
class Expected:
    """Differences that are known, and why they are right; the patterns are those of file names."""

    table: str
    key: str
    path: str
    reason: str

    def covers(self, difference: Difference) -> bool:
        """Whether it is one of these."""
        key = " ".join(difference.key)
        return (
            self.table == difference.table
            and fnmatchcase(key, self.key)
            and fnmatchcase(difference.path, self.path)
        )


@dataclass(frozen=True)
class Judged:
    """The differences of two Dag processors, by what is known of them."""

    unlisted: Sequence[Difference]
    expected: Mapping[str, Sequence[Difference]]
    """By the reason."""

    unsteady: Sequence[Difference]
    """The stock Dag processor gives something else there from one run to the next."""


def compare(theirs: Rows, ours: Rows) -> list[Difference]:
    """Where the rows differ."""
    found = []
    for table, rows in theirs.items():
        for key in sorted(rows.keys() | ours[table].keys()):
            pairs = _differing(rows.get(key, MISSING), ours[table].get(key, MISSING), "")
            found += [Difference(table, key, path, _short(one), _short(other)) for path, one, other in pairs]
    return found


def judge(
    differences: Iterable[Difference], expected: Iterable[Expected], again: Iterable[Difference]
) -> Judged:
    """Sort differences; `again` are those between two runs of the stock Dag processor."""
    expected = list(expected)
    unsteady_places = {difference.place for difference in again}
    unlisted, unsteady = [], []
    by_reason: dict[str, list[Difference]] = {}
    for difference in differences:
        known = next((one for one in expected if one.covers(difference)), None)
        if known:
            by_reason.setdefault(known.reason, []).append(difference)
        elif difference.place in unsteady_places:
            unsteady.append(difference)
        else:
            unlisted.append(difference)
    return Judged(unlisted, by_reason, unsteady)


def _differing(theirs: Any, ours: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name in sorted(theirs.keys() | ours.keys()):
            yield from _differing(theirs.get(name, MISSING), ours.get(name, MISSING), f"{path}/{name}")
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for number, (one, other) in enumerate(zip(theirs, ours, strict=True)):
            yield from _differing(one, other, f"{path}/{number}")
    elif theirs != ours or type(theirs) is not type(ours):
        yield path, theirs, ours


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"
