"""A picture that is drawn anew every few seconds, until somebody presses q or Ctrl-C."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from rich.console import Console, RenderableType
from rich.live import Live

from envman.errors import InterruptedByUserError
from envman.system.children import CHILDREN

Seen = TypeVar("Seen")
Pressed = Callable[[float], bool]
"""Waits so many seconds at most; whether somebody wants to leave."""

KEYS = 0.1
"""Seconds between two looks at whether somebody wants to leave."""


def watch(
    console: Console,
    look: Callable[[], Seen],
    draw: Callable[[Seen], RenderableType],
    interval: float,
) -> None:
    """Look, draw, wait, until q or Ctrl-C; raises what `look` does, InterruptedByUserError for SIGTERM."""
    try:
        with _keyboard() as pressed, _screen(console) as live:
            while True:
                looking = _Look(look)
                while looking.is_alive():
                    if pressed(KEYS):
                        return
                live.update(draw(looking.seen()), refresh=True)
                until = time.monotonic() + interval
                while (left := until - time.monotonic()) > 0:
                    if pressed(left):
                        return
    except InterruptedByUserError as error:
        if error.exit_code != 128 + signal.SIGINT:
            raise
        CHILDREN.taken()


def _screen(console: Console) -> Live:
    return Live(console=console, screen=True, auto_refresh=False)


class _Look(threading.Thread, Generic[Seen]):
    """One look, beside the keyboard; nobody waits for it who wants to leave."""

    def __init__(self, look: Callable[[], Seen]) -> None:
        super().__init__(daemon=True)
        self._look = look
        self._seen: list[Seen] = []
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._seen.append(self._look())
        except BaseException as error:  # noqa: BLE001  # raised again by whoever waits
            self._error = error

    def seen(self) -> Seen:
        if self._error:
            raise self._error
        return self._seen[0]


@contextmanager
def _keyboard() -> Iterator[Pressed]:
    """Read keys as they are pressed; the terminal is afterwards as it was."""
    if not sys.stdin.isatty():
        yield _no_keys
        return
    terminal = sys.stdin.fileno()

    def pressed(seconds: float) -> bool:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            CHILDREN.look()
            if select.select([terminal], [], [], min(left, KEYS))[0]:
                return os.read(terminal, 1) in {b"q", b"Q", b""}
        return False

    before = termios.tcgetattr(terminal)
    tty.setcbreak(terminal)
    try:
        yield pressed
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _no_keys(seconds: float) -> bool:
    CHILDREN.sleep(seconds)
    return False
