"""What a child may ask for: its own task instances, and what its environment's spec lets through. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

TEAM = "___"
"""What stands between a team's name and a secret's: Airflow looks for `_TEAM___NAME` in its own variables."""

SECRETS = {"GetConnection": ("conn_id", "AIRFLOW_CONN_"), "GetVariable": ("key", "AIRFLOW_VAR_")}
"""Messages that ask for a secret: the field with its name, and how the component's variable begins that would
answer.
"""

IN_ADDRESSES = ("key", "conn_id", "dag_id", "run_id", "task_id")
"""Fields that Airflow's client puts into the path of an address as they are."""

ONE_PART = {"dag_id", "run_id", "task_id"}
"""Those of them that are one part of the path."""

MISLEADING = re.compile(r"[?#\\\x00-\x1f\x7f]|%[0-9A-Fa-f]{2}|(^|/)\.{1,2}(/|$)")
"""What would lead to another address."""

NUMBERS = {"map_index", "offset", "limit", "start", "stop", "step", "try_number", "mapped_length"}
LARGEST = 2**31
"""Beyond what Airflow's database has for numbers; asked for, it makes Airflow try for minutes."""

WRITES = {"SetXCom", "DeleteXCom"}
"""Messages that change what a task instance has left, by the names of its Dag, run and task."""

IGNORED = {"GetPrevSuccessfulDagRun"}
"""Messages whose `ti_id` Airflow does not look at: it answers for the child's own."""


class HiddenError(Exception):
    """A secret that the child does not get: to it, there is none."""


class ForeignError(Exception):
    """What is not the child's: a task instance, or what a name leads to."""


class OwnTask:
    """A task instance that a child is there for."""

    __slots__ = ("id", "names")

    def __init__(self, task: Any) -> None:
        self.id = str(task.id)
        self.names = (task.dag_id, task.run_id, task.task_id)


def check(message: Any, tasks: Callable[[], Collection[OwnTask]], hidden: Callable[[str], bool]) -> None:
    """See that a message (of Airflow's) is one that the child may send.

    `tasks` are its own; `hidden` tells whether the component has a variable that the child does not get.
    Raises HiddenError, ForeignError.
    """
    kind = type(message).__name__
    _check_fields(kind, vars(message))
    if kind in SECRETS:
        field, prefix = SECRETS[kind]
        name = getattr(message, field)
        if _of_a_team(name) or hidden(f"{prefix}{name.upper()}"):
            raise HiddenError(name)
    elif kind in WRITES:
        names = (message.dag_id, message.run_id, message.task_id)
        if all(names != own.names for own in tasks()):
            raise ForeignError(
                f"{kind} of the task '{message.task_id}' of the Dag '{message.dag_id}', not its own"
            )
    elif kind not in IGNORED:
        asked = getattr(message, "ti_id", None)
        if asked is not None and all(str(asked) != own.id for own in tasks()):
            raise ForeignError(f"{kind} of the task instance {asked}, not its own")


def _check_fields(kind: str, fields: Mapping[str, Any]) -> None:
    for field, value in fields.items():
        if field in NUMBERS and isinstance(value, int) and not -LARGEST <= value < LARGEST:
            raise ForeignError(f"{kind} with a number that no {field} has")
        if field in IN_ADDRESSES and isinstance(value, str) and _misleads(field, value):
            raise ForeignError(f"{kind} with a name that no {field} has")


def _misleads(field: str, name: str) -> bool:
    return MISLEADING.search(name) is not None or (field in ONE_PART and "/" in name)


def _of_a_team(name: str) -> bool:
    return name.startswith("_") and TEAM in name[1:]


def own_reports(message: Any, running: Collection[int]) -> set[int]:
    """Take out of a runner's message (Airflow's TriggerStateChanges) what is not of its own triggers.

    Returns the numbers of the others.
    """
    events, failures, finished = message.events or [], message.failures or [], message.finished or []
    message.events = [event for event in events if event[0] in running]
    message.failures = [failure for failure in failures if failure[0] in running]
    message.finished = [number for number in finished if number in running]
    return {*(one[0] for one in (*events, *failures)), *finished} - {*running}
