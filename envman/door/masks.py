"""Secrets that are masked in lines: so many that no line takes long."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from threading import Lock
from typing import Any

MOST = 300
"""Secrets that are masked because a child asks for it; of more, the oldest is not any longer."""

MOST_CHARACTERS = 2**20
"""Characters of all of these together."""


class Masks:
    """In the place of the regular expression of Airflow's masker, which takes seconds to make of hundreds.

    `kept` are masked for as long as it is there. Threads may share it.
    """

    def __init__(self, kept: Iterable[str] = ()) -> None:
        self._lock = Lock()
        self._kept = {*kept}
        self._recent: OrderedDict[str, None] = OrderedDict()
        self._characters = 0
        self._longest_first: list[str] | None = None

    def __bool__(self) -> bool:
        return bool(self._kept or self._recent)

    def keep(self, secret: str) -> None:
        """Mask it for as long as this is there, whatever is added. Who calls limits their number."""
        with self._lock:
            self._kept.add(secret)
            self._longest_first = None

    def add(self, secret: str) -> None:
        """Mask it from now on, until MOST others were added."""
        if len(secret) > MOST_CHARACTERS:
            return
        with self._lock:
            if secret in self._kept:
                return
            if secret in self._recent:
                self._recent.move_to_end(secret)
                return
            self._recent[secret] = None
            self._characters += len(secret)
            while len(self._recent) > MOST or self._characters > MOST_CHARACTERS:
                self._characters -= len(self._recent.popitem(last=False)[0])
            self._longest_first = None

    def clear(self) -> None:
        """Mask none but those that are kept."""
        with self._lock:
            self._recent.clear()
            self._characters = 0
            self._longest_first = None

    def sub(self, replacement: str, text: str) -> str:
        """The text with every secret replaced; as of a regular expression."""
        with self._lock:
            if self._longest_first is None:
                self._longest_first = sorted({*self._kept, *self._recent}, key=len, reverse=True)
            secrets = self._longest_first
        for secret in secrets:
            text = text.replace(secret, replacement)
        return text


def texts(value: Any, name: str | None = None, most: int = MOST) -> Iterator[tuple[str, str | None]]:
    """The texts in a value, each with the key that it has; no more than `most`."""
    return islice(_all_texts(value, name, most), most)


def _all_texts(value: Any, name: str | None, most: int) -> Iterator[tuple[str, str | None]]:
    waiting = [(value, name)]
    while waiting:
        value, name = waiting.pop()
        if isinstance(value, str):
            yield value, name
        elif isinstance(value, Mapping):
            waiting.extend((one, str(key)) for key, one in islice(value.items(), most))
        elif isinstance(value, Iterable):
            waiting.extend((one, name) for one in islice(value, most))
