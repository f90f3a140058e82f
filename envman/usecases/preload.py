"""`envman preload`: what an environment's fork server preloads, what it costs, and what would be worth it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envman.deployment.environment_script import inside_environment
from envman.errors import Problem, UsageError
from envman.inside.protocol import RUN
from envman.launch.airflow_configuration import AirflowConfiguration
from envman.launch.purpose import purpose_of_environment
from envman.resolver.snapshot import Snapshot
from envman.servers.preloads import Module, ranked, suggestion
from envman.store.folder import Store
from envman.store.root import take_snapshot
from envman.system.processes import Processes

if TYPE_CHECKING:
    from envman.inside.reports import ImportsReport, ImportsRequest, ModuleReport

SCRIPT = (RUN, "imports")
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
    store: Store,
    request: PreloadRequest,
    processes: Processes,
    environ: Mapping[str, str],
    on_line: Callable[[str], None] | None = None,
) -> PreloadOutcome:
    """Measure an environment's modules; `on_line` gets what they print, and how far it is.

    Raises ResolveError for an environment that isn't built, UsageError where there is no file to look at,
    InsideError where the environment has no Airflow.
    """
    configuration = AirflowConfiguration(environ)
    snapshot = take_snapshot(store.root, configuration.bundles)
    environment = snapshot.resolve_environment(request.environment).environment
    purpose = purpose_of_environment(snapshot, environment, environ)
    generation = snapshot.generation(environment)
    manifest = store.manifest(generation)
    declared = tuple(snapshot.table.preload(environment))
    folders, others = _folders(snapshot, configuration, request, environ)
    with (
        tempfile.TemporaryDirectory(prefix="envman-preload-") as home,
        inside_environment(snapshot, purpose, environ, home) as inside,
    ):
        asked: ImportsRequest = {"folders": folders, "modules": [*declared], "measure": True}
        answer: ImportsReport = inside.ask(processes, SCRIPT, asked, on_line=on_line)
    modules = ranked(_module(item, declared, request.suggest) for item in answer["modules"])
    return PreloadOutcome(
        environment=environment,
        generation=generation,
        interpreter=manifest.interpreter.describe() if manifest else "",
        airflow=answer["airflow"],
        warm=snapshot.table.is_warm(environment),
        preload=declared,
        folders=tuple(folders),
        other_bundles=tuple(others),
        files=answer["files"],
        skipped=tuple((file, why) for file, why in answer["skipped"]),
        modules=modules,
        suggestion=suggestion(modules) if request.suggest else None,
    )


def _module(item: ModuleReport, declared: tuple[str, ...], suggest: bool) -> Module:
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
    snapshot: Snapshot,
    configuration: AirflowConfiguration,
    request: PreloadRequest,
    environ: Mapping[str, str],
) -> tuple[list[str], list[str]]:
    """The folders whose files are looked at, and the environment's bundles that are no local folder."""
    if not request.suggest:
        return [], []
    for path in request.paths:
        if not path.is_dir():
            raise UsageError(Problem(str(path), "there is no such folder", "Pass a bundle's folder."))
    folders, others = [str(path.absolute()) for path in request.paths], []
    environments = snapshot.answers().environments  # `envman doctor` tells of bundles without one
    for entry in configuration.bundle_entries():
        name = str(entry["name"])
        if environments.get(name) != request.environment:
            continue
        folder = _local_folder(entry, configuration, environ)
        if folder and Path(folder).is_dir():
            folders.append(folder)
        else:
            others.append(name)
    if not folders:
        what = "none of its bundles is a local folder here"
        remedy = f"Pass a checkout: envman preload {request.environment} --suggest --path FOLDER"
        raise UsageError(Problem(f"environment '{request.environment}'", what, remedy))
    return list(dict.fromkeys(folders)), others


def _local_folder(
    entry: Mapping[str, object], configuration: AirflowConfiguration, environ: Mapping[str, str]
) -> str | None:
    """Where a bundle's files are, if that is a folder of this host."""
    arguments = entry.get("kwargs")
    path = arguments.get("path") if isinstance(arguments, dict) else None
    if not isinstance(path, str) and str(entry.get("classpath")).endswith(f".{LOCAL}"):
        path = configuration.option("core", "dags_folder")
        path = path or f"{environ.get('AIRFLOW_HOME') or '~/airflow'}/dags"
    return os.path.expanduser(os.path.expandvars(path)) if isinstance(path, str) else None  # noqa: PTH111
