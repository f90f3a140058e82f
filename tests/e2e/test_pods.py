"""Kubernetes: what the provider's own pod generator makes, through envman's policy and entrypoint."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import envman
from envman.resolver.table import with_first_line
from tests.conftest import Result
from tests.e2e.conftest import Estate

pytestmark = pytest.mark.registry

COMPONENT = Path(envman.__file__).parent / "airflow/component.py"
TOKEN = "a-token-that-nobody-may-read"
HOMES = {"bundle_a": "env_a", "bundle_b": "env_b", "bundle_c": "env_c"}

MAKE_PODS = """
import importlib.util, json, sys, uuid

script, token, home, *bundles = sys.argv[1:]
spec = importlib.util.spec_from_file_location("component", script)
component = importlib.util.module_from_spec(spec)
spec.loader.exec_module(component)
component.make_envman_importable()

from envman.airflow import pods

pods.install()
pods.install()

from airflow.executors.workloads import ExecuteTask
from airflow.executors.workloads.base import BundleInfo
from airflow.executors.workloads.task import TaskInstanceDTO
from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator, workload_to_command_args
from airflow.settings import pod_mutation_hook
from kubernetes.client import models as k8s


def command_of(bundle):
    ti = TaskInstanceDTO(
        id=uuid.uuid4(), dag_version_id=uuid.uuid4(), dag_id="dag", task_id="task", run_id="run",
        try_number=1, pool_slots=1, priority_weight=1,
    )
    where = {"dag_rel_path": "dag.py", "bundle_info": BundleInfo(name=bundle), "log_path": "task.log"}
    return workload_to_command_args(ExecuteTask(ti=ti, token=token, **where))


def pod_of(args):
    \"\"\"As the executor makes it, from a template with a second container.\"\"\"
    containers = [k8s.V1Container(name="base", image="template"), k8s.V1Container(name="proxy", image="proxy")]
    template = k8s.V1Pod(metadata=k8s.V1ObjectMeta(), spec=k8s.V1PodSpec(containers=containers))
    return PodGenerator.construct_pod(
        namespace="airflow", scheduler_job_id="1", pod_id="pod", dag_id="dag", task_id="task", run_id="run",
        try_number=1, kube_image="default", date=None, args=args, pod_override_object=None,
        base_worker_pod=template, with_mutation_hook=True,
    )


def images(pod):
    return {container.name: container.image for container in pod.spec.containers}


def told(args):
    try:
        pod = pod_of(args)
    except Exception as error:
        return {"error": str(error.__cause__), "kind": type(error.__cause__).__name__}
    return {"args": pod.spec.containers[0].args, "images": images(pod)}


made = {bundle: told(command_of(bundle)) for bundle in bundles}
made["in a file"] = told([*command_of(bundles[0])[:3], "--json-path", "/workload.json"])
containers = [k8s.V1Container(name="base", image="of-the-operator", args=["python", "-m", "something"])]
containers.append(k8s.V1Container(name="bare", image="of-the-operator"))
operators = k8s.V1Pod(metadata=k8s.V1ObjectMeta(), spec=k8s.V1PodSpec(containers=containers))
pod_mutation_hook(operators)
made["an operator's"] = {"images": images(operators)}
print(json.dumps(made))
"""


def airflow_variables(estate: Estate, home: Path, root: Path) -> dict[str, str]:
    return {
        "AIRFLOW_HOME": str(home),
        "ENVMAN_ROOT": str(root),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(estate.bundle_list()),
    }


def pods(estate: Estate, home: Path, root: Path | None, *bundles: str) -> dict[str, dict[str, Any]]:
    """The pods of these bundles' workloads, made in the scheduler's interpreter."""
    variables = airflow_variables(estate, home, root or estate.root)
    if root is None:
        del variables["ENVMAN_ROOT"]
    finished = subprocess.run(
        [str(estate.python("core")), "-c", MAKE_PODS, str(COMPONENT), TOKEN, str(home), *bundles],
        env={**estate.environ, **variables},
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert finished.returncode == 0, finished.stderr
    made: dict[str, dict[str, Any]] = json.loads(finished.stdout.splitlines()[-1])
    return made


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("airflow")


@pytest.fixture(scope="module")
def plain(estate: Estate, home: Path) -> dict[str, dict[str, Any]]:
    """The pods of a deployment that declares no images."""
    return pods(estate, home, estate.root, *HOMES)


def with_images(estate: Estate, folder: Path, images: Mapping[str, str]) -> Path:
    """A root folder with a table that declares images, and no environment in it."""
    root = folder / "root"
    shutil.copytree(estate.root / ".state", root / ".state")
    table = root / ".state/table"
    _, *records = table.read_text().splitlines()
    records += [f"image\t{environment}\t{image}" for environment, image in images.items()]
    table.write_text(with_first_line("\n".join([*sorted(records), ""])))
    return root


def entered(estate: Estate, home: Path, arguments: list[str]) -> Result:
    """Run a pod's arguments through the image's entrypoint; there is no API server to reach."""
    unreachable = {
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": "http://127.0.0.1:9/execution/",
        "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "1",
        "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MIN": "0.1",
        "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX": "0.1",
    }
    variables = airflow_variables(estate, home, estate.root) | unreachable
    return estate.run("container-entrypoint", *arguments, variables=variables)


@pytest.mark.parametrize(("bundle", "environment"), HOMES.items())
def test_a_pods_workload_starts_in_its_bundles_interpreter(
    estate: Estate, home: Path, plain: dict[str, dict[str, Any]], bundle: str, environment: str
) -> None:
    result = entered(estate, home, plain[bundle]["args"])
    output = result.stdout + result.stderr
    assert "Executing workload" in output, output
    generations = {
        part.split("/")[0] for part in output.split(f"{estate.root}/.gen/")[1:] if "/site-packages/" in part
    }
    assert generations == {estate.current(environment)}, output
    assert result.exit_code not in {0, 125, 126, 127}
    assert TOKEN not in output


def test_a_pods_workload_may_stand_in_a_file(
    estate: Estate, home: Path, plain: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    *command, option, workload = plain["bundle_b"]["args"]
    assert option == "--json-string"
    file = tmp_path / "input.json"
    file.write_text(workload)
    result = entered(estate, home, [*command, "--json-path", str(file)])
    assert "Executing workload" in result.stdout
    assert f"{estate.root}/.gen/{estate.current('env_b')}/" in result.stdout + result.stderr


def test_a_pod_of_an_unknown_bundle_does_not_start(
    estate: Estate, home: Path, plain: dict[str, dict[str, Any]]
) -> None:
    arguments = [word.replace("bundle_a", "bundle_x") for word in plain["bundle_a"]["args"]]
    result = entered(estate, home, arguments)
    assert result.exit_code == 125
    assert "bundle 'bundle_x': no such bundle" in result.stderr
    assert TOKEN not in result.stdout + result.stderr


def test_without_images_every_pod_keeps_its_own(plain: dict[str, dict[str, Any]]) -> None:
    for bundle in HOMES:
        assert plain[bundle]["images"] == {"base": "default", "proxy": "proxy"}
    assert plain["in a file"]["images"]["base"] == "default"


def test_each_pod_gets_the_image_of_its_bundles_environment(
    estate: Estate, home: Path, tmp_path: Path
) -> None:
    root = with_images(estate, tmp_path, {"env_a": "registry/image_a", "env_b": "registry/image_b@sha256:0"})
    made = pods(estate, home, root, *HOMES, "bundle_x")
    assert made["bundle_a"]["images"] == {"base": "registry/image_a", "proxy": "proxy"}
    assert made["bundle_b"]["images"] == {"base": "registry/image_b@sha256:0", "proxy": "proxy"}
    for bundle, said in {
        "bundle_c": "environment 'env_c': has no image",
        "bundle_x": "bundle 'bundle_x': no such bundle",
        "in a file": "stands in a file",
    }.items():
        assert made[bundle]["kind"] == "ResolveError"
        assert said in made[bundle]["error"]
        assert TOKEN not in made[bundle]["error"]
    assert made["an operator's"]["images"] == {"base": "of-the-operator", "bare": "of-the-operator"}


def test_where_envman_is_installed_beside_airflow_but_not_set_up_pods_stay_as_they_are(
    estate: Estate, home: Path
) -> None:
    made = pods(estate, home, None, "bundle_x")
    assert made["bundle_x"]["images"] == {"base": "default", "proxy": "proxy"}
