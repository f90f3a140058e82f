"""Child processes: the only place that starts programs and waits for them.

Each child leads its own process group, so that ending it ends what it has started. Output is read from both
pipes at once, whatever its length. Once `terminate_all` was called no further child starts.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType

from envman.errors import InterruptedByUserError
from envman.redaction import redact

TERMINATION_GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL."""

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

SIGNAL_INTERVAL = 0.25
"""Seconds after which a waiting main thread looks for signals. The kernel may give one to another thread;
that does not wake the main thread up, which alone runs Python's handlers."""


@dataclass(frozen=True)
class Finished:
    """A child that has ended: its status as a shell gives it and what it printed, credentials blotted out."""

    exit_code: int
    stdout: str
    stderr: str


class Processes:
    """The children of this run of envman; each gets `variables` besides those that it is started with."""

    def __init__(self, variables: Mapping[str, str] | None = None) -> None:
        self._added = dict(variables or {})
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._stopped_by: int | None = None
        self._main_thread_starts_one = False

    def seen(self, path: str) -> str:
        """A path of this machine as the children see it: here the same."""
        return path

    def run(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: str,
        held: Sequence[int] = (),
        on_line: Callable[[str], None] | None = None,
        *,
        timeout: float | None = None,
    ) -> Finished:
        """Run a command to its end.

        `held` are file descriptors of locks that the child inherits: if this process is killed, the lock
        lasts as long as the child still writes. `on_line` gets each line of standard error as it comes.
        After `timeout` seconds the child's group is killed, and the exit code is that of SIGKILL. Raises
        OSError where the program can't be started, InterruptedByUserError after `terminate_all`.
        """
        child = self._start(command, environment, folder, held)
        limit = threading.Timer(timeout, _signal_group, (child, signal.SIGKILL)) if timeout else None
        try:
            if limit:
                limit.start()
            stdout = _Reader(child.stdout, None)
            stderr = _Reader(child.stderr, on_line)
            for reader in (stdout, stderr):
                while reader.is_alive():
                    reader.join(SIGNAL_INTERVAL)
            code = child.wait()
        finally:
            if limit:
                limit.cancel()
        with self._lock:  # not where a signal interrupts this thread: `terminate_all` ends the child then
            self._running.discard(child)
        self._raise_if_stopped()
        return Finished(code if code >= 0 else 128 - code, stdout.text(), stderr.text())

    def _start(
        self, command: Sequence[str], environment: Mapping[str, str], folder: str, held: Sequence[int]
    ) -> subprocess.Popen[str]:
        with self._lock, self._undisturbed():
            self._raise_if_stopped()
            child = subprocess.Popen(
                list(command),
                env={**environment, **self._added},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
                pass_fds=tuple(held),
                start_new_session=True,
            )
            self._running.add(child)
        return child

    @contextlib.contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """While inside, a signal's handler leaves the main thread alone: an error raised in the middle of a
        start would leave a child behind that nobody knows.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._main_thread_starts_one = True
        try:
            yield
        finally:
            self._main_thread_starts_one = False
            self._raise_if_stopped()

    def _raise_if_stopped(self) -> None:
        if self._stopped_by is not None:
            raise InterruptedByUserError(self._stopped_by)

    def interrupt(self, signum: int) -> None:
        """Stop the main thread, from a signal's handler: raises InterruptedByUserError, or, where a child is
        just being started, has it raised as soon as that one is known.
        """
        if self._main_thread_starts_one:
            self._stopped_by = signum
        else:
            raise InterruptedByUserError(signum)

    def terminate_all(self, signum: int) -> None:
        """End all children: SIGTERM to their groups, after five seconds SIGKILL. Starts no more of them."""
        with self._lock:
            self._stopped_by = signum
            running = list(self._running)
        for child in running:
            _signal_group(child, signal.SIGTERM)
        for child in running:
            try:
                child.wait(TERMINATION_GRACE)
            except subprocess.TimeoutExpired:
                _signal_group(child, signal.SIGKILL)


def _signal_group(child: subprocess.Popen[str], signum: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signum)


class _Reader(threading.Thread):
    """Reads one pipe to its end."""

    def __init__(self, stream: object, on_line: Callable[[str], None] | None) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self._on_line = on_line
        self._lines: list[str] = []
        self.start()

    def run(self) -> None:
        for raw in self._stream:  # type: ignore[attr-defined]  # a text pipe, which typeshed types as optional
            line = redact(raw)
            self._lines.append(line)
            if self._on_line:
                self._on_line(line.rstrip("\n"))
        self._stream.close()  # type: ignore[attr-defined]

    def text(self) -> str:
        return "".join(self._lines)


@contextlib.contextmanager
def stop_signals(processes: Processes) -> Iterator[None]:
    """While inside, SIGINT and SIGTERM end the children and raise InterruptedByUserError."""

    def interrupt(signum: int, _frame: FrameType | None) -> None:
        for number in _STOP_SIGNALS:
            signal.signal(number, unheard)  # once is enough: the clean-up is short
        processes.interrupt(signum)

    def unheard(_signum: int, _frame: FrameType | None) -> None:
        """Not SIG_IGN, which a child that another thread starts just now would inherit."""

    previous = {number: signal.signal(number, interrupt) for number in _STOP_SIGNALS}
    try:
        yield
    except InterruptedByUserError as error:
        processes.terminate_all(error.exit_code - 128)
        raise
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
