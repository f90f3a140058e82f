"""Lines of a child: what it prints, and its log. Pure."""

from __future__ import annotations

from collections.abc import Callable

from envman.door.rules import LINES_READ


class Lines:
    """Lets lines through, each as `check` gives it; `limit` is the most bytes of one.

    A longer line goes on as several, each handed to `check` by itself.
    """

    def __init__(self, limit: int, check: Callable[[bytes], bytes] | None = None) -> None:
        self._limit = limit
        self._check = check
        self._held = bytearray()

    def wanted(self) -> int:
        """How many bytes to read next."""
        return LINES_READ

    def feed(self, data: bytes) -> bytes:
        """The lines that are whole with these bytes."""
        searched = len(self._held)
        self._held += data
        found: list[bytes] = []
        begin = 0
        while (end := self._held.find(b"\n", max(begin, searched))) >= 0:
            self._cut(bytes(self._held[begin:end]), found)
            begin = end + 1
        del self._held[:begin]
        while len(self._held) > self._limit:
            self._cut(bytes(self._held[: self._limit]), found)
            del self._held[: self._limit]
        return b"".join(found)

    def end(self) -> bytes:
        """What is left at the end of the stream, as a line."""
        found: list[bytes] = []
        if self._held:
            self._cut(bytes(self._held), found)
            self._held.clear()
        return b"".join(found)

    def _cut(self, line: bytes, found: list[bytes]) -> None:
        for begin in range(0, max(len(line), 1), self._limit):
            piece = line[begin : begin + self._limit]
            found += [self._check(piece) if self._check else piece, b"\n"]
