"""Triggers that may have ended their runner: tried one by one, so that a bad one ends no others. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

DEATHS = 3
"""So many runners in a row have ended with a trigger in them before it is a suspect."""

TRIAL = 15.0
"""Seconds that a runner with a suspect has to live until the next suspect is let in."""


class Suspects:
    """Counts how many runners have ended with each trigger in them; `now` is a clock's seconds."""

    def __init__(self) -> None:
        self._deaths: Counter[int] = Counter()
        self._since: dict[int, float] = {}

    def admitted(self, wanted: Collection[int], running: Collection[int]) -> set[int]:
        """Those of a runner's wanted triggers that may be in it: of suspects one, and those that run."""
        suspects = {one for one in wanted if self._is_suspect(one)}
        on_trial = suspects & {*running} or {*sorted(suspects)[:1]}
        return {*wanted} - suspects | on_trial

    def runner_lives(self, triggers: Collection[int], now: float) -> None:
        """Note that a runner with these triggers lives: who was in it for long enough is no suspect."""
        for one in self._deaths.keys() & {*triggers}:
            if now - self._since.setdefault(one, now) > TRIAL:
                del self._deaths[one], self._since[one]

    def runner_ended(self, triggers: Collection[int]) -> set[int]:
        """Note that a runner with these triggers has ended; returns whose fault it was, if that is plain."""
        suspects = {one for one in triggers if self._is_suspect(one)}
        culprits = suspects if len(suspects) == 1 else set()
        for one in triggers:
            self._since.pop(one, None)
            self._deaths[one] += 1
        for one in culprits:
            del self._deaths[one]
        return culprits

    def forget_all_but(self, triggers: Collection[int]) -> None:
        """Keep what is known of these alone; the others are gone."""
        for one in self._deaths.keys() - {*triggers}:
            del self._deaths[one]
            self._since.pop(one, None)

    def _is_suspect(self, trigger: int) -> bool:
        return self._deaths[trigger] >= DEATHS
