"""What bundles' files import, what each import costs, and whether a fork server may preload it.

    python run.py imports '{"folders": ["/dags"], "modules": ["pandas"], "measure": true}'

Imports are found in the files' syntax trees: none of the files is run. Each module is imported in a fork of
this process, which has imported what every fork server does: each time a fresh one, so that each module is
measured alone. The request is an ImportsRequest, the answer an ImportsReport.
"""

from __future__ import annotations

import ast
import contextlib
import gc
import importlib
import importlib.util
import os
import statistics
import sys
import time
import tokenize
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from envman.inside import plugins, shared_modules, trial
from envman.inside.answer import answer
from envman.inside.dag_files import dag_files

if TYPE_CHECKING:
    from envman.inside.reports import Costs, ImportsReport, ImportsRequest, ModuleReport

LIMIT = 120.0
"""Seconds that an import may take."""

TIMES = 3
"""How often an import is measured; the median counts."""

Wanted = tuple[str, str]
"""What an import names: a module, and what of it ('' for itself)."""


def main(words: list[str]) -> None:
    """Answer the request."""
    answer(report, words)


def report(request: ImportsRequest) -> ImportsReport:
    """What the request's modules, and those that the files of its folders import, cost."""
    trial.end_with_forks()
    shared_modules.load([])
    plugins.load()
    gc.collect()
    gc.freeze()
    scans = [Scan(folder) for folder in request["folders"]]
    importers = _importers(scans, set(request["modules"]))
    modules = list(dict.fromkeys([*request["modules"], *importers]))
    found: list[ModuleReport] = []
    for number, module in enumerate(modules, 1):
        if request["measure"]:
            _say(f"{number} of {len(modules)}: {module}")
        costs: Costs = _costs(module) if request["measure"] else {"problem": _refusal(module)}
        found.append({"module": module, "files": len(importers.get(module, ())), **costs})
    for one in found:
        brought = set(one.get("brings") or ()) - {one["module"]}
        one["brings"] = [module for module in modules if module in brought]
    return {
        "airflow": _version(),
        "files": sum(len(scan.files) for scan in scans),
        "skipped": [(file, why) for scan in scans for file, why in sorted(scan.skipped.items())],
        "modules": found,
    }


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    with contextlib.suppress(PackageNotFoundError):
        return version("apache-airflow-core")
    return ""


def _say(words: str) -> None:
    sys.stderr.write(f"{words}\n")
    sys.stderr.flush()


# what the files import


class Scan:
    """The files of a bundle's folder that the Dag processor would parse, and what is imported with them."""

    def __init__(self, folder: str) -> None:
        self.folder = os.path.abspath(folder)
        self.skipped: dict[str, str] = {}
        self.files = dag_files(self.folder)
        self._read: dict[str, tuple[set[Wanted], set[str]]] = {}

    def wanted(self, file: str) -> set[Wanted]:
        """What is imported with a file, by itself or by the bundle's own modules that it imports."""
        found: set[Wanted] = set()
        files, seen = [file], {file}
        while files:
            wanted, own = self._imports(files.pop())
            found |= wanted
            files += own - seen
            seen |= own
        return found

    def _imports(self, file: str) -> tuple[set[Wanted], set[str]]:
        """What a file imports of others, and the bundle's own files that it imports."""
        if file not in self._read:
            wanted: set[Wanted] = set()
            own: set[str] = set()
            self._read[file] = (wanted, own)
            for node in self._nodes(file):
                for module, name, folders in _named(node, file, self.folder):
                    if folders:
                        own.update(_own_files(folders, f"{module}.{name}".strip(".")))
                    elif module.partition(".")[0] not in sys.stdlib_module_names:
                        wanted.add((module, name))
        return self._read[file]

    def _nodes(self, file: str) -> list[ast.Import | ast.ImportFrom]:
        try:
            with tokenize.open(file) as stream:
                return list(at_module_level(ast.parse(stream.read(), file)))
        except (OSError, SyntaxError, ValueError, RecursionError) as error:
            shown = os.path.relpath(file, self.folder)
            self.skipped[shown] = f"can't be read: {type(error).__name__}: {error}".splitlines()[0]
            return []


def at_module_level(tree: ast.Module) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports that happen as a module is imported."""
    nodes: list[ast.AST] = [tree]
    for node in nodes:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        elif isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            nodes += node.orelse
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.expr)):
            nodes += ast.iter_child_nodes(node)


def _named(node: ast.Import | ast.ImportFrom, file: str, bundle: str) -> Iterator[tuple[str, str, list[str]]]:
    """Module, name of it, and the folders in which it is one of the bundle's own; none where it is not."""
    here = os.path.dirname(file)
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name, "", [folder for folder in {bundle, here} if _is_own(folder, alias.name)]
        return
    module = node.module or ""
    for _ in range(node.level - 1):
        here = os.path.dirname(here)
    folders = [here] if node.level else [folder for folder in {bundle, here} if _is_own(folder, module)]
    for alias in node.names:
        yield module, "" if alias.name == "*" else alias.name, folders


def _is_own(folder: str, module: str) -> bool:
    top = module.partition(".")[0]
    if os.path.isfile(f"{folder}/{top}.py") or os.path.isfile(f"{folder}/{top}/__init__.py"):
        return True
    return os.path.isdir(f"{folder}/{top}") and importlib.util.find_spec(top) is None


def _own_files(folders: Iterable[str], module: str) -> Iterator[str]:
    """The files of a module and of the packages that it is in."""
    for folder in folders:
        path = folder
        for part in module.split("."):
            path = f"{path}/{part}"
            yield from (one for one in (f"{path}.py", f"{path}/__init__.py") if os.path.isfile(one))


def _importers(scans: list[Scan], asked: set[str]) -> dict[str, set[str]]:
    """The files that import each module, without modules that every fork server imports anyway."""
    files: dict[str, dict[str, set[str]]] = {}
    for scan in scans:
        for file in scan.files:
            for module, name in scan.wanted(file):
                files.setdefault(module, {}).setdefault(name, set()).add(file)
    found: dict[str, set[str]] = {}
    for module in sorted(files):
        for name, (real, loaded) in _real(module, sorted(files[module])).items():
            if real in asked or not loaded:
                found.setdefault(real, set()).update(files[module][name])
    return found


def _real(module: str, names: list[str]) -> dict[str, tuple[str, bool]]:
    """For each name, the module that importing it means, and whether a fork server has that anyway."""

    def resolved() -> dict[str, tuple[str, bool]]:
        loaded = set(sys.modules)
        importlib.import_module(module)
        first = set(sys.modules)
        found = {}
        for name in names:
            with contextlib.suppress(Exception):
                __import__(module, fromlist=[name] if name else [])
            real = f"{module}.{name}"
            real = real if name and real in sys.modules and real not in first else module
            found[name] = (real, real in loaded)
        return found

    outcome = trial.attempt(resolved, LIMIT)
    if outcome.value is None:
        return dict.fromkeys(names, (module, False))
    return {name: (real, loaded) for name, (real, loaded) in outcome.value.items()}


# what a module costs


def _costs(module: str) -> Costs:
    """What its import takes, and why it can't be preloaded."""
    rounds = [trial.attempt(lambda: _measured(module), LIMIT).value for _ in range(TIMES)]
    told = [one for one in rounds if one is not None]
    problem = _refusal(module)
    if len(told) < TIMES:
        return {"seconds": None, "memory": None, "problem": problem or "its import fails now and then"}
    return {
        "seconds": round(statistics.median(one["seconds"] for one in told), 4),
        "memory": round(statistics.median(one["memory"] for one in told)),
        "problem": problem,
        "brings": told[-1]["brings"],
    }


def _measured(module: str) -> dict[str, Any]:
    before, memory, started = set(sys.modules), _memory(), time.perf_counter()
    importlib.import_module(module)
    seconds = time.perf_counter() - started
    added = max(0, _memory() - memory)
    return {"seconds": seconds, "memory": added, "brings": sorted(set(sys.modules) - before)}


def _memory() -> int:
    """The bytes of memory that this process has in use."""
    with open("/proc/self/smaps_rollup", encoding="ascii") as stream:  # exact, as VmRSS is not
        for line in stream:
            if line.startswith("Rss:"):
                return int(line.split()[1]) * 1024
    return 0


def _refusal(module: str) -> str:
    """Why it can't be preloaded; empty where it can."""

    def loaded() -> str:
        try:
            shared_modules.load_one(module)
        except shared_modules.PreloadError as error:
            return str(error).removeprefix(f"{module} ")
        return ""

    outcome = trial.attempt(loaded, LIMIT)
    lines = str(_problem(outcome) if outcome.value is None else outcome.value).splitlines()
    return lines[0] if lines else ""


def _problem(outcome: trial.Outcome) -> str:
    if outcome.error:
        return f"can't be imported: {outcome.error}"
    if outcome.status is None:
        return f"takes longer than {LIMIT:.0f} s"
    return f"ends the interpreter{outcome.ending()}"
