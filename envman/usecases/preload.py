"""`envman preload`: what an environment's fork server preloads, what it costs, and what would be worth it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from envman.errors import Problem, ResolveError, UsageError
from envman.figures.preloads import Module, ranked, suggestion
from envman.launch.airflow_config import read_airflow_bundles, read_bundle_entries, read_option
from envman.launch.root import current_generation, read_table
from envman.processes import Processes
from envman.resolver.resolve import resolve_bundle, resolve_environment
from envman.resolver.table import Table
from envman.store.generations import read_manifest
from envman.usecases.inside import inside_environment

SCRIPT = "imports.py"
LOCAL = "LocalDagBundle"
"""Airflow's class of bundles that are folders of this host."""


@dataclass(frozen=True)
class PreloadRequest:
    """Of which environment; `suggest`: measure what files import, also those below `paths`."""

    environment: str
    suggest: bool = False
    paths: tuple[Path, ...] = ()


@dataclass(frozen=True)
class PreloadOutcome:
    """What is preloaded (`preload`, as published), and the modules that were measured.

    With a suggestion `folders` are those whose files were looked at, `files` how many, `skipped` those that
    can't be read and why, `other_bundles` the environment's bundles that are no local folder. Without one it
    is None.
    """

    environment: str
    generation: str
    interpreter: str
    airflow: str
    warm: bool
    preload: tuple[str, ...]
    folders: tuple[str, ...]
    other_bundles: tuple[str, ...]
    files: int
    skipped: tuple[tuple[str, str], ...]
    modules: tuple[Module, ...]
    suggestion: tuple[str, ...] | None

    def problems(self) -> list[Problem]:
        """What keeps the fork server from starting."""
        remedy = f"Take it out of preload in environments/{self.environment}.toml; then: envman publish"
        return [
            Problem(f"environment '{self.environment}'", f"preload: {one.module}: {one.problem}", remedy)
            for one in self.modules
            if one.preloaded and one.problem
        ]

    def document(self) -> dict[str, Any]:
        """The same as values that JSON has."""
        skipped = [{"file": file, "why": why} for file, why in self.skipped]
        return {**asdict(self), "skipped": skipped}


def preload(
    root: str,
    request: PreloadRequest,
    processes: Processes,
    environ: Mapping[str, str],
    on_line: Callable[[str], None] | None = None,
) -> PreloadOutcome:
    """Measure an environment's modules; `on_line` gets what they print, and how far it is.

    Raises ResolveError for an environment that isn't built, UsageError where there is no file to look at,
    InsideError where the environment has no Airflow.
    """
    table = read_table(root)
    environment = resolve_environment(table, request.environment).environment
    generation = current_generation(root, environment)
    manifest = read_manifest(root, generation)
    declared = tuple(table.preload(environment))
    folders, others = _folders(table, environment, request, environ)
    with (
        tempfile.TemporaryDirectory(prefix="envman-preload-") as home,
        inside_environment(root, table, environment, environ, home) as inside,
    ):
        asked = {"folders": folders, "modules": declared, "measure": True}
        answer = inside.ask(processes, SCRIPT, asked, on_line=on_line)
    modules = ranked(_module(item, declared, request.suggest) for item in answer["modules"])
    return PreloadOutcome(
        environment=environment,
        generation=generation,
        interpreter=manifest.interpreter.describe() if manifest else "",
        airflow=answer["airflow"],
        warm=table.is_warm(environment),
        preload=declared,
        folders=tuple(folders),
        other_bundles=tuple(others),
        files=answer["files"],
        skipped=tuple((file, why) for file, why in answer["skipped"]),
        modules=modules,
        suggestion=suggestion(modules) if request.suggest else None,
    )


def _module(item: Mapping[str, Any], declared: tuple[str, ...], suggest: bool) -> Module:
    return Module(
        module=item["module"],
        preloaded=item["module"] in declared,
        files=item["files"] if suggest else None,
        seconds=item["seconds"],
        memory=item["memory"],
        problem=item["problem"],
        brings=tuple(item["brings"]),
    )


def _folders(
    table: Table, environment: str, request: PreloadRequest, environ: Mapping[str, str]
) -> tuple[list[str], list[str]]:
    """The folders whose files are looked at, and the environment's bundles that are no local folder."""
    if not request.suggest:
        return [], []
    for path in request.paths:
        if not path.is_dir():
            raise UsageError(Problem(str(path), "there is no such folder", "Pass a bundle's folder."))
    folders, others = [str(path.absolute()) for path in request.paths], []
    bundles = read_airflow_bundles(environ)
    for entry in read_bundle_entries(environ):
        name = str(entry["name"])
        try:
            if resolve_bundle(table, name, lambda: bundles).environment != environment:
                continue
        except ResolveError:  # which `envman doctor` tells
            continue
        folder = _local_folder(entry, environ)
        if folder and Path(folder).is_dir():
            folders.append(folder)
        else:
            others.append(name)
    if not folders:
        what = "none of its bundles is a local folder here"
        remedy = f"Pass a checkout: envman preload {environment} --suggest --path FOLDER"
        raise UsageError(Problem(f"environment '{environment}'", what, remedy))
    return list(dict.fromkeys(folders)), others


def _local_folder(entry: Mapping[str, object], environ: Mapping[str, str]) -> str | None:
    """Where a bundle's files are, if that is a folder of this host."""
    arguments = entry.get("kwargs")
    path = arguments.get("path") if isinstance(arguments, dict) else None
    if not isinstance(path, str) and str(entry.get("classpath")).endswith(f".{LOCAL}"):
        path = read_option(environ, "core", "dags_folder")
        path = path or f"{environ.get('AIRFLOW_HOME') or '~/airflow'}/dags"
    return str(Path(os.path.expandvars(path)).expanduser()) if isinstance(path, str) else None
