"""Airflow itself in an image: on a Debian, from a registry, in a container without a network."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.images import machine
from tests.images.engines.conftest import Podman, Project
from tests.wheels import make_wheel

pytestmark = [pytest.mark.registry, pytest.mark.xdist_group("airflow")]

FILES = {
    "envman.toml": """\
root = "/venv"
airflow-version = "3.3.2"
airflow-environment = "env_a"

[defaults]
requires-python = "==3.11.*"
platforms = ["linux-x86_64"]

[bundles]
bundle_a = { environment = "env_a" }
bundle_b = { environment = "env_b" }
""",
    "environments/env_a.toml": 'dependencies = ["apache-airflow-core", "apache-airflow-providers-standard", "envman-images-grid<2"]\n',
    "environments/env_b.toml": 'dependencies = ["apache-airflow-core", "apache-airflow-providers-standard", "envman-images-grid>=2"]\n',
}
DAG = """\
from airflow.sdk import DAG
from envman_images_grid import __version__

with DAG(dag_id=f"grid_{__version__}"):
    pass
"""
PARSE = """\
import json, os
from airflow.dag_processing.dagbag import DagBag

bag = DagBag("/dags")
print(json.dumps([sorted(bag.dags), bag.import_errors, os.getuid()]))
"""
WORKLOAD = """\
import json, uuid
from airflow.executors.workloads import ExecuteTask
from airflow.executors.workloads.base import BundleInfo
from airflow.executors.workloads.task import TaskInstanceDTO

ti = TaskInstanceDTO(
    id=uuid.uuid4(), dag_version_id=uuid.uuid4(), dag_id="dag", task_id="task", run_id="run",
    try_number=1, pool_slots=1, priority_weight=1,
)
where = {"dag_rel_path": "dag.py", "bundle_info": BundleInfo(name="bundle_b"), "log_path": "task.log"}
print(json.dumps(ExecuteTask(ti=ti, token="a-token-that-nobody-may-read", **where).model_dump_json()))
"""
UNREACHABLE = {
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": "http://127.0.0.1:9/execution/",
    "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "1",
    "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MIN": "0.1",
    "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX": "0.1",
}


@pytest.fixture(scope="module")
def image(
    environ: dict[str, str], base: str, podman: Podman, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Both environments in one image, as it comes back from a registry."""
    folder = tmp_path_factory.mktemp("airflow")
    for version in ("1.0", "2.0"):
        make_wheel(folder / "wheels", "envman-images-grid", version)
    for path, text in {**FILES, "uv.toml": f"find-links = [{json.dumps(f'{folder}/wheels')}]\n"}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    project = Project(folder, {**environ, "UV_CACHE_DIR": ""})
    del project.environ["UV_CACHE_DIR"]  # Airflow is in the user's
    project.ok("lock")
    with machine.registry() as registry:
        tag = f"{registry}/airflow-envs:2026-11"
        project.ok("image", "build", "--all-in-one", "--base", base, "--tag", tag)
        project.ok("image", "push", tag)
        machine.run(["podman", "pull", "--quiet", "--tls-verify=false", tag], environ)
        yield tag


def in_container(
    podman: Podman, image: str, *words: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    options = [f"--env={name}={value}" for name, value in variables.items()]
    command = ["podman", "run", "--rm", "--network=none", *options, *words[: words.index("--")], image]
    command += words[words.index("--") + 1 :]
    return subprocess.run(
        command, env=podman.environ, capture_output=True, text=True, check=False, timeout=120
    )


def test_airflow_runs_without_a_network(podman: Podman, image: str) -> None:
    done = in_container(podman, image, "--", "airflow", "version")
    assert done.stdout.strip() == "3.3.2", done.stderr


@pytest.mark.parametrize(("bundle", "version"), [("bundle_a", "1.0"), ("bundle_b", "2.0")])
def test_a_bundles_dag_is_parsed_in_its_environment(
    podman: Podman, image: str, tmp_path: Path, bundle: str, version: str
) -> None:
    (tmp_path / "dag.py").write_text(DAG, encoding="utf-8")
    tmp_path.chmod(0o755)
    words = (
        f"--volume={tmp_path}:/dags:ro",
        "--",
        "envman",
        "exec",
        "--bundle",
        bundle,
        "--",
        "python",
        "-c",
        PARSE,
    )
    done = in_container(podman, image, *words)
    assert json.loads(done.stdout.splitlines()[-1]) == [[f"grid_{version}"], {}, 50000], done.stderr


def test_a_pods_workload_runs_in_its_bundles_environment(podman: Podman, image: str) -> None:
    """Airflow's own arguments; there is no API server to reach."""
    made = in_container(podman, image, "--", "python", "-c", WORKLOAD)
    workload = json.loads(made.stdout.splitlines()[-1])
    words = ("python", "-m", "airflow.sdk.execution_time.execute_workload", "--json-string", workload)
    done = in_container(podman, image, "--", *words, **UNREACHABLE)
    output = done.stdout + done.stderr
    link = in_container(podman, image, "--entrypoint=readlink", "--", "/venv/env_b").stdout.strip()
    assert "Executing workload" in output, output
    assert f"/venv/{link}/lib/" in output
    assert output.count("/venv/.gen/") == output.count(f"/venv/{link}/")
    assert done.returncode not in {0, 125, 126, 127}
    assert "a-token-that-nobody-may-read" not in output


def test_a_workload_of_an_unknown_bundle_is_refused(podman: Podman, image: str) -> None:
    made = in_container(podman, image, "--", "python", "-c", WORKLOAD.replace("bundle_b", "bundle_x"))
    workload = json.loads(made.stdout.splitlines()[-1])
    words = ("python", "-m", "airflow.sdk.execution_time.execute_workload", "--json-string", workload)
    done = in_container(podman, image, "--", *words)
    assert done.returncode == 125
    assert "bundle 'bundle_x': no such bundle" in done.stderr


def test_every_file_has_its_bytecode(podman: Podman, image: str) -> None:
    """Compiled for the image's interpreter, and not stale by the time that its files have."""
    code = (
        "import importlib.util, pathlib, sys, sysconfig\n"
        "folder = pathlib.Path(sysconfig.get_path('purelib'))\n"
        "found = [path for path in folder.rglob('*.py') if path.parent.name.isidentifier()]\n"
        "missing = [p for p in found if not pathlib.Path(importlib.util.cache_from_source(str(p))).exists()]\n"
        "flags = {pathlib.Path(importlib.util.cache_from_source(str(p))).read_bytes()[4] for p in found[:500]}\n"
        "print(len(found), len(missing), flags)"
    )
    done = in_container(podman, image, "--", "python", "-c", code)
    files, missing, flags = done.stdout.split(" ", 2)
    assert int(files) > 3000
    assert int(missing) < 10  # templates and tests of others' that don't compile
    assert flags.strip() == "{1}"  # PEP 552: hash-based, unchecked
