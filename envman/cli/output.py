"""How results and errors are shown: tables and sentences for people, versioned JSON for scripts.

Results go to standard output, everything else to standard error. rich sees to colour: none without a
terminal, none with NO_COLOR. Without a terminal a table is plain columns, as wide as it needs.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import typer
from packaging.version import Version
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from envman import __version__
from envman.errors import EnvmanError, ExitCode, Problem
from envman.usecases.side_by_side import file_problem

SCHEMA_VERSION = 1
_PLAIN_WIDTH = 10_000


def _console(stream: Any) -> Console:
    width = None if stream.isatty() else _PLAIN_WIDTH
    return Console(file=stream, width=width, highlight=False, soft_wrap=width is not None)


class Reporter:
    """Shows one command's outcome; `as_json` puts everything into one JSON object on standard output."""

    def __init__(self, command: str, as_json: bool = False) -> None:
        self.command = command
        self.as_json = as_json
        self.out = _console(sys.stdout)
        self.err = _console(sys.stderr)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Show an error that ends the command, and end it with the error's exit code."""
        try:
            yield
        except EnvmanError as error:
            self.fail(error.problems, error.exit_code)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(ExitCode.FAILED) from None
        except OSError as error:
            self.fail([file_problem("", error)], ExitCode.STORE)
        except KeyboardInterrupt:
            self.fail([Problem("", "Interrupted.")], 130)

    def fail(self, problems: Iterable[Problem], exit_code: int) -> None:
        """Show problems and end the command."""
        if self.as_json:
            self.json(None, problems, ok=False)
        else:
            self.problems(problems)
        raise typer.Exit(exit_code)

    def problems(self, problems: Iterable[Problem]) -> None:
        """Show problems on standard error: place and cause, then the remedy."""
        for problem in problems:
            line = Text("error: ", style="bold red")
            line.append(f"{problem.where}: " if problem.where else "", style="bold not red")
            line.append(problem.what, style="not bold not red")
            self.err.print(line)
            if problem.remedy:
                self.err.print(Text(f"  {problem.remedy}", style="cyan"))

    def json(self, result: Any, problems: Iterable[Problem] = (), ok: bool = True) -> None:
        """Write the one JSON object of this command."""
        document = {
            "schema_version": SCHEMA_VERSION,
            "envman": __version__,
            "command": self.command,
            "ok": ok,
            "result": result,
            "problems": [
                {"where": problem.where, "what": problem.what, "remedy": problem.remedy}
                for problem in problems
            ],
        }
        sys.stdout.write(json.dumps(document, indent=2) + "\n")

    def result(self, value: Any) -> None:
        """Write a use case's outcome as JSON."""
        self.json([asdict(item) for item in value] if isinstance(value, (list, tuple)) else asdict(value))

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str] = ()) -> None:
        """Show a table on standard output; `right` names the columns of numbers."""
        terminal = self.out.is_terminal
        table = make_table(columns, rows, right, terminal)
        if terminal:
            self.out.print(table)
            return
        with self.out.capture() as captured:
            self.out.print(table)
        for line in captured.get().splitlines():
            self.say(line.rstrip())

    def say(self, text: str) -> None:
        """Say a sentence on standard output."""
        self.out.print(Text(text))

    def note(self, text: str) -> None:
        """Say a sentence on standard error."""
        self.err.print(Text(text))


def make_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str], terminal: bool
) -> Table:
    """A table; `right` names the columns of numbers."""
    table = Table(box=box.SIMPLE_HEAD if terminal else None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", no_wrap=not terminal)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def size_text(size: int | None) -> str:
    """Bytes as people read them: '278 MB' (decimal, as disks are sold)."""
    if size is None:
        return "-"
    if size < 1_000_000:
        return f"{size / 1000:.0f} kB"
    return f"{size / 1_000_000:.0f} MB"


def versions_text(versions: Sequence[str]) -> str:
    """Versions of one package in one cell."""
    return ", ".join(sorted(set(versions), key=Version)) or "-"
