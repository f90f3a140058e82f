"""How much a child may say, by what it is there for. Pure."""

from __future__ import annotations

from envman.door.breach import BreachError

MEBIBYTE = 2**20

LINE_COST = 1000
"""Bytes as which each line counts beside its own: what costs most of it is that it is one."""

LINES_READ = 4096
"""Bytes of output that are read at a time: they may be as many lines."""

READ_LIMIT = 262144
"""Bytes that are read of a child at a time, before it is another's turn."""

WINDOW = 10.0
"""Seconds over which is counted what a child says."""


class Rule:
    """The most bytes of a request, values in it, and bytes of output within WINDOW (0: no limit); the most
    seconds that an answer may wait for a child that does not read it, and half a request for its rest. A line
    longer than `line` bytes goes on as several.
    """

    __slots__ = ("answer", "line", "output", "request", "values")

    def __init__(self, request: int, values: int, output: int, line: int, answer: float) -> None:
        self.request = request
        self.values = values
        self.output = output
        self.line = line
        self.answer = answer


SHARED = Rule(request=64 * MEBIBYTE, values=2_000_000, output=32 * MEBIBYTE, line=MEBIBYTE, answer=60.0)
"""Of a child whose component looks after others', too: a parse, a runner of triggers."""

ALONE = Rule(request=256 * MEBIBYTE, values=10_000_000, output=0, line=16 * MEBIBYTE, answer=300.0)
"""Of a task or callback, whose supervisor is there for it alone."""


class Allowance:
    """Counts what a child prints and logs; `now` is a clock's seconds."""

    def __init__(self, rule: Rule, now: float) -> None:
        self._rule = rule
        self._since = now
        self._said = 0

    def take(self, size: int, now: float) -> None:
        """Note so many bytes more. Raises BreachError where they are too many."""
        if now - self._since > WINDOW:
            self._since, self._said = now, 0
        self._said += size
        if 0 < self._rule.output < self._said:
            most = self._rule.output // MEBIBYTE
            raise BreachError(f"more than {most} MiB of output within {WINDOW:.0f} s")
