"""What a parse may say it has found: Dags, errors and warnings of the file that was asked for. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

LONGEST_NAME = 250
"""Characters of a Dag's name: what Airflow's database holds."""

KEY = re.compile(r"[\w.-]+")
"""What Airflow takes for the name of a Dag or task: logs have it in their paths."""

MOST_DAGS = 5000
"""Dags of one file."""

LONGEST_ERROR = 100_000
"""Characters of a file's import error; what is more is cut."""

MOST_ERRORS = 1000
"""Files within an archive that may have an error of their own."""

WARNING_KEYS = {"dag_id", "warning_type", "message"}


class AskedFile:
    """The file that a parse was asked for: its path, and that below its bundle's folder."""

    __slots__ = ("path", "relative")

    def __init__(self, path: str, relative: str) -> None:
        self.path = path
        self.relative = relative

    def has(self, place: str) -> bool:
        """Whether a path is this file's, or that of something within it, as of an archive."""
        return _is_of(place, self.path)


def own(result: Any, asked: AskedFile) -> None:
    """Make a result (Airflow's DagFileParsingResult) one of this file, whatever it says itself.

    What can't be a Dag is taken out, and told as the file's import error.
    """
    result.fileloc = asked.path
    dags, problems = _dags(result.serialized_dags, asked)
    result.serialized_dags = dags
    names = {dag.data["dag"]["dag_id"] for dag in dags}
    result.import_errors = _errors(result.import_errors or {}, asked, problems)
    result.warnings = [one for one in result.warnings or () if _is_warning(one, names)]
    if getattr(result, "parsed_definitions", None):  # since Airflow 3.4
        result.parsed_definitions = [one for one in result.parsed_definitions if _is_of(one, asked.relative)]
        if asked.path.endswith(".py"):  # the component reads it itself
            result.dag_source_codes = {}


def refuse(result: Any, asked: AskedFile, reasons: Mapping[str, str]) -> None:
    """Turn some Dags of a result into its file's import error; `reasons` are by their names."""
    if reasons:
        kept = [dag for dag in result.serialized_dags if dag.data["dag"]["dag_id"] not in reasons]
        result.serialized_dags = kept
        result.import_errors = _errors(result.import_errors or {}, asked, reasons.values())


def _dags(dags: Iterable[Any], asked: AskedFile) -> tuple[list[Any], list[str]]:
    kept: dict[str, Any] = {}
    problems = []
    for dag in dags:
        content = dag.data.get("dag")
        name = content.get("dag_id") if isinstance(content, dict) else None
        if len(kept) == MOST_DAGS:
            problems.append(f"This file has more than {MOST_DAGS:,} Dags.")
            break
        if not isinstance(name, str) or not _is_key(name):
            problems.append("A Dag of this file has no name that a Dag can have.")
        elif not all(_is_key(task) for task in _tasks(content)):
            problems.append(f"The Dag '{name}' has a task with no name that a task can have.")
        elif name in kept:
            problems.append(f"This file has more than one Dag '{name}'.")
        else:
            content["fileloc"] = _place(content.get("fileloc"), asked.path)
            content["relative_fileloc"] = _place(content.get("relative_fileloc"), asked.relative)
            kept[name] = dag
    return [*kept.values()], problems


def _is_key(name: object) -> bool:
    """Whether a Dag or task can have this name, which no folder leads elsewhere by."""
    if not isinstance(name, str) or len(name) > LONGEST_NAME or name in {".", ".."}:
        return False
    return KEY.fullmatch(name) is not None


def _tasks(dag: Mapping[str, Any]) -> list[object]:
    """The names of a Dag's tasks; None of what is no task."""
    tasks = dag.get("tasks", [])
    if not isinstance(tasks, list):
        return [None]
    fields = [task.get("__var") if isinstance(task, dict) else None for task in tasks]
    return [one.get("task_id") if isinstance(one, dict) else None for one in fields]


def _errors(errors: Mapping[str, str], asked: AskedFile, problems: Iterable[str]) -> dict[str, str]:
    """By the file or a file within it; what is of another file is told as this one's."""
    owned: dict[str, str] = {}
    of_file = [text for place, text in errors.items() if not _is_of(place, asked.relative)]
    for place, text in errors.items():
        if _is_of(place, asked.relative) and len(owned) < MOST_ERRORS:
            owned[place] = _cut(text)
    if told := [*([owned[asked.relative]] if asked.relative in owned else []), *of_file, *problems]:
        owned[asked.relative] = _cut("\n\n".join(told))
    return owned


def _cut(text: str) -> str:
    """A text as databases keep it: not too long, without NUL."""
    kept = text.replace("\0", "\N{SYMBOL FOR NULL}")
    return kept if len(kept) <= LONGEST_ERROR else f"{kept[:LONGEST_ERROR]}\n…"


def _place(said: object, asked: str) -> str:
    return said if isinstance(said, str) and _is_of(said, asked) else asked


def _is_of(place: object, asked: str) -> bool:
    """Whether it is the file, or something within it, as of an archive."""
    if not isinstance(place, str):
        return False
    return place == asked or (
        place.startswith(f"{asked}/") and not {"", ".", ".."} & {*place[len(asked) + 1 :].split("/")}
    )


def _is_warning(warning: object, names: set[str]) -> bool:
    if not isinstance(warning, dict):
        return False
    texts = all(isinstance(one, str) for one in warning.values())
    return texts and warning.keys() == WARNING_KEYS and warning["dag_id"] in names
