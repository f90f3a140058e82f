"""Live progress: a bar for each environment that is worked on; plain lines without a terminal."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from envman.cli.output import Reporter
from envman.usecases.events import Event, Report, Stage, silent

_ENDED = (Stage.DONE, Stage.FAILED)
_IN_STEPS = (Stage.FETCHING, Stage.PACKING, Stage.PUSHING)
_WORDS = {
    Stage.WAITING: "waiting",
    Stage.FETCHING: "fetching",
    Stage.RESOLVING: "resolving",
    Stage.CREATING: "creating",
    Stage.INSTALLING: "installing",
    Stage.COMPILING: "compiling bytecode",
    Stage.CHECKING: "checking",
    Stage.LISTING: "listing files",
    Stage.PACKING: "packing",
    Stage.PUSHING: "pushing",
    Stage.PUBLISHING: "publishing",
    Stage.DONE: "done",
    Stage.FAILED: "failed",
}


@contextmanager
def progress(reporter: Reporter) -> Iterator[Report]:
    """A report that shows the work; silent where the result is JSON."""
    if reporter.as_json:
        yield silent
    elif reporter.err.is_terminal:
        with _bars(reporter) as report:
            yield report
    else:
        yield _PlainLines(reporter).report


class _PlainLines:
    """One line for each stage that an environment reaches, and for each step of a stage that has few."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._last: dict[str, tuple[Stage, str]] = {}
        self._lock = threading.Lock()

    def report(self, event: Event) -> None:
        with self._lock:
            reached = event.stage, event.detail if event.stage in _IN_STEPS else ""
            if self._last.get(event.environment) != reached or event.warning:
                self._last[event.environment] = reached
                self._reporter.note(_line(event))


def _line(event: Event) -> str:
    detail = f": {event.detail}" if event.detail else ""
    return f"{event.environment}: {_WORDS[event.stage]}{detail}"


@contextmanager
def _bars(reporter: Reporter) -> Iterator[Report]:
    bars = Progress(
        SpinnerColumn(),
        TextColumn("[bold]{task.fields[environment]}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[stage]}"),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[detail]}"),
        console=reporter.err,
        transient=True,
    )
    tasks: dict[str, TaskID] = {}
    lock = threading.Lock()

    def report(event: Event) -> None:
        with lock:
            _show(bars, tasks, event)

    with bars:
        yield report


def _show(bars: Progress, tasks: dict[str, TaskID], event: Event) -> None:
    name = event.environment
    if event.warning:
        bars.console.print(Text(f"{name}: {event.detail}", style="yellow"))
        return
    if event.stage in _ENDED:
        if name in tasks:
            bars.remove_task(tasks.pop(name))
        good = event.stage is Stage.DONE
        mark = Text("✓ " if good else "✗ ", style="green" if good else "red")
        bars.console.print(
            mark.append(f"{name}  ", style="bold").append(event.detail, style="not bold default")
        )
        return
    stage, detail = _WORDS[event.stage], event.detail[:60]
    if name not in tasks:
        tasks[name] = bars.add_task(name, total=100, environment=name, stage=stage, detail=detail)
    bars.update(tasks[name], completed=event.stage.value, stage=stage, detail=detail)
