"""Which files are parsed next: bundles take turns, so that nobody's slow files keep others waiting. Pure."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable
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

    def take(
        self,
        waiting: Iterable[File],
        running: Iterable[BundleFile],
        count: int,
        is_ready: Callable[[str], bool] = lambda _: True,
    ) -> list[File]:
        """Take so many of the files that wait, each bundle's in the order that they have.

        Of a bundle that is not ready none is taken; `is_ready` is asked once, and of no more bundles than it
        takes to find so many files.
        """
        taken = Counter(file.bundle_name for file in running)
        turns: list[tuple[int, int, int, File]] = []
        for number, file in enumerate(waiting):
            bundle = file.bundle_name
            turns.append((taken[bundle], self._last.get(bundle, 0), number, file))
            taken[bundle] += 1
        heapq.heapify(turns)
        ready: dict[str, bool] = {}
        chosen: list[File] = []
        while turns and len(chosen) < count:
            file = heapq.heappop(turns)[-1]
            if (bundle := file.bundle_name) not in ready:
                ready[bundle] = is_ready(bundle)
            if ready[bundle]:
                chosen.append(file)
        for file in chosen:
            self._given += 1
            self._last[file.bundle_name] = self._given
        return chosen
