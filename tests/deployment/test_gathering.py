"""What Airflow's configuration says of a deployment."""

from __future__ import annotations

import json

import pytest

from envman.deployment.gathering import configured, variables_not_handed_on
from envman.errors import SpecError
from envman.launch.airflow_configuration import AirflowConfiguration
from envman.resolver.inherited import COMPONENTS_OPTIONS, COMPONENTS_SECTIONS
from envman.resolver.snapshot import Snapshot
from envman.resolver.table import Table, render_table

BUNDLES = [
    {"name": "plain", "classpath": "module.Class"},
    {
        "name": "yaml",
        "classpath": "module.Class",
        "importers": ["module.Toml", {"classpath": "module.Yaml", "kwargs": {"strict": True}}],
    },
]


def configuration(importers: str) -> AirflowConfiguration:
    variables = {
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(BUNDLES),
        "AIRFLOW__DAG_PROCESSOR__DAG_IMPORTER_CONFIGS": importers,
    }
    return AirflowConfiguration({"AIRFLOW_HOME": "/nowhere", **variables})


def test_a_bundle_needs_its_class_its_importers_and_those_of_all_bundles() -> None:
    found = configured(configuration('["module.All", {"classpath": "module.Other", "extensions": [".x"]}]'))
    assert found.classes == {
        "plain": ("module.Class", "module.All", "module.Other"),
        "yaml": ("module.Class", "module.Toml", "module.Yaml", "module.All", "module.Other"),
    }


@pytest.mark.parametrize("odd", ["{}", "5", '[5, null, {}, {"classpath": ""}, []]'])
def test_what_names_no_importer_is_airflows_to_refuse(odd: str) -> None:
    assert configured(configuration(odd)).classes["plain"] == ("module.Class",)


def test_importers_that_are_no_json_are_an_error() -> None:
    with pytest.raises(SpecError, match=r"\[dag_processor\] dag_importer_configs: not valid JSON"):
        configured(configuration("module.All"))


SENTRY = {"AIRFLOW__SENTRY__SENTRY_DSN": "https://secret@sentry", "AIRFLOW__SENTRY__SENTRY_ON": "True"}
PROXY = {"https_proxy": "http://user:secret@proxy"}


def not_handed_on(environ: dict[str, str], *more: tuple[str, str, str]) -> list[str]:
    """Of a deployment with two environments; nobody uses a third one."""
    environments = {
        "env_a": ((), {}),
        "env_b": (["LC_*"], {"AIRFLOW__TEAM_B___PLUGIN__KEY": "own"}),
        "env_c": ((), {}),
    }
    bundles = {"bundle_a": ("env_a", ""), "bundle_b": ("env_b", "team_b")}
    table = Table(render_table(bundles, {"team_b": "env_b"}, environments, None, more))
    environ = {"AIRFLOW_HOME": "/nowhere", **environ}
    return [
        *variables_not_handed_on(Snapshot("/venv", table, AirflowConfiguration(environ).bundles), environ)
    ]


def test_what_is_set_for_nobody_is_named() -> None:
    assert not_handed_on(SENTRY | PROXY) == [*SENTRY, *PROXY]
    assert not_handed_on(SENTRY | PROXY, ("pass", "env_c", "*")) == [*SENTRY, *PROXY]
    assert not_handed_on(SENTRY | PROXY, ("pass", "env_b", "AIRFLOW__SENTRY__SENTRY_ON")) == [
        "AIRFLOW__SENTRY__SENTRY_DSN",
        *PROXY,
    ]
    assert (
        not_handed_on(SENTRY | PROXY, ("pass", "env_b", "AIRFLOW__SENTRY__*"), ("pass", "env_a", "*")) == []
    )
    assert not_handed_on({"AIRFLOW__PLUGIN__KEY": "x"}) == ["AIRFLOW__PLUGIN__KEY"]


QUIET = [
    # what workloads get, what only components read, and what is nobody's business
    *("AIRFLOW__CORE__DAGS_FOLDER", "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"),
    *("AIRFLOW__SDK__COORDINATORS", "AIRFLOW__TEAM_B___OPERATORS__DEFAULT_QUEUE", "LC_ALL", "https_proxy"),
    *("AIRFLOW__API__PORT", "AIRFLOW__API__SECRET_KEY_CMD", "AIRFLOW__CORE__ASSET_MANAGER_KWARGS_SECRET"),
    *("AIRFLOW__TEAM_B___CELERY__BROKER_URL", "AIRFLOW__TEAM_B___CORE__PARALLELISM"),
    *("AIRFLOW__TEAM_B___PLUGIN__KEY", "PYTHONPATH", "_AIRFLOW_PROCESS_CONTEXT", "WAREHOUSE", "_"),
    *(f"AIRFLOW__{option}" for option in COMPONENTS_OPTIONS),
    *(f"AIRFLOW__{section}__ANY" for section in COMPONENTS_SECTIONS),
]


@pytest.mark.parametrize("name", QUIET)
def test_what_nobody_misses_is_not_named(name: str) -> None:
    assert not_handed_on({name: "[]"}) == []
