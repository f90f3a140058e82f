from __future__ import annotations

import io

from rich.console import Console

from envman.cli.bars import bars
from envman.system.events import Event, Stage


def test_what_a_program_says_is_no_markup() -> None:
    said = "Saved ./wheels/[/x] [bold]frame[extra]"
    shown = io.StringIO()
    with bars(Console(file=shown, force_terminal=True, width=200)) as report:
        report(Event("env_a", Stage.INSTALLING, said))
    assert said in shown.getvalue()
