"""How results and errors are shown: tables and sentences for people, versioned JSON for scripts.

Results go to standard output, everything else to standard error. On a terminal rich sees to colour and width,
and only there is it imported. Elsewhere a table is plain columns, as wide as it needs.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, TextIO

import typer

from envman import __version__
from envman.errors import EnvmanError, ExitCode, InterruptedByUserError, Problem
from envman.system.children import CHILDREN
from envman.system.files import file_problem, is_below

if TYPE_CHECKING:
    from envman.cli.terminal import TerminalOutput

SCHEMA_VERSION = 1
_COLUMN_GAP = "  "

_TOO_LATE = Problem("", "Interrupted, when all of it was done.", "There is no need to run it again.")

ROOTS: set[str] = set()
"""The root folders that this command works on: a file that fails there has an exit code of its own."""


class OutputError(EnvmanError):
    """Standard output can't be written; nothing more is written to it."""


def write(stream: TextIO, text: str) -> None:
    """Write at once; raises OutputError, BrokenPipeError. What can't be said on standard error is not said:
    that is no reason to end the work.
    """
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # else the rest is tried again, and again
        if isinstance(error, BrokenPipeError):
            raise
        if stream is sys.stdout:
            raise unwritten(error) from None


def unwritten(error: OSError) -> OutputError:
    """What is said of standard output that can't be written."""
    remedy = "Check where it leads: the space there, and this user's rights."
    return OutputError(Problem("standard output", error.strerror or str(error), remedy))


class PlainOutput:
    """Lines of text, each written at once: for pipes, files and the logs of a CI."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def line(self, text: str) -> None:
        """Write a line."""
        write(self._stream, f"{text}\n")

    def problem(self, problem: Problem) -> None:
        """Write a problem: place and cause, then the remedy."""
        place = f"{problem.where}: " if problem.where else ""
        self.line(f"error: {place}{problem.what}")
        if problem.remedy:
            self.line(f"  {problem.remedy}")

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str]) -> None:
        """Write a table; `right` names the columns of numbers."""
        cells = [[cell.splitlines() or [""] for cell in row] for row in (columns, *rows)]
        lines = [line for row in cells for line in zip_longest(*row, fillvalue="")]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for line in lines:
            padded = [
                cell.rjust(width) if column in right else cell.ljust(width)
                for cell, width, column in zip(line, widths, columns, strict=True)
            ]
            self.line(_COLUMN_GAP.join(padded).rstrip())


def _output(stream: TextIO, environ: Mapping[str, str]) -> PlainOutput | TerminalOutput:
    """The output that suits a stream; variables may make a terminal of what is none, which rich knows."""
    if not stream.isatty() and not {"FORCE_COLOR", "TTY_COMPATIBLE"} & environ.keys():
        return PlainOutput(stream)
    from envman.cli.terminal import TerminalOutput

    terminal = TerminalOutput(stream)
    return terminal if terminal.console.is_terminal else PlainOutput(stream)


class Reporter:
    """Shows one command's outcome; `as_json` puts everything into one JSON object on standard output."""

    def __init__(self, command: str, as_json: bool = False) -> None:
        self.command = command
        self.as_json = as_json
        self.out = _output(sys.stdout, os.environ)
        self.err = _output(sys.stderr, os.environ)
        self._wrote_json = False

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Show an error that ends the command, and end it with the error's exit code."""
        done = False
        try:
            try:
                yield
                done = True
            finally:
                CHILDREN.look_for_signals()  # whatever else went wrong then
        except InterruptedByUserError as error:
            problems = [_TOO_LATE] if done else error.problems
            with suppress(OSError):  # the terminal may have gone
                if self._wrote_json:
                    self.problems(problems)
                else:
                    self.fail(problems, error.exit_code)
            raise typer.Exit(error.exit_code) from None
        except OutputError as error:
            self.problems(error.problems)
            raise typer.Exit(error.exit_code) from None
        except EnvmanError as error:
            self.fail(error.problems, error.exit_code)
        except BrokenPipeError:
            raise typer.Exit(ExitCode.FAILED) from None
        except OSError as error:
            of_root = any(is_below(error, root) for root in ROOTS)
            self.fail([file_problem("", error)], ExitCode.STORE if of_root else ExitCode.FAILED)

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
            self.err.problem(problem)

    def json(self, result: Any, problems: Iterable[Problem] = (), ok: bool = True) -> None:
        """Write the one JSON object of this command."""
        self._wrote_json = True
        write(sys.stdout, json.dumps(self.envelope(result, problems, ok), indent=2) + "\n")

    def envelope(self, result: Any, problems: Iterable[Problem], ok: bool) -> dict[str, Any]:
        """The one JSON object of this command, as values."""
        return {
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

    def result(self, value: Any) -> None:
        """Write a use case's outcome as JSON."""
        self.json([asdict(item) for item in value] if isinstance(value, (list, tuple)) else asdict(value))

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str] = ()) -> None:
        """Show a table on standard output; `right` names the columns of numbers."""
        self.out.table(columns, rows, right)

    def say(self, text: str) -> None:
        """Say a sentence on standard output."""
        self.out.line(text)

    def note(self, text: str) -> None:
        """Say a sentence on standard error."""
        self.err.line(text)


def pass_on(line: str) -> None:
    """Write a line of a program that envman runs to standard error, as it is."""
    write(sys.stderr, f"{line}\n")


def size_text(size: int | None) -> str:
    """Bytes as people read them: '278 MB' (decimal, as disks are sold)."""
    if size is None:
        return "-"
    if size < 1_000_000:
        return f"{size / 1000:.0f} kB"
    return f"{size / 1_000_000:.0f} MB"


def used_by_text(environments: Sequence[str], bundles: Sequence[str]) -> str:
    """Where a package is: 'in env_a, env_b, used by bundle_a'."""
    used = f", used by {', '.join(bundles)}" if bundles else ""
    return f"in {', '.join(environments)}{used}"
