"""Which files are parsed next: bundles take turns, so that nobody's slow files keep others waiting. Pure."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import Protocol, TypeVar


class BundleFile(Protocol):
    """A file of a bundle."""

    @property
    def bundle_name(self) -> str:
        """Whose it is."""


File = TypeVar("File", bound=BundleFile)


class Turns:
    """Whose turn it is: of the bundles of which the fewest files are parsed, who has waited longest."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self._given = 0

    def take(self, waiting: Iterable[File], running: Iterable[BundleFile], count: int) -> list[File]:
        """Take so many of the files that wait, each bundle's in the order that they have."""
        taken = Counter(file.bundle_name for file in running)

        def turns() -> Iterator[tuple[tuple[int, int], File]]:
            for file in waiting:
                bundle = file.bundle_name
                turn = taken[bundle]
                taken[bundle] = turn + 1
                yield (turn, self._last.get(bundle, 0)), file

        chosen = [file for _, file in heapq.nsmallest(count, turns(), key=itemgetter(0))]
        for file in chosen:
            self._given += 1
            self._last[file.bundle_name] = self._given
        return chosen
