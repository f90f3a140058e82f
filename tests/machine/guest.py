"""A machine of its own: a Debian in user-mode Linux, which tests send commands to and take the power from.

User-mode Linux is the kernel as a process. To kill it is a power cut: what that kernel has not written to the
disk image yet is gone. The image can be booted again.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shlex
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.needs import user_mode_linux
from tests.waiting import until

BOOT = 300.0
"""Seconds that a boot may take on a busy machine; two are usual without systemd, ten with it."""
COMMAND = 900.0
"""Seconds that anything may take: Airflow starts in twenty where nobody else works, in minutes beside much else."""
SLACK = 30.0
"""Seconds that the guest has, beyond a command's own limit, to say that it ran out."""

ANOTHER_DISK = "/dev/ubdb"
SYSTEMD = "/sbin/init"
ALONE = "/agent/alone"
"""What is started in the place of systemd where a test needs nothing of it: mounts, then the agent."""


class GuestError(AssertionError):
    """The guest does not do what a test needs of it; the message ends with what its console said."""


@dataclass(frozen=True)
class Finished:
    """What a command in the guest came to."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


class Guest:
    """A running guest. `disk` is its image, which it writes to; `folder` gets its console's log. `carried` is
    the image of another disk, which is put into it as ANOTHER_DISK, to be read.
    """

    def __init__(
        self,
        disk: Path,
        folder: Path,
        init: str = SYSTEMD,
        memory: str = "1024M",
        carried: Path | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.disk = disk
        self.console = folder / "console.log"
        requests, self._requests = os.pipe()
        answers, guests_answers = os.pipe()
        words = [
            user_mode_linux(),
            *(f"ubd0={disk}", "root=/dev/ubda", "rw", f"mem={memory}", f"init={init}", "quiet"),
            *("con0=null,fd:1", "con=null", f"ssl0=fd:{requests},fd:{guests_answers}", "ssl=null"),
            *([f"ubd1r={carried}"] if carried else []),
            *("systemd.unified_cgroup_hierarchy=1", f"uml_dir={folder}"),
        ]
        with self.console.open("ab") as console:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                pass_fds=(requests, guests_answers),
                start_new_session=True,
            )
        os.close(requests)
        os.close(guests_answers)
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, args=(answers,), daemon=True)
        self._reader.start()

    def __enter__(self) -> Guest:
        try:
            self.expect("ready", BOOT)
        except BaseException:
            self.cut()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()

    def _read(self, descriptor: int) -> None:
        with open(descriptor, encoding="utf-8", errors="replace") as stream:
            for line in stream:
                with contextlib.suppress(ValueError):  # the kernel's own words, before the agent has the line
                    self._lines.put(json.loads(line))
        self._lines.put(None)

    def expect(self, key: str, timeout: float) -> dict[str, Any]:
        """Wait for the agent's next line, which has to have a key; raises GuestError."""
        line = self.next_line(timeout)
        if line is None or key not in line:
            raise GuestError(f"waited for '{key}', got {line}\n{self.console_text()}")
        return line

    def next_line(self, timeout: float) -> dict[str, Any] | None:
        """The agent's next line; None where none comes in so many seconds, or the guest has ended."""
        try:
            return self._lines.get(timeout=max(timeout, 0.0))
        except queue.Empty:
            return None

    def console_text(self) -> str:
        """The end of what the guest said on its console."""
        return self.console.read_text(encoding="utf-8", errors="replace")[-6000:]

    def start(self, request: dict[str, Any]) -> None:
        """Have the guest begin something; returns when it has begun."""
        os.write(self._requests, json.dumps({"timeout": COMMAND, "folder": "/", **request}).encode() + b"\n")
        self.expect("started", COMMAND)

    def finish(self, timeout: float = COMMAND) -> Finished:
        """Wait for what was started."""
        return Finished(**self.expect("exit_code", timeout + SLACK))

    def run(self, script: str, timeout: float = COMMAND, folder: str = "/") -> Finished:
        """Run a shell script as root."""
        self.start({"words": ["/bin/sh", "-c", script], "timeout": timeout, "folder": folder})
        return self.finish(timeout)

    def ok(self, script: str, timeout: float = COMMAND, folder: str = "/") -> str:
        """Run a shell script that has to succeed; returns its output."""
        finished = self.run(script, timeout, folder)
        if finished.exit_code:
            raise GuestError(f"{script}\n{finished}\n{self.console_text()}")
        return finished.stdout

    def write(self, path: str, text: str) -> None:
        """Write a file in the guest."""
        self.ok(
            f"mkdir -p $(dirname {shlex.quote(path)}); printf %s {shlex.quote(text)} > {shlex.quote(path)}"
        )

    def wait_for(self, what: str, script: str, timeout: float = COMMAND) -> str:
        """Run a script until it succeeds; raises GuestError with what it said last. Returns its output."""
        last: list[Finished] = []

        def succeeds() -> bool:
            last[:] = [self.run(script)]
            return not last[0].exit_code

        until(succeeds, lambda: f"there is no {what}: {script}\n{last}\n{self.console_text()}", timeout)
        return last[0].stdout

    def cut(self) -> None:
        """Take its power away, at once; returns when nothing of it writes to its disk any more."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join(SLACK)
        if self._requests >= 0:
            os.close(self._requests)
            self._requests = -1

    def power_off(self) -> None:
        """Shut it down as its administrator would, and wait for it."""
        self.start({"words": ["systemctl", "poweroff"]})
        self._ended()

    def reboot(self) -> None:
        """Restart it by systemd, and wait until it is up again."""
        self.start({"words": ["systemctl", "reboot"]})
        end = time.monotonic() + BOOT
        while (line := self.next_line(end - time.monotonic())) is None or "ready" not in line:
            if line is None:
                raise GuestError(f"it does not come up again\n{self.console_text()}")

    def _ended(self) -> None:
        try:
            self._process.wait(COMMAND)
        except subprocess.TimeoutExpired:
            raise GuestError(f"it does not go off\n{self.console_text()}") from None
        finally:
            self.cut()
