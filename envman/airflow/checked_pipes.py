"""The four sockets of a child, with the door between them and Airflow's code.

Airflow's readers are called with what `CheckedPipe` has let through, and with nothing else. An exception of
theirs, or a rule that the child has broken, ends that child, and not the component.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable
from typing import Any, Protocol

import structlog

from envman.door.breach import BreachError
from envman.door.frames import Frames
from envman.door.rules import LINE_COST, READ_LIMIT, Allowance

log = structlog.get_logger(logger_name="envman.door")


class Filter(Protocol):
    """What lets a stream's bytes through."""

    def wanted(self) -> int:
        """How many bytes to read next, at most."""

    def feed(self, data: bytes) -> bytes:
        """What may go on of these bytes and those before."""

    def end(self) -> bytes:
        """What may go on at the end of the stream."""


class CheckedPipe:
    """Airflow's reader of one of a child's sockets, as the selector calls it.

    To the reader it is the socket, whose bytes are those that the filter has let through. `fail` ends the
    child, with the reason; `allowance` is for output.
    """

    def __init__(
        self,
        read: Callable[[Any], bool],
        filter_: Filter,
        allowance: Allowance | None,
        fail: Callable[[str], None],
    ) -> None:
        self._read = read
        self._filter = filter_
        self._allowance = allowance
        self._fail = fail
        self._let_through = memoryview(b"")
        self._over = False
        self._heard = time.monotonic()

    def __call__(self, pipe: socket.socket) -> bool:
        """Read once of the socket; whether there may be more."""
        if self._over:
            return False
        try:
            # a byte out of band is something to read for the selector, and nothing to read here
            data = pipe.recv(min(self._filter.wanted(), READ_LIMIT), socket.MSG_DONTWAIT)
        except BlockingIOError:
            if pipe.getblocking():
                return True
            raise  # whoever reads it to its end stops then
        self._heard = time.monotonic()
        try:
            if data:
                if self._allowance:
                    self._allowance.take(len(data) + LINE_COST * data.count(b"\n"), time.monotonic())
                return self._hand_on(self._filter.feed(data))
            self._hand_on(self._filter.end())
            self._read(self)  # nothing more: the reader sees the end
        except BreachError as breach:
            self._fail(str(breach))
        except (BrokenPipeError, ConnectionResetError):
            raise  # of the child's other end: Airflow's loops know these
        except Exception as error:
            log.exception("What a child has sent could not be handled")
            self._fail(f"what it has sent could not be handled: {type(error).__name__}: {error}")
        self._over = True
        return False

    def stalls(self) -> float:
        """Seconds for which half a request has not gone on; 0 where none has begun."""
        is_half = isinstance(self._filter, Frames) and self._filter.is_half()
        return time.monotonic() - self._heard if is_half and not self._over else 0.0

    def _hand_on(self, data: bytes) -> bool:
        self._let_through = memoryview(data)
        while self._let_through:
            if not self._read(self):
                return False
        return True

    def recv(self, size: int) -> bytes:
        """As of a socket."""
        taken = bytes(self._let_through[:size])
        self._let_through = self._let_through[size:]
        return taken

    def recv_into(self, buffer: Any) -> int:
        """As of a socket."""
        taken = self._let_through[: len(buffer)]
        buffer[: len(taken)] = taken
        self._let_through = self._let_through[len(taken) :]
        return len(taken)


class AnswerQueue:
    """The way to a child: what it does not read at once waits here, and nobody waits for it.

    It stands in the place of the socket in Airflow's supervisors. While something waits, no further request
    of the child is read, so that never more than one answer waits.
    """

    def __init__(self, pipe: socket.socket, selector: selectors.BaseSelector) -> None:
        self._pipe = pipe
        self._selector = selector
        self._waiting = memoryview(b"")
        self._since = 0.0
        self._reader: Any = None

    def waits(self) -> float:
        """Seconds for which the child has not read an answer; 0 where none waits."""
        return time.monotonic() - self._since if self._waiting else 0.0

    def sendall(self, data: bytes) -> None:
        """Send it, now or once the child reads; to one that has gone, nothing: its end is seen elsewhere."""
        if self._waiting:
            self._waiting = memoryview(bytes(self._waiting) + data)
            return
        self._waiting = memoryview(data)
        self._since = time.monotonic()
        try:
            self._send()
            if self._waiting:
                self._reader = self._selector.get_key(self._pipe).data
                self._selector.modify(self._pipe, selectors.EVENT_WRITE, (self._go_on, self._reader[1]))
        except (BrokenPipeError, ConnectionResetError, KeyError):
            self._waiting = memoryview(b"")

    def _go_on(self, _: socket.socket) -> bool:
        """Send what waits; the selector calls it while the child may read more."""
        self._send()
        if not self._waiting:
            self._selector.modify(self._pipe, selectors.EVENT_READ, self._reader)
        return True

    def _send(self) -> None:
        try:
            sent = self._pipe.send(self._waiting, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        self._waiting = self._waiting[sent:]
        self._since = time.monotonic()

    def sendmsg(self, buffers: Any, ancillary: Any = ()) -> int:
        """As of a socket: with descriptors, for which nobody waits either. Raises BlockingIOError."""
        return self._pipe.sendmsg(buffers, ancillary, socket.MSG_DONTWAIT)

    def fileno(self) -> int:
        """As of a socket."""
        return self._pipe.fileno()

    def close(self) -> None:
        """As of a socket."""
        self._waiting = memoryview(b"")
        self._pipe.close()
