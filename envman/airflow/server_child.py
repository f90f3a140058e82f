"""A child of a fork server, as Airflow's supervisors watch and signal their children."""

from __future__ import annotations

import contextlib
import enum
import os
import select
import signal
import socket

import psutil
import structlog
from airflow.sdk.execution_time.supervisor import ProcessTracker

from envman.door.breach import BreachError
from envman.door.server_answer import LONGEST_ANSWER, server_answer

log = structlog.get_logger(logger_name="envman.fork_server")

Ended = enum.IntEnum("Ended", {one.name: -one.value for one in signal.Signals})  # type: ignore[misc]
"""An end by a signal: negative, and with the name that Airflow prints, as psutil gives it."""


class ServerChild(ProcessTracker):  # type: ignore[misc]  # Airflow is not there when types are checked
    """A process that is not this one's child; its server tells how it ended.

    The connection is the hold on it: the server ends a child whose component has closed it, and keeps the
    number of an ended child taken until then.
    """

    ProcessNotFound = psutil.NoSuchProcess
    TimeoutExpired = psutil.TimeoutExpired

    def __init__(self, connection: socket.socket, pid: int, handle: int, environment: str) -> None:
        """`handle` is a pidfd of the process, which is closed with the end of the process."""
        self._connection = connection
        self._pid = pid
        self._handle = handle
        self._environment = environment
        self._status: int | None = None
        self.lost = False
        """Whether its server has ended or says nonsense, and it for no other reason."""

    @property
    def pid(self) -> int:
        """Its process ID, of this host or container."""
        return self._pid

    def keeps_its_number(self) -> bool:
        """Whether the number is still its own: a server that lies may have let go of it."""
        if self._status is not None:
            return False
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(self._handle, 0)
            return True
        return False

    def send_signal(self, s: signal.Signals) -> None:
        """Send it a signal; raises psutil.NoSuchProcess where it has ended."""
        if self._status is not None:
            raise psutil.NoSuchProcess(self._pid)
        try:
            # never by its number, which could be another process's once the server is gone
            signal.pidfd_send_signal(self._handle, s)
        except ProcessLookupError:
            raise psutil.NoSuchProcess(self._pid) from None

    def wait(self, timeout: float | None) -> int:
        """Its exit status, negative for a signal; raises psutil.TimeoutExpired after so many seconds."""
        if self._status is None:
            self._status = self._told(timeout)
            self.close()
        return self._status

    def _told(self, timeout: float | None) -> int:
        self._connection.settimeout(max(timeout, 0.0) if timeout is not None else None)
        try:
            line = self._connection.recv(LONGEST_ANSWER)
        except (BlockingIOError, TimeoutError):
            raise psutil.TimeoutExpired(timeout or 0.0, self._pid) from None
        except ConnectionError:
            line = b""
        if not line:
            return self._orphaned()
        try:
            status = server_answer(line)["status"]
        except (BreachError, KeyError):
            return self._orphaned()
        with contextlib.suppress(ValueError):  # a real-time signal without a name
            return Ended(status) if status < 0 else status
        return status

    def _orphaned(self) -> int:
        """The server has ended, and its children with it; make sure of this one."""
        self.lost = True
        log.error(
            "The fork server ended, and this workload with it", environment=self._environment, pid=self._pid
        )
        with contextlib.suppress(OSError):  # no longer there, or another user's by now
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)
        poll = select.poll()  # readable once it has ended, waited for or not
        poll.register(self._handle, select.POLLIN)
        poll.poll(5000)
        return Ended(-signal.SIGKILL)

    def close(self) -> None:
        """Give it up, which has its server end it; once it has ended, there is nothing left to close."""
        self._connection.close()
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def keeps_its_number(process: ProcessTracker) -> bool:
    """Whether a process still has its number; a child of this process has it until it is waited for."""
    asked = getattr(process, "keeps_its_number", None)
    return bool(asked()) if asked else True
