"""The Helm values of the pages, and those that `envman units` writes, are values of the official chart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from envman.deployment.service_files import UnitFormat, WantedUnits, unit_files
from tests.docs.helm_chart import COMPONENTS, worker_template, wrong
from tests.docs.test_components import DOCS, IDS, PAGES, WORKLOAD_ARGUMENTS, blocks, check

CHART_KEYS = {*COMPONENTS, "workers", "executor"}

PAGE = (DOCS / "components/kubernetes.md").read_text(encoding="utf-8")
HELM = PAGE.partition("\n## Helm\n")[2]
ONE_IMAGE, IMAGE_EACH = (yaml.safe_load(text) for text in blocks(HELM, "yaml"))


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_the_chart_has_each_value_of_a_page(page: Path) -> None:
    texts = blocks(page.read_text(encoding="utf-8"), "yaml")
    values = [one for one in map(yaml.safe_load, texts) if CHART_KEYS & one.keys()]
    assert values or page.stem in {"edge-worker", "bundles-and-teams", "run-on-aws"}
    assert [wrong(one) for one in values] == [[]] * len(values)


def test_the_chart_has_each_value_that_envman_writes() -> None:
    components = ("api-server", "scheduler", "dag-processor", "triggerer", "worker")
    wanted = WantedUnits(
        components, "/venv", "/opt/envman/bin/envman", "airflow.env", "reg/a:1", has_users=True
    )
    (text,) = unit_files(wanted, UnitFormat.HELM).values()
    assert wrong(yaml.safe_load(text)) == []
    assert yaml.safe_load(text)["workers"].keys() == {"celery"}


@pytest.mark.parametrize("values", [ONE_IMAGE, IMAGE_EACH], ids=["one image", "an image each"])
def test_the_chart_has_each_value(values: dict[str, Any]) -> None:
    assert wrong(values) == []
    assert values["executor"] == "KubernetesExecutor"


def test_what_the_chart_does_not_have_is_found() -> None:
    probe: dict[str, Any] = {"livenessProbe": {"command": []}}
    values = {"workers": {"command": [], **probe, "kubernetes": {"command": "bash", "commands": []}}}
    assert wrong(values) == [
        "workers.command is deprecated: it is in celery, kubernetes",
        "workers.livenessProbe.command is deprecated: it is in celery",
        "workers.kubernetes.command is no list",
        "the chart has no workers.kubernetes.commands",
    ]


def test_with_one_image_a_pods_command_finds_the_environment() -> None:
    (container,) = worker_template(ONE_IMAGE)["spec"]["containers"]
    assert check([*container["command"], *WORKLOAD_ARGUMENTS]) == "container-entrypoint"
    assert {"name": "ENVMAN_ROOT", "value": "/venv"} in container["env"]
    assert container["image"] == "registry.company.example/airflow:2026-11"


def test_with_an_image_each_pods_keep_their_entrypoint_and_the_scheduler_is_envmans() -> None:
    (container,) = worker_template(IMAGE_EACH)["spec"]["containers"]
    assert "command" not in container
    assert IMAGE_EACH["scheduler"]["args"] == ["bash", "-c", "exec envman launch scheduler"]
