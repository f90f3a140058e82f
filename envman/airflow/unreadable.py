"""Dags that a component can't read: parsed in their own environment, but not to be understood in this one.

Airflow's components read each Dag that was parsed (a timetable of a plugin, a `pod_override`). Where one
can't be read, stock Airflow loses the whole file without a word; here it is the file's import error, and the
others stay.
"""

from __future__ import annotations

import signal
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from glob import glob
from typing import Any, NoReturn

from envman.airflow.runtime import Runtime
from envman.door.parse_result import AskedFile, refuse
from envman.inside.readable import explain, why_unreadable
from envman.store import layout

EXPLAINED = 3
"""Dags of a file whose reason is told at length."""

READ_LIMIT = 10.0
"""Seconds of processor time in which all Dags of a file have to be read: nothing else goes on meanwhile."""

TOO_LONG = f"to read this file's Dags takes more than {READ_LIMIT:g} s of processor time"


class TooLongError(BaseException):
    """The time is over. No code that is being read takes it for an error of its own."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise TooLongError where what is inside takes more processor time than that."""

    def over(*_: object) -> NoReturn:
        raise TooLongError

    before = signal.signal(signal.SIGVTALRM, over)
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def refuse_unreadable(result: Any, asked: AskedFile, runtime: Runtime) -> None:
    """Turn each Dag of a file's result that can't be read here into an import error of the file."""
    reasons, unread = _reasons(result.serialized_dags)
    told = {dag: f"The Dag '{dag}' is left out: {TOO_LONG}." for dag in unread}
    if reasons:
        generation = layout.generation_path(runtime.root, runtime.generation)
        libraries = glob(f"{generation}/lib/python3*/site-packages")
        for number, (dag, why) in enumerate(reasons.items()):
            whole = number < EXPLAINED  # finding the package that is missing takes a second
            words = explain(dag, why, runtime.environment, libraries) if whole else [f"Nor can '{dag}'."]
            told[dag] = "\n".join(words)
    refuse(result, asked, told)


def _reasons(dags: Collection[Any]) -> tuple[dict[str, Exception], set[str]]:
    """Why Dags can't be read, by their names; and those that were not read, as it takes too long."""
    reasons: dict[str, Exception] = {}
    unread = {dag.dag_id for dag in dags}
    with suppress(TooLongError), limited(READ_LIMIT):
        for dag in dags:
            if reason := why_unreadable(dag):
                reasons[dag.dag_id] = reason
            unread.discard(dag.dag_id)
    return reasons, unread - reasons.keys()
