"""`envman airflow-config`: what Airflow's configuration needs, from what it has and what envman.toml says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from envman.deployment.settings import Settings, Wanted, settings
from envman.launch.airflow_config import is_on, read_bundle_entries
from envman.launch.root import read_table
from envman.resolver.table import Table
from envman.usecases.workspace import Workspace


def airflow_settings(
    root: str, workspace: Workspace | None, wanted: Wanted, environ: Mapping[str, str]
) -> Settings:
    """The settings for a project or, without one, for what is published.

    Of Airflow's present configuration only the list of bundles and [core] multi_team are looked at. Raises
    SpecError for a list that is none, ResolveError where nothing is published.
    """
    table = Table(workspace.table()) if workspace else read_table(root)
    multi_team = wanted.multi_team or is_on(environ, "core", "multi_team")
    return settings(root, table, read_bundle_entries(environ), replace(wanted, multi_team=multi_team))
