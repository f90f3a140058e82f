"""What Airflow's configuration says of a deployment."""

from __future__ import annotations

import json

import pytest

from envman.deployment.gathering import configured
from envman.errors import SpecError
from envman.launch.airflow_configuration import AirflowConfiguration

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
