"""Requests of a child: frames of four bytes that say a length, and so many bytes. Pure."""

from __future__ import annotations

from envman.door.breach import BreachError
from envman.door.msgpack_values import check_values

HEADER = 4


class Frames:
    """Lets whole frames through; `limit` is the most bytes of one, `values` the most values (0: no limit).

    What is held is what has come, whatever the length says.
    """

    def __init__(self, limit: int, values: int = 0) -> None:
        self._limit = limit
        self._values = values
        self._held = bytearray()

    def wanted(self) -> int:
        """How many bytes to read next: never more than those of one frame."""
        whole = HEADER
        if len(self._held) >= HEADER:
            whole += int.from_bytes(self._held[:HEADER], "big")
        return whole - len(self._held)

    def feed(self, data: bytes) -> bytes:
        """The frames that are whole with these bytes. Raises BreachError for a length that may not be."""
        self._held += data
        end = 0
        while len(self._held) - end >= HEADER:
            length = int.from_bytes(self._held[end : end + HEADER], "big")
            if not 0 < length <= self._limit:
                raise BreachError(
                    f"a request of {length:,} bytes, where 1 to {self._limit:,} are allowed; code that "
                    "writes to the file descriptors of Airflow's own connection does that"
                )
            if len(self._held) - end - HEADER < length:
                break
            if self._values:
                check_values(self._held[end + HEADER : end + HEADER + length], self._values)
            end += HEADER + length
        whole = bytes(self._held[:end])
        del self._held[:end]
        return whole

    def is_half(self) -> bool:
        """Whether a request has begun and is not whole."""
        return bool(self._held)

    def end(self) -> bytes:
        """What is left at the end of the stream: nothing, as half a request is none."""
        return b""
