"""Progress of long work: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from envman.cli.output import PlainOutput, Reporter
from envman.cli.stage_words import STAGE_WORDS
from envman.system.events import Event, Report, Stage, silent

_IN_STEPS = (Stage.FETCHING, Stage.PACKING, Stage.PUSHING)


@contextmanager
def progress(reporter: Reporter) -> Iterator[Report]:
    """A report that shows the work; silent where the result is JSON."""
    if reporter.as_json:
        yield silent
    elif isinstance(reporter.err, PlainOutput):
        yield _PlainLines(reporter.err).report
    else:
        from envman.cli.bars import bars  # which imports rich

        with bars(reporter.err.console) as report:
            yield report


class _PlainLines:
    """One line for each stage that an environment reaches, and for each step of a stage that has few."""

    def __init__(self, output: PlainOutput) -> None:
        self._output = output
        self._last: dict[str, tuple[Stage, str]] = {}
        self._lock = threading.Lock()

    def report(self, event: Event) -> None:
        with self._lock:
            reached = event.stage, event.detail if event.stage in _IN_STEPS else ""
            if self._last.get(event.environment) != reached or event.warning:
                self._last[event.environment] = reached
                self._output.line(_line(event))


def _line(event: Event) -> str:
    mark = "warning: " if event.warning else ""
    detail = f": {mark}{event.detail}" if event.detail else ""
    return f"{event.environment}: {STAGE_WORDS[event.stage]}{detail}"
