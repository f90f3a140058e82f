"""The children of this process and the signals that end it: one owner, for the whole of a command.

A signal is only noted. One thread reads the notes and ends the children: SIGTERM to their process groups, and
SIGKILL after five seconds, or at the next signal. Once none is left, whoever waits for one, for a lock or for
a server gets InterruptedByUserError; work that takes long looks in between. Nothing is raised at any other
moment, so no clean-up is cut off, and none meets a child that still writes.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import FrameType
from typing import TypeVar

from envman.errors import InterruptedByUserError
from envman.system.child_process import ChildProcess, Finished
from envman.system.process_table import own_children

TERMINATION_GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL."""

PATIENCE = 10.0
"""Seconds after the first signal from which on another one raises InterruptedByUserError wherever the main
thread stands: what has not ended by then hangs."""

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_CLOSE = 0
"""A note that is no signal: the owner goes."""

_LOOK = 0.02
"""Seconds between two looks at children that are to end."""

ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class _Ending:
    """What ends the command: a signal, or 0 for an error; since when."""

    signum: int
    since: float


class Children:
    """All children of this process, whoever starts them; one for all, as a process has one set of signals."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running: set[ChildProcess] = set()
        self._ending: _Ending | None = None
        self._all_gone = False
        self._was_heard = False
        self._notes = -1
        self._closing = False
        self._libraries = 0

    @contextlib.contextmanager
    def owned(self) -> Iterator[None]:
        """While inside, SIGINT, SIGTERM and SIGHUP end the children, unless they were ignored before: then
        they stay so (nohup, jobs in the background).

        Raises InterruptedByUserError at the end, if there was a signal. Entered once, by the main thread.
        """
        self._notes, notes = os.pipe()
        os.set_blocking(notes, False)
        os.set_blocking(self._notes, False)
        self._closing = False
        wakeup = signal.set_wakeup_fd(notes, warn_on_full_buffer=False)
        previous = {
            number: signal.signal(number, self._heard)
            for number in _STOP_SIGNALS
            if signal.getsignal(number) is not signal.SIG_IGN
        }
        reader = threading.Thread(target=self._read_notes, daemon=True)
        reader.start()
        try:
            yield
        finally:
            os.write(notes, bytes([_CLOSE]))
            reader.join()
            self.end_all()
            for number, handler in previous.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(wakeup)
            self._until_closed()  # a signal that came since the reader went
            for descriptor in (self._notes, notes):
                os.close(descriptor)
            ending = self._ending
            self.taken()
            if ending and ending.signum:
                raise InterruptedByUserError(ending.signum) from None

    def _heard(self, _signum: int, _frame: FrameType | None) -> None:
        """Python's part of a signal's handler; the part before it has written the note already."""
        self._was_heard = True
        if self._ending and time.monotonic() - self._ending.since > PATIENCE:
            raise InterruptedByUserError(self._ending.signum)

    def _read_notes(self) -> None:
        while not self._closing:
            heard = self._noted(None if self._ending is None else _LOOK)
            if heard and self._ending is None:
                self._end(heard)
            elif heard and not self.interrupted:  # beside an error: it is the signal that counts
                with self._changed:
                    self._ending = _Ending(heard, time.monotonic())
                    self._changed.notify_all()
            elif self._ending is not None:
                self._end_strays(signal.SIGKILL)

    def _until_closed(self) -> None:
        while heard := self._noted(0):
            if not self.interrupted:
                self._ending = _Ending(heard, time.monotonic())

    def _noted(self, seconds: float | None) -> int:
        """The signal that was noted, 0 where none was for so many seconds."""
        select.select([self._notes], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            note = os.read(self._notes, 1)[0]
            self._closing = self._closing or note == _CLOSE
            return note if note in _STOP_SIGNALS else 0
        return 0

    @property
    def interrupted(self) -> bool:
        """Whether a signal has ended the command."""
        return self._ending is not None and self._ending.signum != 0

    def look(self) -> None:
        """For work that takes long: raises InterruptedByUserError where the command was ended."""
        if self._ending is not None or self._was_heard:
            self._raise()

    def look_for_signals(self) -> None:
        """For a command's end, which an error may have brought: raises InterruptedByUserError for a signal
        alone.
        """
        if self._was_heard:
            with self._changed:
                self._changed.wait_for(lambda: self.interrupted or self._closing)
        if self.interrupted:
            self._raise()

    def taken(self) -> None:
        """The signal was somebody's way to leave: it is no interruption."""
        with self._changed:
            self._ending, self._all_gone, self._was_heard = None, False, False
            self._changed.notify_all()

    def run(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: str,
        held: Sequence[int],
        on_line: Callable[[str], None] | None,
        timeout: float | None,
    ) -> Finished:
        """Run a command to its end, as `Processes.run` says."""
        with self._changed:  # nobody ends the children while one of them is not known yet
            self.look()
            child = ChildProcess(command, environment, folder, held)
            self._running.add(child)
        child.follow(on_line, self._tell)

        def is_done() -> bool:
            return child.is_over or child.error is not None

        late = not self._wait(is_done, timeout)
        if late:
            _end_children([child], _pause)  # by SIGTERM first: what ends others with itself is to do that
            self._wait(is_done)
        if child.error:
            _end_children([child], _pause)
        with self._changed:
            self.look()
            self._running.discard(child)
        if child.error:
            raise child.error
        finished = child.finished()
        return replace(finished, exit_code=128 + signal.SIGKILL) if late else finished

    def sleep(self, seconds: float) -> None:
        """Wait so many seconds; raises InterruptedByUserError where the command is ended meanwhile."""
        self._wait(lambda: False, seconds)

    def abandonable(self, call: Callable[[], ResultT], seconds: float | None = None) -> ResultT:
        """The result of a call that waits for somebody else; nobody waits for it once the command was ended.

        It is made in another thread, and has to leave nothing behind. Raises what it raises, and TimeoutError
        where it has taken so many seconds.
        """
        results: list[ResultT] = []
        errors: list[BaseException] = []

        def work() -> None:
            try:
                results.append(call())
            except BaseException as error:  # noqa: BLE001  # raised again by whoever waits
                errors.append(error)
            self._tell()

        self.look()
        threading.Thread(target=work, daemon=True).start()
        if not self._wait(lambda: bool(results or errors), seconds):
            raise TimeoutError
        for error in errors:
            raise error
        return results[0]

    @contextlib.contextmanager
    def of_a_library(self) -> Iterator[None]:
        """While inside, a library may start children, in this process's group; they are ended, too."""
        with self._changed:
            self._libraries += 1
        try:
            yield
        finally:
            with self._changed:
                self._libraries -= 1

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _wait(self, is_done: Callable[[], bool], seconds: float | None = None) -> bool:
        """Wait until something is done; raises InterruptedByUserError where the command was ended."""
        with self._changed:
            done = self._changed.wait_for(lambda: is_done() or self._ending is not None, seconds)
        self.look()
        return done

    def _raise(self) -> None:
        self._until_all_are_gone()
        if self._ending is not None:
            raise InterruptedByUserError(self._ending.signum)

    def _until_all_are_gone(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._all_gone or not (self._ending or self._was_heard))

    def end_all(self) -> None:
        """End the children, where an error has ended the command; no further one starts."""
        if self._ending is None:
            self._end(0)

    def _end(self, signum: int) -> None:
        with self._changed:
            self._ending = _Ending(signum, time.monotonic())
            running = list(self._running)
            self._changed.notify_all()
        _end_children(running, self._next_signal if signum else _pause)
        with self._changed:
            self._running.clear()
            self._all_gone = True
            self._changed.notify_all()

    def _next_signal(self) -> bool:
        """Wait a moment; whether there was another signal."""
        self._end_strays(signal.SIGTERM)
        return self._noted(_LOOK) != 0

    def _end_strays(self, signum: int) -> None:
        for pid in own_children(os.getpgrp()) if self._libraries else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signum)


def _pause() -> bool:
    time.sleep(_LOOK)
    return False


def _end_children(children: Sequence[ChildProcess], at_once: Callable[[], bool]) -> None:
    """SIGTERM to their groups, then SIGKILL to those that are left; `at_once` waits a moment, and says
    whether there has been enough waiting.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        for child in children:
            child.signal(number)
        until = time.monotonic() + TERMINATION_GRACE
        while (children := [child for child in children if not child.is_gone()]) and time.monotonic() < until:
            if at_once() and number is signal.SIGTERM:
                break


CHILDREN = Children()
"""The children of this process."""
