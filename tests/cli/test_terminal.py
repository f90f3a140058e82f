from __future__ import annotations

import io

import pytest
from rich.console import Console

from envman.cli.terminal import TerminalOutput
from envman.errors import Problem

COLUMNS = ("", "environment", "generation", "bundles")
ROW = ("->", "env_of_team_a", "3f9c2a7b10de", "bundle_a, bundle_b")


@pytest.mark.parametrize(("width", "lines"), [(100, 1), (40, 4)])
def test_no_cell_is_cut_off_however_narrow_the_terminal_is(width: int, lines: int) -> None:
    output, shown = TerminalOutput(io.StringIO()), io.StringIO()
    output.console = Console(file=shown, force_terminal=True, width=width, no_color=True)
    output.table(COLUMNS, [ROW], right=())
    text = shown.getvalue()
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    assert all(word in text for cell in ROW for word in cell.split())
    assert sum(any(word in line for word in " ".join(ROW).split()) for line in text.splitlines()) == lines


def test_only_the_word_error_is_red() -> None:
    output, shown = TerminalOutput(io.StringIO()), io.StringIO()
    output.console = Console(file=shown, force_terminal=True, color_system="standard")
    output.problem(Problem("env_a.toml", "is wrong"))
    assert shown.getvalue() == "\x1b[1;31merror: \x1b[0m\x1b[1menv_a.toml: \x1b[0mis wrong\n"
