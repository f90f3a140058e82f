"""`envman launch COMPONENT --health`: whether the components of a name that run on this host are at work."""

from __future__ import annotations

import os
import sys
import time

from envman.errors import EnvmanError, ExitCode, Problem, ResolveError
from envman.launch.beats import living
from envman.launch.process import tell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from envman.launch.beats import Beat

LONGEST_SILENCE = 60.0
"""Seconds without a beat after which a component counts as stuck, if it beats more often than that."""

MISSED = 4
"""Beats that may be missed where they are seldom."""

_REMEDY = "Ask as the components' user, with their ENVMAN_RUN. One for a bundle or team leaves no beats."


def health(component: str, as_json: bool) -> int:
    """Tell, on standard output, how a component does; returns 0 where all of its name are at work, else 1."""
    beats: list[Beat] = []
    problems: list[Problem] = []
    try:
        beats = _living(component)
    except EnvmanError as error:
        problems = [*error.problems]
    now = time.monotonic()
    for beat in beats:
        if now - beat.moment > max(LONGEST_SILENCE, MISSED * beat.interval):
            what = f"process {beat.pid} is stuck: its last beat was {now - beat.moment:.0f} s ago"
            problems.append(Problem(component, what, "Look at its log; restart it."))
    if as_json:
        _write(_json(beats, problems, now))
    else:
        _write("".join(_plain(beat, now) for beat in beats))
        for problem in problems:
            tell(f"envman launch: {problem}\n")
    return ExitCode.FAILED if problems else ExitCode.OK


def _living(component: str) -> list[Beat]:
    """The beats of those that run; raises ResolveError where there is none."""
    try:
        beats = living(component)
    except OSError as error:
        raise ResolveError(Problem(component, f"the run folder can't be read: {error}", _REMEDY)) from None
    if not beats:
        raise ResolveError(Problem(component, "none is at work here", _REMEDY))
    return beats


def _plain(beat: Beat, now: float) -> str:
    lines = [f"{beat.component}: process {beat.pid}, last beat {now - beat.moment:.0f} s ago"]
    for bundle, moment in sorted(beat.parses.items()):
        lines.append(f"  {bundle}: last parse {now - moment:.0f} s ago")
    return "".join(f"{line}\n" for line in lines)


def _json(beats: list[Beat], problems: list[Problem], now: float) -> str:
    """The envelope of every command's JSON (docs/reference/json.md)."""
    import json

    from envman import __version__

    result = [
        {
            "component": beat.component,
            "pid": beat.pid,
            "seconds_since_beat": round(now - beat.moment, 1),
            "seconds_since_parse": {bundle: round(now - moment, 1) for bundle, moment in beat.parses.items()},
        }
        for beat in beats
    ]
    told = [{"where": one.where, "what": one.what, "remedy": one.remedy} for one in problems]
    envelope = {"schema_version": 1, "envman": __version__, "command": "launch", "ok": not problems}
    return json.dumps({**envelope, "result": result, "problems": told}, indent=2) + "\n"


def _write(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")  # the rest would be tried again
        tell(f"envman launch: standard output: {error.strerror}\n")
