"""What one parse of a file gave, read from what a stranger's interpreter says of it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]+")
_LIBRARY = re.compile(r".*/lib(?:64)?/python3\.\d+t?/(?:site-packages/)?")
_HOME = "AIRFLOW_HOME"

DEEPEST = 100
"""Levels of a value that are read; what is below is a word about it."""


@dataclass(frozen=True)
class FileParse:
    """A parse: Dags as they are serialized, by their ID, import errors by file, warnings; `ended` is why it
    came to no end of its own. `loaded` are packages, of those asked for, that it imported, `modules` the
    files of modules that were asked for, `read` the environment variables that it asked for.
    """

    seconds: float = 0.0
    ended: str = ""
    dags: Mapping[str, Any] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    python_warnings: tuple[str, ...] = ()
    loaded: tuple[str, ...] = ()
    modules: Mapping[str, str] = field(default_factory=dict)
    read: tuple[str, ...] = ()

    @property
    def serialization(self) -> str:
        """The version of the form that its Dags are serialized in; empty where there is none."""
        versions = {str(dag.get("__version", "")) for dag in self.dags.values() if isinstance(dag, dict)}
        return ", ".join(sorted(versions - {""}))


@dataclass(frozen=True)
class ParsePlace:
    """Where files were parsed: the throw-away AIRFLOW_HOME, whose path is read as that word; the folder
    that is a bundle's there; and the part of it that counts, from which files are named.
    """

    home: str
    folder: str
    within: str

    @property
    def inner(self) -> str:
        """How names begin, from the bundle's folder, of the files that count."""
        return f"{self.within.removeprefix(self.folder).strip('/')}/".lstrip("/")

    def file(self, name: str) -> str:
        """A file's name from the part that counts; Airflow 3.0 names it from the root."""
        return name.removeprefix(f"{self.within.strip('/')}/").removeprefix(self.inner)

    def named(self, key: str, text: str) -> str:
        """A text of a serialized Dag; where it says which file the Dag is of, from the part that counts."""
        if key == "fileloc":
            return text.removeprefix(f"{self.within.rstrip('/')}/")
        return text.removeprefix(self.inner) if key == "relative_fileloc" else plain_text(text, self.home)


def file_parse(line: Mapping[str, Any], place: ParsePlace) -> FileParse:
    """Read it.

    What has another shape than that which was asked for is left out: a file's code may have written it.
    """
    home = place.home
    dags: dict[str, Any] = {}
    for data in _list(line.get("dags")):
        dags[_text(_dict(_dict(data).get("dag")).get("dag_id"))] = plain(data, place)
    return FileParse(
        seconds=_number(line.get("seconds")),
        ended=_text(line.get("ended")),
        dags=dags,
        errors={
            place.file(file): plain_text(_text(text), home)
            for file, text in _dict(line.get("errors")).items()
        },
        warnings=tuple(sorted(_dag_warning(one, home) for one in _list(line.get("warnings")))),
        python_warnings=tuple(
            sorted({_python_warning(one, home) for one in _list(line.get("python_warnings"))})
        ),
        loaded=_texts(line.get("loaded")),
        modules={_text(name): _text(file) for name, file in _dict(line.get("modules")).items()},
        read=_texts(line.get("read")),
    )


@dataclass(frozen=True)
class ProofInterpreter:
    """What an interpreter is: versions, the folders that it is in, why plugins can't be imported, and whose
    the modules are that were asked for; `own` are those of these packages that no index may have. `airflow`
    is empty where there is none.
    """

    airflow: str
    python: str
    packages: Mapping[str, str]
    folders: tuple[str, ...]
    plugins: Mapping[str, str]
    owners: Mapping[str, str]
    own: tuple[str, ...] = ()

    @property
    def minor(self) -> str:
        """Airflow's version without its last number."""
        return ".".join(self.airflow.split(".")[:2])


def interpreter_facts(answer: Any, home: str) -> ProofInterpreter:
    """Read them; what has another shape than that which was asked for is left out."""
    told = _dict(answer)
    return ProofInterpreter(
        airflow=_text(told.get("airflow")),
        python=_text(told.get("python")),
        packages=_named_texts(told.get("packages"), ""),
        folders=_texts(told.get("folders")),
        plugins=_named_texts(told.get("plugins"), home),
        owners=_named_texts(told.get("owners"), ""),
        own=_texts(told.get("own")),
    )


def _named_texts(value: Any, home: str) -> dict[str, str]:
    return {plain_text(name, home): plain_text(_text(text), home) for name, text in _dict(value).items()}


def plain(value: Any, place: ParsePlace, key: str = "", depth: int = 0) -> Any:
    """A value of JSON without what is another for each process; tasks by their IDs, not by their places."""
    if isinstance(value, str):
        return place.named(key, value)
    if depth >= DEEPEST:
        return "(deeper than is looked)" if isinstance(value, (dict, list)) else value
    if isinstance(value, list):
        return [plain(one, place, "", depth + 1) for one in value]
    if isinstance(value, dict):
        return {str(name): plain(_by_id(name, one), place, name, depth + 1) for name, one in value.items()}
    return value


def plain_text(text: str, home: str) -> str:
    """A text without addresses in memory, and without the path of the throw-away home."""
    return _ADDRESS.sub("at 0x", text.replace(home, _HOME) if home else text)


def _by_id(name: str, value: Any) -> Any:
    """A Dag's tasks by ID; as they are where they have none, or one twice."""
    if name != "tasks" or not isinstance(value, list):
        return value
    inner = [_dict(_dict(one).get("__var")) for one in value]
    found = {one["task_id"]: one for one in inner if isinstance(one.get("task_id"), str)}
    return found if len(found) == len(value) else value


def _dag_warning(warning: Any, home: str) -> str:
    """One that Airflow keeps for a Dag, as `DAG: KIND: TEXT`."""
    told = _dict(warning)
    words = (
        [_text(told.get(key)) for key in ("dag_id", "warning_type", "message")] if told else [str(warning)]
    )
    return plain_text(": ".join(words), home)


def _python_warning(warning: Any, home: str) -> str:
    """One of Python's, as `FILE: TEXT`, a library's file without the interpreter's folders, and no line: that
    is another in another version of a package.
    """
    told = [*_list(warning), "", "", ""]
    return plain_text(f"{_LIBRARY.sub('', _text(told[0]))}: {_text(told[2])}", home)


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(one for one in _list(value) if isinstance(one, str))


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else 0.0
