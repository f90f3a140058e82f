"""How many values a request holds (msgpack): each takes far more memory than bytes of the request. Pure."""

from __future__ import annotations

from envman.door.breach import BreachError

FIXED = {
    **dict.fromkeys((0xC0, 0xC1, 0xC2, 0xC3), 1),
    **{0xCA: 5, 0xCB: 9, 0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9, 0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9},
    **{0xD4: 3, 0xD5: 4, 0xD6: 6, 0xD7: 10, 0xD8: 18, 0xDC: 3, 0xDD: 5, 0xDE: 3, 0xDF: 5},
}
"""Bytes that a value takes, by its first byte; of lists and tables those of the head: their values follow."""

SIZED = {0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0), 0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1), 0xD9: (1, 0)}
SIZED |= {0xDA: (2, 0), 0xDB: (4, 0)}
"""Bytes of the length of what says its length, and of what stands behind that beside."""


def check_values(content: bytes | bytearray, most: int) -> None:
    """See that a request has no more values than that. Raises BreachError.

    What is no msgpack is left to whoever decodes it.
    """
    if len(content) <= most:  # each takes a byte at least
        return
    at, count, end = 0, 0, len(content)
    while at < end:
        count += 1
        if count > most:
            raise BreachError(f"a request with more than {most:,} values")
        first = content[at]
        if first < 0xA0 or first >= 0xE0:
            at += 1
        elif first < 0xC0:
            at += 1 + (first & 0x1F)
        elif first in FIXED:
            at += FIXED[first]
        else:
            width, beside = SIZED[first]
            at += 1 + width + beside + int.from_bytes(content[at + 1 : at + 1 + width], "big")
