"""A cluster whose node has the estate's images, and deployments that send their tasks there as pods."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.airflow import AirflowDeployment
from tests.e2e.conftest import PYTHONS, SOURCE, Deploy, Estate
from tests.e2e.kinds import envman
from tests.images import machine
from tests.images.own_base import make_base_of
from tests.interpreters import interpreter
from tests.kubernetes.cluster import Cluster, Namespace, cluster
from tests.kubernetes.pod_objects import Pod

ENVIRONMENTS = {"bundle_a": "env_a", "bundle_b": "env_b", "bundle_c": "env_c"}
ALL = "registry.company.example/airflow:2026-11"
EACH = {name: f"registry.company.example/airflow/{name}:2026-11" for name in ENVIRONMENTS.values()}
NEEDED = ("/bin/bash", "/usr/bin/apt-get")
"""What images need besides: a shell for Dags, and the C++ library, which apt-get has."""


MOVED = """
import json, os

FOLDER = os.environ["E2E_WORKLOADS"]

def pod_mutation_hook(pod):
    container = pod.spec.containers[0]
    if (container.args or [])[3:4] != ["--json-string"] or pod.metadata.annotations["dag_id"] != "plain_b":
        return
    path = f"{FOLDER}/{pod.metadata.name}.json"
    with open(path, "w") as file:
        file.write(container.args[4])
    container.args = [*container.args[:3], "--json-path", path]
"""
"""A deployment's own hook, which keeps the workloads of a Dag out of the pods' arguments."""


@dataclass
class Images:
    """The names of what was built: one image with all environments, and one of each."""

    layout: Path
    all: str
    each: Mapping[str, str]


@pytest.fixture(scope="session")
def images(estate: Estate, tmp_path_factory: pytest.TempPathFactory) -> Images:
    """The estate's environments in images, by envman's own engine."""
    folder = tmp_path_factory.mktemp("images")
    base = make_base_of(folder / "base", [interpreter(minor) for minor in PYTHONS.values()], NEEDED)
    words = ["image", "build", *ENVIRONMENTS.values(), "--base", base, "--compression", "zstd"]
    environ = {**estate.environ, "ENVMAN_CACHE_DIR": str(folder / "cache")}
    for tag in (["--all-in-one", "--tag", ALL], ["--tag", ALL.replace(":", "/{environment}:")]):
        machine.run(estate.command(*words, *tag), environ, estate.folder)
    return Images(folder / "cache/images", ALL, EACH)


@pytest.fixture(scope="session")
def node(images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster whose node has these images, and takes no other."""
    with cluster(tmp_path_factory.mktemp("cluster")) as made:
        for name in (images.all, *images.each.values()):
            made.take_image(images.layout, name)
        yield made


def bundles(estate: Estate) -> list[dict[str, object]]:
    """Airflow's list of bundles; the third is one whose Dags say what their pods are to be."""
    made = estate.bundle_list()
    made[2]["kwargs"] = {"path": str(SOURCE / "pods/bundle_c")}
    return made


def settings(space: Namespace, image: str) -> dict[str, str]:
    """The executor's settings, in a cluster that the scheduler is outside of."""
    repository, _, tag = image.rpartition(":")
    options = {
        "IN_CLUSTER": "False",
        "CONFIG_FILE": str(space.cluster.kubeconfig),
        "NAMESPACE": space.name,
        "WORKER_CONTAINER_REPOSITORY": repository,
        "WORKER_CONTAINER_TAG": tag,
        "WORKER_PODS_CREATION_BATCH_SIZE": "8",
        "LOGS_TASK_METADATA": "True",
    }
    given = {f"AIRFLOW__KUBERNETES_EXECUTOR__{key}": value for key, value in options.items()}
    return (
        given
        | {
            "AIRFLOW__CORE__EXECUTOR": "KubernetesExecutor",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
            "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",  # else a dead scheduler's pods wait five minutes
        }
    )


def use_template(airflow: AirflowDeployment, template: Pod) -> dict[str, str]:
    """Complete a pod template with what pods of this machine need; returns the variables that name it.

    They are told where Airflow's API is and where their bundles are; logs and notes go to folders of the machine.
    """
    pod = json.loads(json.dumps(template))
    home, stock = str(airflow.home), airflow.environ
    variables = {
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": f"{home}/logs",
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "120",
        "E2E_NOTES": f"{home}/notes",
    }
    for key in ("CORE__EXECUTION_API_SERVER_URL", "DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"):
        variables[f"AIRFLOW__{key}"] = stock[f"AIRFLOW__{key}"]
    listed = json.loads(stock["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"])
    folders = [f"{home}/logs", f"{home}/notes", *(one["kwargs"]["path"] for one in listed)]
    container = pod["spec"]["containers"][0]
    container["env"] = [
        *container.get("env", []),
        *({"name": name, "value": value} for name, value in variables.items()),
    ]
    container["volumeMounts"] = [{"name": f"v{at}", "mountPath": path} for at, path in enumerate(folders)]
    pod["spec"]["volumes"] = [
        {"name": f"v{at}", "hostPath": {"path": path}} for at, path in enumerate(folders)
    ]
    for folder in folders[:2]:
        Path(folder).mkdir(exist_ok=True)
        Path(folder).chmod(0o777)  # pods have a user of their own
    file = airflow.home / "template.yaml"
    file.write_text(json.dumps(pod), encoding="utf-8")
    return {"AIRFLOW__KUBERNETES_EXECUTOR__POD_TEMPLATE_FILE": str(file)}


def move_workloads(airflow: AirflowDeployment) -> None:
    """Give the deployment the hook of its own."""
    folder = airflow.home / "config"
    folder.mkdir(exist_ok=True)
    (folder / "airflow_local_settings.py").write_text(MOVED, encoding="utf-8")
    airflow.environ["E2E_WORKLOADS"] = str(airflow.home / "notes")


@pytest.fixture(scope="session")
def one_image_space(node: Cluster) -> Namespace:
    """Where pods of the image with all environments are; the API server reads their logs from there."""
    return Namespace(node, "one-image")


@pytest.fixture(scope="session")
def components(estate: Estate, deployer: Deploy, one_image_space: Namespace) -> Iterator[AirflowDeployment]:
    """What the schedulers of both ways have in common: an API server, and shared components for Dags' code."""
    made = deployer(bundles(estate), **settings(one_image_space, ALL))
    move_workloads(made)
    with made:
        made.start("dag-processor", *envman("launch", "dag-processor"))
        made.start("triggerer", *envman("launch", "triggerer"))
        made.start_api_server()
        wanted = {"plain_a", "plain_b", "long_a", "held_c"}
        made.wait_for("the Dags", lambda: wanted <= made.dag_ids())
        yield made


@contextmanager
def scheduling(
    airflow: AirflowDeployment, space: Namespace, *scheduler: str, **variables: str
) -> Iterator[AirflowDeployment]:
    """Run a scheduler whose pods are in a namespace, with notes that nobody has left before."""
    for note in (airflow.home / "notes").iterdir():
        note.unlink()
    airflow.start("scheduler", *scheduler, **variables)
    try:
        yield airflow
    finally:
        kill_scheduler(airflow)
        space.clear()


def kill_scheduler(airflow: AirflowDeployment) -> None:
    """End the scheduler with all that it has started. One that is asked to end waits 20 s for the provider's watcher,
    which ignores SIGTERM.
    """
    group = airflow.process("scheduler").pid
    airflow.stop("scheduler", signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
