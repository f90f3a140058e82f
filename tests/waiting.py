"""Waiting in tests: for an event, never for a moment.

Where a file, a line of output, a pipe or a process's end can be waited for, tests do that. `until` is for
what no event tells of; it is the only place in tests that sleeps.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 180.0
"""Seconds after which what a test waits for won't come any more, on a machine that does much else."""

_SHORTEST, _LONGEST = 0.002, 0.3


def until(condition: Callable[[], T], what: str | Callable[[], str], seconds: float = PATIENCE) -> T:
    """Ask until the condition's value is true, and return that value.

    Asks often at first, later three times a second. After `seconds` raises AssertionError with `what` is wrong
    then, such as "the server does not answer"; a function is called to tell it.
    """
    end = time.monotonic() + seconds
    pause = _SHORTEST
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"after {seconds:g} s {what if isinstance(what, str) else what()}")
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST)
    return value
