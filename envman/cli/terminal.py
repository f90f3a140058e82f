"""Output on a terminal: colours, none with NO_COLOR, and tables as wide as the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TextIO

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from envman.errors import Problem

_NO_WIDTH = 10_000


class TerminalOutput:
    """What rich draws on a terminal."""

    def __init__(self, stream: TextIO) -> None:
        width = None if stream.isatty() else _NO_WIDTH
        self.console = Console(file=stream, width=width, highlight=False, soft_wrap=width is not None)

    def line(self, text: str) -> None:
        """Write a line."""
        self.console.print(Text(text))

    def problem(self, problem: Problem) -> None:
        """Write a problem: place and cause, then the remedy."""
        line = Text().append("error: ", style="bold red")
        line.append(f"{problem.where}: " if problem.where else "", style="bold")
        line.append(problem.what)
        self.console.print(line)
        if problem.remedy:
            self.console.print(Text(f"  {problem.remedy}", style="cyan"))

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str]) -> None:
        """Draw a table; `right` names the columns of numbers. Where a word of it would be cut off, as the
        terminal is too narrow, each row is a paragraph: nobody could name half a generation.
        """
        listed = list(rows)
        drawn = terminal_table(columns, listed, right)
        unbounded = self.console.options.update_width(_NO_WIDTH)
        if Measurement.get(self.console, unbounded, drawn).minimum <= self.console.width:
            self.console.print(drawn)
            return
        for row in listed:
            self.console.print(_paragraph(columns, row))


def _paragraph(columns: Sequence[str], row: Sequence[str]) -> Table:
    """A row as lines of a column's name and its cell; empty cells are left out."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for column, cell in zip(columns, row, strict=True):
        if cell:
            table.add_row(column, Text(cell))
    table.add_row("", "")
    return table


def terminal_table(columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str]) -> Table:
    """A table for a terminal; `right` names the columns of numbers."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table
