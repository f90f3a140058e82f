"""Whether Airflow's components, in whose interpreter this runs, can read Dags that others have parsed.

    python run.py readable '{"dags": "/tmp/dags", "environment": "env_a", "libraries": ["/venv/a/lib/..."]}'

A component reads each Dag again that was parsed, with the plugins and packages that it has itself. The
request is a ReadRequest, the answer a ReadReport.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envman.inside.answer import answer

if TYPE_CHECKING:
    from envman.inside.reports import ReadReport, ReadRequest, UnreadableReport


def main(words: list[str]) -> None:
    """Answer the request."""
    answer(report, words)


def report(request: ReadRequest) -> ReadReport:
    """Which Dags can't be read here, and why."""
    from airflow.serialization.serialized_objects import LazyDeserializedDAG

    found: list[UnreadableReport] = []
    with open(request["dags"], encoding="utf-8") as stream:
        for line in stream:
            parsed = json.loads(line)
            dag = LazyDeserializedDAG(data=parsed["data"])
            if error := why_unreadable(dag):
                what, remedy = explain(dag.dag_id, error, request["environment"], request["libraries"])
                found.append({"file": parsed["file"], "dag": dag.dag_id, "what": what, "remedy": remedy})
    return {"unreadable": found}


def why_unreadable(dag: Any) -> Exception | None:
    """What reading a Dag raises. Airflow keeps what was read, and would read it all the same in a moment."""
    try:
        dag._real_dag  # noqa: B018
    except Exception as error:  # noqa: BLE001  # whatever a Dag's own classes raise
        return error
    return None


def explain(dag: str, error: Exception, environment: str, libraries: list[str]) -> tuple[str, str]:
    """Why a Dag can't be read here, and the remedy; `libraries` are the folders of its own environment."""
    module = _module(error)
    package = _distribution(module, libraries) if module else ""
    lacks = f", which lacks {package or f'the module {module}'}" if module else ""
    what = f"The Dag '{dag}' can't be read by Airflow's components: {type(error).__name__}: {error}"
    return what, (
        f"It was parsed in the environment '{environment}'; the components run in {components()}{lacks}.\n"
        f"Add {package or 'what it lacks'} to the components' environment, too, and restart them. The file's "
        "other Dags are not concerned."
    )


def components() -> str:
    """The components' environment, whose interpreter this is: its folder, by its name if one leads here."""
    root = Path(sys.prefix).parent.parent
    names = [
        one for one in root.glob("*") if one.is_symlink() and one.resolve() == Path(sys.prefix).resolve()
    ]
    return str(min(names, default=sys.prefix))


def _module(error: BaseException | None) -> str:
    """The module that is not here; empty where that is not what is wrong."""
    while error is not None:
        if isinstance(error, ImportError) and error.name:
            return error.name.partition(".")[0]
        if "kubernetes" in str(error):
            return "kubernetes"
        registered = getattr(error, "type_string", "")  # a class that no plugin here has registered
        if registered:
            return str(registered).partition(".")[0]
        error = error.__cause__ or error.__context__
    return ""


def _distribution(module: str, libraries: list[str]) -> str:
    """The distribution in these folders that has the module; empty where none has."""
    for one in distributions(path=libraries):
        if module in _tops(one):
            return str(one.metadata["Name"])
    return ""


def _tops(distribution: Distribution) -> set[str]:
    files = distribution.files or []
    return {file.parts[0].removesuffix(".py") for file in files if file.suffix == ".py"}
