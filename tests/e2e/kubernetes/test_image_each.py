"""An image for each environment: envman's scheduler gives each pod the image of its bundle's."""

from __future__ import annotations

import pytest

from tests.docs.helm_chart import worker_template
from tests.docs.test_helm_values import IMAGE_EACH
from tests.e2e.airflow import AirflowDeployment, another_root, publish, with_records
from tests.e2e.conftest import GRIDS, PYTHONS, Deploy, Estate
from tests.e2e.kinds import envman
from tests.e2e.kubernetes.conftest import (
    EACH,
    bundles,
    move_workloads,
    settings,
    start_all,
    use_template,
)
from tests.e2e.kubernetes.runs import Runs
from tests.kubernetes.cluster import Cluster

pytestmark = pytest.mark.registry

NOBODYS = "registry.company.example/nobodys:1"


@pytest.fixture(scope="module")
def airflow(estate: Estate, node: Cluster, deploy: Deploy) -> AirflowDeployment:
    made = deploy(bundles(estate), **settings(node, NOBODYS))
    records = [f"image\t{environment}\t{image}" for environment, image in EACH.items()]
    made.environ["ENVMAN_ROOT"] = str(another_root(estate.root, made.home / "root", *records))
    move_workloads(made)
    use_template(made, worker_template(IMAGE_EACH))
    start_all(made, *envman("launch", "scheduler"))
    return made


@pytest.fixture(scope="module")
def runs(airflow: AirflowDeployment) -> Runs:
    return Runs(airflow).run("plain_a", "plain_b", "overridden_c", "never_there_c")


@pytest.mark.parametrize("letter", ["a", "b"])
def test_a_task_runs_in_the_image_of_its_bundles_environment(runs: Runs, node: Cluster, letter: str) -> None:
    dag = f"plain_{letter}"
    assert runs.ends[dag] == "success"
    found = runs.value(dag, "where")
    assert (found["python"], found["grid"]) == (PYTHONS[letter], GRIDS[letter])
    images = [pod["spec"]["containers"][0]["image"] for pod in runs.pods(node, dag)]
    assert images == [EACH[f"env_{letter}"]] * 2


def test_a_hook_of_the_deployments_own_comes_after_envmans(runs: Runs, node: Cluster) -> None:
    """It has moved the workload, from which envman's finds the image, into a file."""
    words = [pod["spec"]["containers"][0]["args"] for pod in runs.pods(node, "plain_b")]
    assert [word[3] for word in words] == ["--json-path", "--json-path"]


def test_pod_override_adds_to_the_pod_and_its_image_is_overruled(runs: Runs, node: Cluster) -> None:
    assert runs.ends["overridden_c"] == "success"
    assert runs.value("overridden_c", "overridden")[:2] == [PYTHONS["c"], "by the task"]
    assert runs.ends["never_there_c"] == "success"
    (pod,) = runs.pods(node, "never_there_c")
    assert pod["spec"]["containers"][0]["image"] == EACH["env_c"]


def test_a_bundle_whose_environment_has_no_image_starts_no_pod(
    estate: Estate, runs: Runs, node: Cluster
) -> None:
    airflow = runs.airflow
    left = [f"image\tenv_a\t{EACH['env_a']}", f"image\tenv_b\t{EACH['env_b']}"]
    publish(airflow.home / "root", with_records((estate.root / ".state/table").read_text(), *left))
    before = len(node.created())
    run = airflow.trigger("overridden_c")
    assert airflow.finished("overridden_c", run) == "failed"
    assert len(node.created()) == before
    assert "environment 'env_c': has no image" in airflow.output("scheduler")


def test_a_wrong_tag_runs_nothing(estate: Estate, runs: Runs, node: Cluster) -> None:
    airflow = runs.airflow
    wrong = {"env_a": EACH["env_b"], "env_b": EACH["env_b"], "env_c": EACH["env_c"]}
    records = [f"image\t{environment}\t{image}" for environment, image in wrong.items()]
    publish(airflow.home / "root", with_records((estate.root / ".state/table").read_text(), *records))
    run = airflow.trigger("process_a")
    assert airflow.finished("process_a", run) == "failed"
    failed = [pod for pod in node.pods() if pod["metadata"]["annotations"]["dag_id"] == "process_a"]
    assert failed
    assert all("bundle_a" in node.log(pod) for pod in failed)
