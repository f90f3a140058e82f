"""Where two parses of a file differ. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from envman.proof.parsed_file import FileParse

ENDED, ERROR, DAG, VALUE = "end of the parse", "import error", "Dag", "serialized Dag"
WARNING, PYTHON_WARNING, FILE, PLUGIN = "Dag warning", "Python warning", "file", "plugin"

ABSENT = "(nothing)"
PRESENT = "(there)"
"""What stands for a Dag that only one side has: its values are no news."""


@dataclass(frozen=True)
class ProofGap:
    """One difference: of what kind, in which Dag, at which path in it, and the value on each side."""

    kind: str
    dag: str
    path: str
    old: Any
    new: Any

    @property
    def place(self) -> tuple[str, str, str]:
        """Where it is, whatever the values are."""
        return self.kind, self.dag, self.path


def gaps(old: FileParse, new: FileParse, whole: bool = True) -> list[ProofGap]:
    """All differences; not `whole`: of Dags only what means the same in another version of Airflow."""
    found: list[ProofGap] = []
    if old.ended != new.ended:
        found.append(ProofGap(ENDED, "", "", old.ended or ABSENT, new.ended or ABSENT))
    found += _of_errors(old.errors, new.errors)
    for dag in sorted(old.dags.keys() | new.dags.keys()):
        if dag not in old.dags or dag not in new.dags:
            there = (PRESENT, ABSENT) if dag in old.dags else (ABSENT, PRESENT)
            found.append(ProofGap(DAG, dag, "", *there))
            continue
        one, other = (side.dags[dag] if whole else core_of(side.dags[dag]) for side in (old, new))
        found += [ProofGap(VALUE, dag, path, *values) for path, *values in differing(one, other)]
    if whole:
        found += _of_texts(WARNING, old.warnings, new.warnings)
        found += _of_texts(PYTHON_WARNING, old.python_warnings, new.python_warnings)
    return found


def _of_errors(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[ProofGap]:
    for file in sorted(old.keys() | new.keys()):
        if old.get(file) != new.get(file):
            yield ProofGap(ERROR, "", file, old.get(file, ABSENT), new.get(file, ABSENT))


def _of_texts(kind: str, old: Iterable[str], new: Iterable[str]) -> Iterator[ProofGap]:
    one, other = Counter(old), Counter(new)
    yield from (ProofGap(kind, "", text, text, ABSENT) for text in sorted((one - other).keys()))
    yield from (ProofGap(kind, "", text, ABSENT, text) for text in sorted((other - one).keys()))


def differing(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The paths below which two values of JSON differ, with what is there on each side."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(old.keys() | new.keys()):
            yield from differing(old.get(name, ABSENT), new.get(name, ABSENT), f"{path}/{name}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new) and not reordered(old, new):
        for number, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from differing(one, other, f"{path}/{number}")
    elif old != new or type(old) is not type(new):
        yield path, old, new


def reordered(old: list[Any], new: list[Any]) -> bool:
    """Whether two lists have the same items in another order."""
    return old != new and Counter(map(_as_text, old)) == Counter(map(_as_text, new))


def _as_text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def core_of(data: Any) -> Any:
    """Of a serialized Dag what every Airflow 3 has in the same form: tags, tasks, their classes and order."""
    dag = data.get("dag") if isinstance(data, dict) else None
    if not isinstance(dag, dict):
        return data
    tasks = dag.get("tasks")
    if isinstance(tasks, dict):
        tasks = {name: _core_of_task(task) for name, task in tasks.items()}
    tags = dag.get("tags")
    return {"tags": sorted(map(str, tags)) if isinstance(tags, list) else [], "tasks": tasks}


def _core_of_task(task: Any) -> Any:
    if not isinstance(task, dict):
        return task
    following = task.get("downstream_task_ids")
    listed = sorted(map(str, following)) if isinstance(following, list) else []
    return {"task_type": task.get("task_type"), "downstream_task_ids": listed}
