"""Try something in a fork of this process: it may crash, hang, or leave processes behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, NoReturn

from envman.inside.workload import PR_SET_PDEATHSIG, prctl

POLL = 0.002
_ENDED_BY = {signal.SIGTERM}


class Outcome:
    """What came of a trial: a value as JSON gives it back, else an error, else the fork's exit status alone.

    `status` is negative for a signal, and None where the time was up.
    """

    __slots__ = ("error", "status", "value")

    def __init__(self, value: Any, error: str, status: int | None) -> None:
        self.value = value
        self.error = error
        self.status = status

    def ending(self) -> str:
        """The exit status, behind 'ended the interpreter'."""
        number = self.status or 0
        if number >= 0:
            return f" with exit status {number}"
        try:
            return f": {signal.Signals(-number).name}"
        except ValueError:  # a real-time signal without a name
            return f": signal {-number}"


def end_with_forks() -> None:
    """Have SIGTERM end this process by way of `attempt`'s clean-up."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def attempt(work: Callable[[], object], limit: float) -> Outcome:
    """Work in a fork that has so many seconds; what is left of it and of its own children is killed."""
    with tempfile.TemporaryDirectory() as notes:
        note = f"{notes}/outcome.json"
        sys.stdout.flush()
        sys.stderr.flush()
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDED_BY)  # until the fork would go, too
        child = os.fork()
        if child == 0:
            with contextlib.suppress(OSError):  # it ends with this process, also where that is killed
                prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            os.setpgid(0, 0)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDED_BY)
            _work_and_end(work, note)
        with contextlib.suppress(OSError):  # both do it: whoever kills the group finds it
            os.setpgid(child, child)
        status = _wait(child, time.monotonic() + limit)
        try:
            with open(note, encoding="utf-8") as stream:
                told = json.load(stream)
        except (FileNotFoundError, ValueError):  # it has not come that far
            return Outcome(None, "", status)
        return Outcome(told.get("value"), told.get("error", ""), status)


def _wait(child: int, until: float) -> int | None:
    """A child's exit status; None where it has none in time."""
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDED_BY)
        while time.monotonic() < until:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            time.sleep(POLL)
        return None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)


def _work_and_end(work: Callable[[], object], note: str) -> NoReturn:
    """The fork's part: work, write down what came of it, and end without cleaning up after the parent."""
    try:
        try:
            told = {"value": work()}
        except BaseException as error:  # noqa: BLE001  # whatever it is, it must not get into the parent's loop
            told = {"error": f"{type(error).__name__}: {error}"}
        with open(f"{note}.new", "w", encoding="utf-8") as stream:
            json.dump(told, stream, default=str)
        os.replace(f"{note}.new", note)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
