"""`envman airflow-config`: what Airflow's configuration needs, from what it has and what envman.toml says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from envman.deployment.settings import AirflowSettings, WantedSettings, settings
from envman.launch.airflow_configuration import AirflowConfiguration
from envman.resolver.table import Table
from envman.spec.workspace import Workspace
from envman.store.folder import Store
from envman.store.root import read_table


def airflow_settings(
    store: Store, workspace: Workspace | None, wanted: WantedSettings, environ: Mapping[str, str]
) -> AirflowSettings:
    """The settings for a project or, without one, for what is published.

    Of Airflow's present configuration only the list of bundles and [core] multi_team are looked at. Raises
    SpecError for a list that is none, ResolveError where nothing is published.
    """
    table = Table(workspace.table()) if workspace else read_table(store.root)
    configuration = AirflowConfiguration(environ)
    multi_team = wanted.multi_team or configuration.is_on("core", "multi_team")
    return settings(store.root, table, configuration.bundle_entries(), replace(wanted, multi_team=multi_team))
