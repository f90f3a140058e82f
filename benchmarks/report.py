"""What came out: tables with ratios for people, the same as JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_UNITS = {"seconds": (("s", 1.0), ("ms", 1e3), ("µs", 1e6)), "bytes": (("GB", 1e-9), ("MB", 1e-6))}


@dataclass(frozen=True)
class Comparison:
    """Values by row, the rivals among the rows, and notes on what else was seen."""

    title: str
    values: Mapping[str, Sequence[float]]
    rivals: tuple[str, ...]
    unit: str = "seconds"
    notes: tuple[str, ...] = field(default=())

    def median(self, row: str) -> float:
        """The median of a row's values."""
        return statistics.median(self.values[row])

    def ratio(self, row: str, rival: str) -> float:
        """How many times the rival's value a row's value is: the median over the rounds.

        Each round is compared by itself, so that a busy minute of the machine counts for neither side.
        """
        pairs = zip(self.values[row], self.values[rival], strict=True)
        return statistics.median(value / other for value, other in pairs)

    def as_json(self) -> dict[str, Any]:
        """Everything, the single values too."""
        rows = {
            name: {
                "median": self.median(name),
                "min": min(values),
                "max": max(values),
                "runs": len(values),
                "ratios": {rival: self.ratio(name, rival) for rival in self.rivals if rival != name},
                "values": list(values),
            }
            for name, values in self.values.items()
        }
        return {
            "title": self.title,
            "unit": self.unit,
            "rivals": list(self.rivals),
            "rows": rows,
            "notes": list(self.notes),
        }

    def as_text(self) -> str:
        """A table: median, least and greatest value, and the ratio to each rival."""
        runs = len(next(iter(self.values.values())))
        header = ["", "median", "min", "max", *(f"x {rival}" for rival in self.rivals)]
        cells = [header]
        for name, values in self.values.items():
            numbers = [number(value, self.unit) for value in (self.median(name), min(values), max(values))]
            cells.append([name, *numbers, *(f"{self.ratio(name, rival):.2f}" for rival in self.rivals)])
        widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
        lines = [f"{self.title} ({runs} runs each, taking turns)"]
        for row in cells:
            padded = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
            lines.append("  ".join(["", row[0].ljust(widths[0]), *padded]).rstrip())
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])


def number(value: float, unit: str) -> str:
    """A value of a comparison in words, in a unit that suits it."""
    (large, factor), *smaller = _UNITS[unit]
    if value * factor >= 1:
        return f"{value * factor:.2f} {large}"
    small, factor = next((one for one in smaller if value * one[1] >= 1), smaller[-1])
    return f"{value * factor:.1f} {small}"


def machine() -> dict[str, Any]:
    """What the figures were measured on, without a name of anybody's; `load` is of the minute before."""
    return {
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.system(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
    }


def machine_in_words() -> str:
    """The same as one line, for people."""
    return ", ".join(f"{name} {value}" for name, value in machine().items())


def write_json(file: Path, results: Mapping[str, Sequence[Comparison]]) -> None:
    """Write all results into one file."""
    document = {
        "machine": machine(),
        "benchmarks": {name: [item.as_json() for item in items] for name, items in results.items()},
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
