"""`envman airflow-config`: what Airflow's configuration needs, from what it has and what envman.toml says."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from envman.deployment.settings import AirflowSettings, WantedSettings, settings, with_sources
from envman.launch.airflow_configuration import DEFAULT_ENTRY, LOCAL_BUNDLE, AirflowConfiguration
from envman.resolver.snapshot import AIRFLOW_DEFAULT
from envman.resolver.table import Table
from envman.spec.project import Project
from envman.spec.workspace import Workspace
from envman.store.folder import Store
from envman.store.root import read_table


def airflow_settings(
    store: Store, workspace: Workspace | None, wanted: WantedSettings, environ: Mapping[str, str]
) -> AirflowSettings:
    """The settings for a project or, without one, for what is published.

    Of Airflow's present configuration only the list of bundles and [core] multi_team are looked at. Where
    envman.toml says what a bundle's source is, that counts, and the one bundle of an Airflow that nobody has
    configured is left out unless envman.toml names it. Raises SpecError for a list that is none, ResolveError
    where nothing is published.
    """
    table = Table(workspace.table()) if workspace else read_table(store.root)
    configuration = AirflowConfiguration(environ)
    multi_team = wanted.multi_team or configuration.is_on("core", "multi_team")
    sources = _sources(workspace.project) if workspace else {}
    entries = configuration.bundle_entries()
    if sources and entries == [DEFAULT_ENTRY] and AIRFLOW_DEFAULT not in table.names("bundle"):
        entries = []
    listed = with_sources(entries, sources)
    found = settings(store.root, table, listed, replace(wanted, multi_team=multi_team))
    return replace(found, notes=(*found.notes, *_missing_folders(sources)))


def _sources(project: Project) -> dict[str, Mapping[str, object]]:
    """What Airflow's list says of the bundles whose source envman.toml has: class and arguments."""
    sources: dict[str, Mapping[str, object]] = {}
    for name, bundle in project.bundles.items():
        if bundle.path:
            path = os.path.normpath(Path(project.directory, Path(bundle.path).expanduser()))
            sources[name] = {"classpath": LOCAL_BUNDLE, "kwargs": {"path": path}}
        elif bundle.classpath:
            sources[name] = {"classpath": bundle.classpath, "kwargs": dict(bundle.arguments)}
    return sources


def _missing_folders(sources: Mapping[str, Mapping[str, object]]) -> Iterator[str]:
    """Notes on folders that are not there; they may be on the components' hosts alone."""
    for name, source in sources.items():
        kwargs = source["kwargs"]
        path = kwargs.get("path") if isinstance(kwargs, dict) else None
        if source["classpath"] == LOCAL_BUNDLE and isinstance(path, str) and not Path(path).is_dir():
            yield f"The folder of the bundle '{name}' is not on this host: {path}"
