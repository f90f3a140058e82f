"""Draw comparisons as bars: an SVG that is legible on light and dark pages, without a plotting library."""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.report import number

Table: TypeAlias = "dict[str, Any]"
"""A comparison as `Comparison.as_json` has made it."""

WIDTH, NAMES, VALUES = 780, 290, 150
"""Pixels: of the picture, and of its columns to the left and the right of the bars."""

ROW, BAR, HEAD, MARGIN = 26, 16, 44, 12
_FILLS = {"bar": "#2f6feb", "rival": "#9aa4af"}
_STYLE = """\
  text { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328 }
  .head { font-weight: 600 } .note { font-size: 12px; fill: #59636e }
  .bar { fill: #2f6feb } .rival { fill: #9aa4af } .axis { stroke: #d1d9e0 } .page { fill: #ffffff }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .note { fill: #9198a1 } .bar { fill: #58a6ff } .rival { fill: #656c76 }
    .axis { stroke: #3d444d } .page { fill: #0d1117 }
  }
"""
"""A page of its own below the text: the viewer's colours need not be those of the page around the picture."""


def main(arguments: Sequence[str]) -> None:
    """`python -m benchmarks chart RESULT.json... OUT.svg`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks chart", description=__doc__)
    parser.add_argument("results", type=Path, nargs="+", help="what runs have written with --json")
    parser.add_argument("picture", type=Path, help="the SVG to write")
    only = "draw the tables with this in their title, in the order of these options"
    parser.add_argument("--only", action="append", metavar="TEXT", help=only)
    options = parser.parse_args(arguments)
    documents = [json.loads(result.read_text(encoding="utf-8")) for result in options.results]
    tables = [table for one in documents for tables in one["benchmarks"].values() for table in tables]
    chosen = [table for text in options.only or [""] for table in tables if text in table["title"]]
    if not chosen:
        parser.error(f"no table has {' or '.join(options.only)} in its title")
    options.picture.parent.mkdir(parents=True, exist_ok=True)
    options.picture.write_text(draw(chosen), encoding="utf-8")


def draw(tables: Sequence[Table]) -> str:
    """The picture: tables below one another, each with a scale of its own, since they differ too much."""
    height = MARGIN + sum(HEAD + ROW * len(table["rows"]) + MARGIN for table in tables)
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    words = escape("; ".join(_summaries(tables)))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{words}" '
        'font-family="sans-serif" font-size="13">',
        f"<style>\n{_STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{height}" rx="6" fill="#ffffff"/>',
    ]
    top = MARGIN
    for table in tables:
        lines += _table(table, top)
        top += HEAD + ROW * len(table["rows"]) + MARGIN
    return "\n".join([*lines, "</svg>", ""])


def _summaries(tables: Sequence[Table]) -> Iterator[str]:
    for table in tables:
        values = [f"{name} {number(row['median'], table['unit'])}" for name, row in table["rows"].items()]
        yield f"{table['title']}: {', '.join(values)}"


def _table(table: Table, top: int) -> Iterator[str]:
    """A title, then a bar for each row, with its median and its ratio to the first rival."""
    rival = table["rivals"][0]
    runs = statistics.median(row["runs"] for row in table["rows"].values())
    yield f'<text class="head" x="{MARGIN}" y="{top + 14}">{escape(table["title"])}</text>'
    note = f"median of {runs:.0f}; ratios to: {rival}"
    yield f'<text class="note" x="{MARGIN}" y="{top + 31}">{escape(note)}</text>'
    longest = max(row["median"] for row in table["rows"].values())
    first, last = top + HEAD - 4, top + HEAD + ROW * len(table["rows"]) - 4
    for place, (name, row) in enumerate(table["rows"].items()):
        width = max(1.0, (WIDTH - NAMES - VALUES) * row["median"] / longest)
        y = top + HEAD + ROW * place
        kind = "bar" if "envman" in name else "rival"
        label = number(row["median"], table["unit"])
        if name != rival:
            label += f"  ({row['ratios'][rival]:.2f} x)"
        base = y + BAR - 3
        yield f'<text x="{NAMES - 10}" y="{base}" text-anchor="end">{escape(name)}</text>'
        size = f'x="{NAMES}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2"'
        yield f'<rect class="{kind}" fill="{_FILLS[kind]}" {size}/>'
        yield f'<text x="{NAMES + width + 8:.1f}" y="{base}">{label}</text>'
    yield f'<line class="axis" stroke="#d1d9e0" x1="{NAMES}" y1="{first}" x2="{NAMES}" y2="{last}"/>'
