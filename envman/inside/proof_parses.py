"""Parse files for `envman adopt prove`, in the interpreter that runs this: the live one, or an environment's.

    python run.py proof_parses '{"folder": "/dags", "bundle": "bundle_a", "out": "/tmp/out", ...}'

As in `parse_files`, whose function is used, each file is parsed in a fork, by the code of the Dag processor.
What a parse gave is a line of JSON in the file `out`, written as soon as it is known: of a file that ends
this process, too, the last line says that it was begun. The request is a ProofRequest, the answer a
ProofFacts.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import json
import os
import site
import sys
import time
import traceback
import warnings
from functools import partial
from importlib.metadata import PackageNotFoundError, distribution, distributions, version
from typing import TYPE_CHECKING, Any, TextIO

from envman.inside import bundle_code, plugins, trial
from envman.inside.answer import answer
from envman.inside.dag_files import dag_files
from envman.inside.imports import at_module_level
from envman.inside.parse_files import airflows_result, limit, problem

if TYPE_CHECKING:
    from envman.inside.reports import ProofFacts, ProofRequest

OLDEST = 3
"""The major version of Airflow from which on a Dag processor's parse gives what can be compared."""

BEFORE: set[str] = set()
"""The modules that are there before any file is parsed."""

AIRFLOW = {"apache-airflow", "apache-airflow-core", "apache-airflow-task-sdk"}

MODULE_ENDINGS = (".py", ".so", ".pyi")


def main(words: list[str]) -> None:
    """Answer the request."""
    answer(report, words)


def report(request: ProofRequest) -> ProofFacts:
    """Parse the files, and say what this interpreter is."""
    found = _airflow()
    installed = {one.metadata["Name"]: one.version for one in distributions() if one.metadata["Name"]}
    facts: ProofFacts = {
        "airflow": found,
        "python": "{}.{}.{}".format(*sys.version_info[:3]),
        "packages": installed,
        "folders": sorted(_folders()),
        "plugins": {},
        "owners": {name: _owner(name) for name in request["modules"]},
        "own": [],
    }
    facts["own"] = sorted(filter(_is_of_no_index, set(facts["owners"].values())))
    if not found or int(found.partition(".")[0]) < OLDEST or request["files"] == []:
        return facts
    import airflow.dag_processing.processor  # noqa: F401  # once for all forks, as the manager does

    BEFORE.update(sys.modules)
    trial.end_with_forks()
    bundle_code.share(request["shared"])
    with open(request["out"], "a", encoding="utf-8") as stream:
        _parse_all(request, stream)
    if request["plugins"]:
        facts["plugins"] = plugins.look()["errors"]
    return facts


def _folders() -> set[str]:
    """Where this interpreter and its packages are."""
    found = {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix}
    return found | ({site.getuserbase()} if site.ENABLE_USER_SITE else set())


def _airflow() -> str:
    """Airflow's version; empty where there is none."""
    for name in ("apache-airflow-core", "apache-airflow"):
        try:
            return version(name)
        except PackageNotFoundError:
            pass
    return ""


def _parse_all(request: ProofRequest, stream: TextIO) -> None:
    """Write what there is, and then of each file that it is begun, and what came of it."""
    files = request["files"]
    if files is None:
        listed = dag_files(request["folder"], request["bundle"])
        inner = os.path.join(request["within"], "")
        files = [file for file in listed if file.startswith(inner)]
        _write(stream, {"listed": files})
    owned = _files_of(request["packages"])
    early = not request["packages"]  # else a file is asked for what it loads itself
    for file in files if request["parse"] else []:
        for _ in range(request["times"]):
            _write(stream, {"begun": file})
            if early:
                _import_airflows_modules(file)
            _write(stream, {"file": file, **_tried(file, request, owned)})


def _import_airflows_modules(file: str) -> None:
    """Import what a file imports of Airflow and its providers, once for all forks, as the manager does."""
    try:
        with open(file, "rb") as stream:
            tree = ast.parse(stream.read())
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return
    for node in at_module_level(tree):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names]
        for name in names:
            if name.startswith("airflow.") and not getattr(node, "level", 0):
                with contextlib.suppress(Exception):
                    importlib.import_module(name)


def _write(stream: TextIO, line: dict[str, Any]) -> None:
    stream.write(f"{json.dumps(line)}\n")
    stream.flush()


def _tried(file: str, request: ProofRequest, owned: dict[str, str]) -> dict[str, Any]:
    """Parse a file in a fork."""
    started = time.monotonic()
    work = partial(_parsed, file, request, owned)
    outcome = trial.attempt(work, limit(request["timeout"]))
    seconds = {"seconds": round(time.monotonic() - started, 3)}
    if isinstance(outcome.value, dict):
        return {**outcome.value, **seconds}
    return {"ended": problem(outcome), **seconds}


def _parsed(file: str, request: ProofRequest, owned: dict[str, str]) -> dict[str, Any]:
    read = _watch_variables() if request["watch"] else set()
    try:
        with warnings.catch_warnings(record=True) as caught:
            result = airflows_result(request["folder"], file, request["bundle"])
    except BaseException:
        traceback.print_exc()
        raise
    loaded = {name: str(getattr(one, "__file__", None) or "") for name, one in list(sys.modules.items())}
    return {
        "dags": [dag.data for dag in result.serialized_dags],
        "errors": result.import_errors or {},
        "warnings": result.warnings or [],
        "python_warnings": [[one.filename, one.lineno, str(one.message)] for one in caught],
        "loaded": _loaded(loaded, owned),
        "modules": {name: place for name in request["modules"] if (place := _place(sys.modules.get(name)))},
        "read": sorted(read),
    }


def _place(module: Any) -> str:
    """A module's file; of a folder without an `__init__.py`, that folder."""
    file = getattr(module, "__file__", None)
    return str(file or next(iter(getattr(module, "__path__", ())), ""))


def _loaded(files: dict[str, str], owned: dict[str, str]) -> list[str]:
    """The packages that a file has loaded; without those that Airflow itself loads, if there are others."""
    every = {owned[path] for path in files.values() if path in owned}
    of_airflow = {owned[path] for name, path in files.items() if name in BEFORE and path in owned}
    return sorted((every - of_airflow) | (every & AIRFLOW) or every)


def _watch_variables() -> set[str]:
    """The names of environment variables that are asked for from now on: of this process, which ends soon."""
    read: set[str] = set()
    kind: Any = type(os.environ)
    plain = kind.__getitem__

    def noted(variables: Any, name: Any) -> Any:
        if isinstance(name, str):
            read.add(name)
        return plain(variables, name)

    kind.__getitem__ = noted
    return read


def _files_of(packages: list[str]) -> dict[str, str]:
    """Whose modules are whose, of these packages: by the file's path."""
    wanted = set(packages)
    return {
        str(one.locate_file(path)): one.metadata["Name"]
        for one in (distributions() if wanted else ())
        if one.metadata["Name"] in wanted
        for path in one.files or ()
        if str(path).endswith(MODULE_ENDINGS)
    }


def _is_of_no_index(name: str) -> bool:
    """Whether an installed package says that it comes from a folder, a URL or a repository (PEP 610)."""
    try:
        return bool(name) and distribution(name).read_text("direct_url.json") is not None
    except (PackageNotFoundError, ValueError):  # a name that can't be asked for
        return True


def _owner(module: str) -> str:
    """The installed package that has a module; empty where there is none."""
    path = module.replace(".", "/")
    beginnings = (f"{path}.", f"{path}/__init__.")
    inner = f"{path}/"
    namespace = ""
    for one in distributions():
        names = [str(file) for file in one.files or ()]
        if any(name.startswith(beginnings) and name.endswith(MODULE_ENDINGS) for name in names):
            return str(one.metadata["Name"])
        if not namespace and any(name.startswith(inner) and name.endswith(MODULE_ENDINGS) for name in names):
            namespace = str(one.metadata["Name"])
    return namespace
