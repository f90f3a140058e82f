"""A child that its fork server has not answered for yet, because the server itself is just starting."""

from __future__ import annotations

import contextlib
import math
import signal
from collections.abc import Callable

import psutil
from airflow.sdk.execution_time.supervisor import ProcessTracker

from envman.airflow.server_child import ServerChild, keeps_its_number
from envman.airflow.server_client import ChildRequest
from envman.errors import EnvmanError

NO_PROCESS = 2**31 - 1
"""Above what the kernel gives to processes: signals to it reach nobody, unlike those to 0 and -1."""


class PendingChild(ProcessTracker):  # type: ignore[misc]  # Airflow is not there when types are checked
    """Takes the server's answer where there is one, with each look at the child.

    Where the server can't be had, the child is started cold: `cold` gets its descriptors, and the reason.
    `held` is closed as soon as that is settled.
    """

    ProcessNotFound = psutil.NoSuchProcess
    TimeoutExpired = psutil.TimeoutExpired

    def __init__(
        self,
        asked: ChildRequest,
        cold: Callable[[list[int], str], ProcessTracker],
        held: contextlib.ExitStack,
        on_warm: Callable[[], None],
    ) -> None:
        self._asked = asked
        self._cold = cold
        self._held = held
        self._on_warm = on_warm
        self._child: ProcessTracker | None = None
        self._status: int | None = None
        self.error: EnvmanError | OSError | None = None
        """Why there is no child at all; None where there is or will be one."""

    @property
    def lost(self) -> bool:
        """Whether its fork server has ended, and it for no other reason."""
        return getattr(self._child, "lost", False)

    @property
    def reason(self) -> str:
        """The same in words; empty where there is or will be a child."""
        return str(self.error) if self.error else ""

    @property
    def how(self) -> str:
        """How it was started: 'warm' or 'cold'; 'waiting' until that is known."""
        if self._child is None:
            return "waiting"
        return "warm" if isinstance(self._child, ServerChild) else "cold"

    @property
    def pid(self) -> int:
        """The process ID; until it is known, a number that no process has."""
        return int(self._child.pid) if self._child else NO_PROCESS

    def keeps_its_number(self) -> bool:
        """Whether the number is still its own."""
        return self._child is not None and keeps_its_number(self._child)

    def send_signal(self, s: signal.Signals) -> None:
        """Send it a signal; a child that is not there yet is given up, whatever the signal is."""
        self.look(0.0)
        if self._child:
            self._child.send_signal(s)
        elif self._status is None:
            self._settled(None, -s)

    def wait(self, timeout: float | None) -> int:
        """Its exit status, negative for a signal; raises psutil.TimeoutExpired after so many seconds."""
        self.look(math.inf if timeout is None else timeout)
        if self._child:
            status: int = self._child.wait(timeout)
            return status  # as it is: Airflow prints the signal's name
        if self._status is None:
            raise psutil.TimeoutExpired(timeout or 0.0)
        return self._status

    def close(self) -> None:
        """Give it up, wherever it is."""
        if isinstance(self._child, ServerChild):
            self._child.close()
        elif self._child is None and self._status is None:
            self._settled(None, -signal.SIGKILL)

    def look(self, seconds: float) -> None:
        """Take the server's answer, if it comes within so many seconds."""
        if self._child or self._status is not None:
            return
        try:
            if child := self._asked.child(seconds):
                self._settled(child)
                self._on_warm()
        except EnvmanError as error:
            self._start(str(error))

    def _start(self, reason: str) -> None:
        try:
            child = self._cold(self._asked.descriptors, reason)
        except (EnvmanError, OSError) as error:
            self.error = error
            self._settled(None, 1)
        else:
            self._asked.close()
            self._settled(child)

    def _settled(self, child: ProcessTracker | None, status: int | None = None) -> None:
        self._child, self._status = child, status
        if child is None:
            self._asked.close()
        self._held.close()
