"""JSON of strangers: what is read of it is finite, can be written again, and takes little memory. Pure."""

from __future__ import annotations

import json
import math
from typing import Any

MOST_VALUES = 1_000_000
"""Values of a text, each of which may take 300 bytes. A release of 200 environments of 200 packages has some
90,000.
"""

_LONGEST_NUMBER = 18
"""Digits that any sum of sizes may have, and any that is shown."""


def read_json(text: bytes) -> Any:
    """Read JSON (RFC 8259) in UTF-8. Raises ValueError for anything else, for numbers that are not finite or
    have more than 18 digits, for half of a surrogate pair, and for more values than `MOST_VALUES`;
    RecursionError for what is too deep.
    """
    if not has_few_values(text):
        raise ValueError(f"it has more than {MOST_VALUES} values")
    data = json.loads(text.decode(), parse_int=_integer, parse_float=_finite, parse_constant=_constant)
    try:
        if b"\\u" in text:
            json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("a text has half of a surrogate pair, and no encoding") from None
    return data


def has_few_values(text: bytes) -> bool:
    """Whether a text is one that `read_json` reads: each value begins a list or object, or follows a comma.

    Those in strings are counted as well: a text is not read to find out whether it may be.
    """
    return sum(text.count(sign) for sign in (b"[", b"{", b",")) <= MOST_VALUES


def _integer(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER:
        raise ValueError("a number is too large")
    return int(digits)


def _finite(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise ValueError("a number is not finite")
    return number


def _constant(word: str) -> float:
    raise ValueError(f"{word} is no number of JSON")
