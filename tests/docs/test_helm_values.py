"""The Helm values of the Kubernetes page are values of the official chart, and give pods that envman starts."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.docs.helm_chart import worker_template, wrong
from tests.docs.test_components import DOCS, WORKLOAD_ARGUMENTS, blocks, check

PAGE = (DOCS / "components/kubernetes.md").read_text(encoding="utf-8")
HELM = PAGE.partition("\n## Helm\n")[2]
ONE_IMAGE, IMAGE_EACH = (yaml.safe_load(text) for text in blocks(HELM, "yaml"))


@pytest.mark.parametrize("values", [ONE_IMAGE, IMAGE_EACH], ids=["one image", "an image each"])
def test_the_chart_has_each_value(values: dict[str, Any]) -> None:
    assert wrong(values) == []
    assert values["executor"] == "KubernetesExecutor"


def test_what_the_chart_does_not_have_is_found() -> None:
    values = {"workers": {"command": [], "kubernetes": {"command": "bash", "commands": []}}}
    assert wrong(values) == [
        "workers.command is deprecated: workers.kubernetes.command",
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
