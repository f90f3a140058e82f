"""A line of a child's structured log, as Airflow's supervisors can take it. Pure."""

from __future__ import annotations

import json
import re
from calendar import monthrange
from functools import partial
from typing import Any

LEVELS = {
    *("notset", "debug", "info", "warning", "warn", "error", "exception", "critical", "fatal"),
}
"""What a line may say of itself; structlog's names."""

TAKEN = {
    # parameters of the functions that Airflow and structlog hand an event on by
    *("self", "target", "msg", "method_name", "name", "args", "kw"),
    # what structlog's processors take for themselves: they would look at the component's own stack
    *("exc_info", "stack_info", "stack", "positional_args", "_record", "_from_structlog"),
}
"""Keys that would mean something to the component; they are shown with an underscore behind."""

DEEPEST = 32
"""Levels of lists and tables in a line: what writes it down again calls itself for each."""

SHOWN = 2000
"""So many characters of a line are shown that is none."""

TIMESTAMP = re.compile(
    r"(\d{4})-(0[1-9]|1[0-2])-(\d\d)[T ]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?"
    r"(Z|[+-]([01]\d|2[0-3]):?[0-5]\d)?",
    re.ASCII,
)
"""A time of RFC 3339, but for how many days its month has."""


def checked(line: bytes) -> bytes:
    """The line itself where nothing is wrong with it, else what can be told of it, as a line."""
    try:
        constants: list[str] = []
        event = json.loads(line.decode(), parse_constant=partial(_noted, constants))
        if b"\\u" in line:  # half a character, perhaps, which can't be written down
            json.dumps(event, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return _odd(line, "no JSON")
    if not isinstance(event, dict):
        return _odd(line, "no object")
    if line.count(b"[") + line.count(b"{") > DEEPEST and _depth(event) > DEEPEST:
        return _odd(line, f"nested more than {DEEPEST} deep")
    if _is_right(event) and not constants:
        return line
    return _line(_righted(event))


def _is_right(event: dict[str, Any]) -> bool:
    level = event.get("level")
    return (
        isinstance(level, str)
        and level in LEVELS
        and isinstance(event.get("event", ""), str)
        and ("timestamp" not in event or _is_time(event["timestamp"]))
        and _is_number(event.get("trigger_id", 0))
        and TAKEN.isdisjoint(event)
    )


def _righted(event: dict[str, Any]) -> dict[str, Any]:
    """The same, with what is wrong under another key, where nothing takes it for what it is not."""
    righted = {f"{key}_" if key in TAKEN else key: value for key, value in event.items()}
    level = righted.pop("level", None)
    if not isinstance(level, str) or level not in LEVELS:
        righted |= {} if level is None else {"level_": level}
        level = "info"
    if "timestamp" in righted and not _is_time(righted["timestamp"]):
        righted["timestamp_"] = righted.pop("timestamp")
    if not _is_number(righted.get("trigger_id", 0)):
        righted["trigger_id_"] = righted.pop("trigger_id")
    said = righted.pop("event", "")
    righted["event"] = said if isinstance(said, str) else json.dumps(said)
    righted["level"] = level
    return righted


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_time(value: object) -> bool:
    """Whether it is a time as RFC 3339 has it."""
    if not isinstance(value, str) or (found := TIMESTAMP.fullmatch(value)) is None:
        return False
    year, month, day = int(found[1]), int(found[2]), int(found[3])
    return year > 0 and 0 < day <= monthrange(year, month)[1]


def _depth(value: object) -> int:
    """How many levels of lists and tables there are; stops counting beyond DEEPEST."""
    depth, level = 0, [value]
    while depth <= DEEPEST:
        level = [
            inner
            for one in level
            if isinstance(one, (dict, list))
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            break
        depth += 1
    return depth


def _noted(constants: list[str], constant: str) -> str:
    """`NaN` and its like, which are no JSON, as text."""
    constants.append(constant)
    return constant


def _odd(line: bytes, what: str) -> bytes:
    text = line[: SHOWN + 1].decode(errors="replace")
    shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
    return _line(
        {"level": "warning", "logger": "envman.door", "event": f"A log line that is {what}", "line": shown}
    )


def _line(event: dict[str, Any]) -> bytes:
    return json.dumps(event, default=str).encode()
