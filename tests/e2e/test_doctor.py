"""`envman doctor` over real environments and a real database of Airflow's."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Deployment

pytestmark = pytest.mark.registry

LOCAL = "airflow.dag_processing.bundles.local.LocalDagBundle"
NAMES = ("bundle_a", "bundle_b", "bundle_c")


def bundles(estate: Deployment, names: tuple[str, ...] = NAMES, **more: object) -> dict[str, str]:
    """Airflow's configuration with these bundles."""
    listed = [
        {"name": name, "classpath": LOCAL, "kwargs": {"path": str(estate.folder / "bundles" / name)}, **more}
        for name in names
    ]
    return {"AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(listed)}


def findings(estate: Deployment, variables: Mapping[str, str], *arguments: str) -> list[dict[str, Any]]:
    run = estate.run("doctor", "--json", *arguments, variables=variables)
    result = run.json["result"]["findings"]
    errors = [item for item in result if item["level"] == "error"]
    assert run.exit_code == (1 if errors else 0)
    # the runner's umask is its own; what the components can't read of the estate has a test below
    return [item for item in result if item["check"] not in {"permissions", "readable"}]


def test_a_sound_deployment_has_no_findings(estate: Deployment) -> None:
    assert findings(estate, bundles(estate)) == []


def test_what_dags_may_hold_and_the_components_lack_is_named(estate: Deployment) -> None:
    result = estate.run("doctor", "--json", variables=bundles(estate)).json["result"]["findings"]
    found = {item["where"]: item["what"] for item in result if item["check"] == "readable"}
    assert [*found] == [f"environment 'env_{letter}'" for letter in "abc"]
    assert all(f"plugin_{letter}.Weekly" in found[f"environment 'env_{letter}'"] for letter in "abc")


def test_a_bundles_class_is_tried_in_its_environment_and_in_the_components(estate: Deployment) -> None:
    found = findings(estate, bundles(estate, NAMES, classpath="airflow.providers.nowhere.Bundle"))
    assert {item["check"] for item in found} == {"classes"}
    assert {item["where"] for item in found} == {
        *("environment 'env_a'", "environment 'env_b'", "environment 'env_c'"),
        "components",
    }
    assert all("airflow.providers.nowhere" in item["what"] for item in found)


def test_components_without_airflow_are_an_error(estate: Deployment) -> None:
    (found,) = findings(estate, bundles(estate), "--airflow", "/usr/bin/python3")
    assert "no Airflow in /usr/bin/python3" in found["what"]


def test_local_settings_that_can_not_be_imported_are_named(estate: Deployment, tmp_path: Path) -> None:
    file = tmp_path / "config/airflow_local_settings.py"
    file.parent.mkdir()
    file.write_text("import only_in_a_package\n")
    variables = {**bundles(estate), "AIRFLOW_HOME": str(tmp_path)}
    why = f"{file} can't be imported: ModuleNotFoundError: No module named 'only_in_a_package'"
    found = findings(estate, variables)
    assert {item["where"] for item in found if item["what"] == why} == {
        *(f"environment '{name}'" for name in ("env_a", "env_b", "env_c")),
        "components",
    }
    assert all("airflow_local_settings" in item["what"] for item in found), found
    refused = estate.run("launch", "dag-processor", variables=variables)
    assert refused.exit_code == 125
    assert why in refused.stderr


TRIGGERS = """
import datetime
from airflow.models.trigger import Trigger
from airflow.utils.session import create_session

with create_session() as session:
    trigger = Trigger("module.Class", {})
    trigger.created_date = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
    session.add(trigger)
"""


def test_the_database_tells_of_triggers_that_nobody_takes(estate: Deployment, tmp_path: Path) -> None:
    variables = {
        **bundles(estate),
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__FERNET_KEY": "",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path}/airflow.db",
    }
    (unreachable,) = findings(estate, variables, "--database")
    assert unreachable["check"] == "interpreters"
    assert "gave no answer" in unreachable["what"]

    core = estate.root / "core/bin"
    for command in ([f"{core}/airflow", "db", "migrate"], [f"{core}/python", "-c", TRIGGERS]):
        subprocess.run(
            command, env={**estate.environment, **variables}, check=True, capture_output=True, timeout=300
        )
        (found,) = findings(estate, variables, "--database")
        assert found["check"] == "triggerer"
    assert found["level"] == "error"
    assert "1 of 1 triggers" in found["what"]
