"""Live progress on a terminal: a bar for each environment that is worked on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from envman.cli.stage_words import STAGE_WORDS
from envman.system.events import Event, Report, Stage

_ENDED = (Stage.DONE, Stage.FAILED)


@contextmanager
def bars(console: Console) -> Iterator[Report]:
    """A report that draws the bars; they go once the work is done, what has ended and warnings stay."""
    drawn = Progress(
        SpinnerColumn(),
        TextColumn("{task.fields[environment]}", style="bold", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[stage]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("{task.fields[detail]}", style="dim", markup=False),
        console=console,
        transient=True,
    )
    tasks: dict[str, TaskID] = {}
    lock = threading.Lock()

    def report(event: Event) -> None:
        with lock:
            _show(drawn, tasks, event)

    with drawn:
        yield report


def _show(drawn: Progress, tasks: dict[str, TaskID], event: Event) -> None:
    name = event.environment
    if event.warning:
        drawn.console.print(Text(f"{name}: warning: {event.detail}", style="yellow"))
        return
    if event.stage in _ENDED:
        if name in tasks:
            drawn.remove_task(tasks.pop(name))
        good = event.stage is Stage.DONE
        mark = Text("✓ " if good else "✗ ", style="green" if good else "red")
        drawn.console.print(
            mark.append(f"{name}  ", style="bold").append(event.detail, style="not bold default")
        )
        return
    stage, detail = STAGE_WORDS[event.stage], event.detail[:60]
    if name not in tasks:
        tasks[name] = drawn.add_task(name, total=100, environment=name, stage=stage, detail=detail)
    drawn.update(tasks[name], completed=event.stage.value, stage=stage, detail=detail)
