"""Tell a workload that was ended for want of its environment's memory from one that somebody has killed."""

from __future__ import annotations

import signal
from typing import Any

from airflow.sdk.execution_time.supervisor import ProcessTracker

from envman.airflow.server_child import keeps_its_number
from envman.confine.cgroups import oom_kills


class WithinMemory(ProcessTracker):  # type: ignore[misc]  # Airflow is not there when types are checked
    """A process of an environment whose memory is limited; says in its log when that was its end.

    `limit` is in bytes. The kernel counts such ends for an environment, not for a process: of two that are
    killed at the same moment, one for its memory and one by somebody, both get the message.
    """

    def __init__(self, process: ProcessTracker, environment: str, limit: float, log: Any) -> None:
        self._process = process
        self._environment = environment
        self._limit = limit
        self._log = log
        self._before = oom_kills(environment)
        self.ProcessNotFound = process.ProcessNotFound
        self.TimeoutExpired = process.TimeoutExpired
        self._reason = ""

    @property
    def lost(self) -> bool:
        """Whether its fork server has ended, and it for no other reason."""
        return getattr(self._process, "lost", False)

    @property
    def reason(self) -> str:
        """Why the process was ended for its environment's memory, or was never started; else empty."""
        return self._reason or getattr(self._process, "reason", "")

    @property
    def pid(self) -> int:
        """The process ID."""
        return int(self._process.pid)

    def keeps_its_number(self) -> bool:
        """Whether the number is still its own."""
        return keeps_its_number(self._process)

    def send_signal(self, s: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(s)

    def wait(self, timeout: float | None) -> int:
        """The exit status, as the process's own tracker gives it."""
        status: int = self._process.wait(timeout)
        if status == -signal.SIGKILL and not self._reason and oom_kills(self._environment) > self._before:
            self._reason = (
                f"The environment '{self._environment}' has used up its memory: its workloads may have "
                f"{self._limit / 2**20:.0f} MiB together (limits.memory of its spec)."
            )
            self._log.error(self._reason)
        return status
