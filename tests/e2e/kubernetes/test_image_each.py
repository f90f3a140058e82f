"""An image for each environment: envman's scheduler gives each pod the image of its bundle's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.helm_chart import worker_template
from tests.docs.test_helm_values import IMAGE_EACH
from tests.e2e.airflow import AirflowDeployment, another_root, publish, with_records
from tests.e2e.conftest import GRIDS, PYTHONS, Estate
from tests.e2e.kinds import envman
from tests.e2e.kubernetes.conftest import EACH, kill_scheduler, scheduling, settings, use_template
from tests.e2e.kubernetes.runs import Runs
from tests.kubernetes.cluster import Cluster, Namespace

pytestmark = pytest.mark.registry

NOBODYS = "registry.company.example/nobodys:1"


@pytest.fixture(scope="module")
def space(node: Cluster) -> Namespace:
    return Namespace(node, "image-each")


@pytest.fixture(scope="module")
def root(estate: Estate, components: AirflowDeployment) -> Path:
    """A root folder with the estate's environments, and an image for each."""
    records = [f"image\t{environment}\t{image}" for environment, image in EACH.items()]
    return another_root(estate.root, components.home / "root", *records)


@pytest.fixture(scope="module")
def variables(components: AirflowDeployment, space: Namespace, root: Path) -> dict[str, str]:
    """The scheduler's own."""
    template = use_template(components, worker_template(IMAGE_EACH))
    return {**settings(space, NOBODYS), "ENVMAN_ROOT": str(root), **template}


@pytest.fixture(scope="module")
def airflow(
    components: AirflowDeployment, space: Namespace, variables: dict[str, str]
) -> Iterator[AirflowDeployment]:
    with scheduling(components, space, *envman("launch", "scheduler"), **variables) as made:
        yield made


@pytest.fixture(scope="module")
def runs(airflow: AirflowDeployment, space: Namespace) -> Runs:
    return Runs(airflow, space).run("plain_a", "plain_b", "overridden_c", "never_there_c")


@pytest.mark.parametrize("letter", ["a", "b"])
def test_a_task_runs_in_the_image_of_its_bundles_environment(runs: Runs, letter: str) -> None:
    dag = f"plain_{letter}"
    assert runs.ends[dag] == "success"
    found = runs.value(dag, "where")
    assert (found["python"], found["grid"]) == (PYTHONS[letter], GRIDS[letter])
    images = [pod["spec"]["containers"][0]["image"] for pod in runs.pods(dag)]
    assert images == [EACH[f"env_{letter}"]] * 2


def test_a_hook_of_the_deployments_own_comes_after_envmans(runs: Runs) -> None:
    """It has moved the workload, from which envman's finds the image, into a file."""
    words = [pod["spec"]["containers"][0]["args"] for pod in runs.pods("plain_b")]
    assert [word[3] for word in words] == ["--json-path", "--json-path"]


def test_pod_override_adds_to_the_pod_and_its_image_is_overruled(runs: Runs) -> None:
    assert runs.ends["overridden_c"] == "success"
    assert runs.value("overridden_c", "overridden")[:2] == [PYTHONS["c"], "by the task"]
    assert runs.ends["never_there_c"] == "success"
    (pod,) = runs.pods("never_there_c")
    assert pod["spec"]["containers"][0]["image"] == EACH["env_c"]


def test_a_bundle_whose_environment_has_no_image_starts_no_pod(
    estate: Estate, root: Path, runs: Runs
) -> None:
    airflow, space = runs.airflow, runs.space
    left = [f"image\tenv_a\t{EACH['env_a']}", f"image\tenv_b\t{EACH['env_b']}"]
    publish(root, with_records((estate.root / ".state/table").read_text(), *left))
    before = len(space.created())
    run = airflow.trigger("overridden_c")
    assert airflow.finished("overridden_c", run) == "failed"
    assert len(space.created()) == before
    assert "environment 'env_c': has no image" in airflow.output("scheduler")


def test_a_wrong_tag_runs_nothing(estate: Estate, root: Path, runs: Runs, node: Cluster) -> None:
    airflow = runs.airflow
    wrong = {"env_a": EACH["env_b"], "env_b": EACH["env_b"], "env_c": EACH["env_c"]}
    records = [f"image\t{environment}\t{image}" for environment, image in wrong.items()]
    publish(root, with_records((estate.root / ".state/table").read_text(), *records))
    run = airflow.trigger("process_a")
    assert airflow.finished("process_a", run) == "failed"
    failed = runs.space.pods("process_a")
    assert failed
    assert all("bundle_a" in node.log(pod) for pod in failed)


def test_pods_that_no_node_takes_fail_their_tasks(
    airflow: AirflowDeployment, space: Namespace, variables: dict[str, str]
) -> None:
    """After Airflow's own limit, once more for each retry of being stuck; the last test, as its scheduler is
    another one: the limit is also how long a workload's token is valid.
    """
    kill_scheduler(airflow)
    limits = {"TASK_QUEUED_TIMEOUT": "6", "TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "1"}
    limits["NUM_STUCK_IN_QUEUED_RETRIES"] = "1"
    given = {f"AIRFLOW__SCHEDULER__{key}": value for key, value in limits.items()}
    airflow.start("scheduler", *envman("launch", "scheduler"), **variables, **given)
    run = airflow.trigger("unschedulable_c")
    why = {
        "too_large": "1 Insufficient memory",
        "unbound": "unbound immediate PersistentVolumeClaims",
    }
    seen: dict[str, str] = {}

    def all_seen() -> bool:
        for pod in space.pods("unschedulable_c"):
            assert pod["status"]["phase"] == "Pending"
            for condition in pod["status"].get("conditions", []):
                seen[pod["metadata"]["labels"]["task_id"]] = condition["message"]
        return seen.keys() == why.keys()

    airflow.wait_for("its pods", all_seen)
    assert {task for task, words in why.items() if words in seen[task]} == {*why}
    assert airflow.finished("unschedulable_c", run) == "failed"
    asked = sorted(pod["metadata"]["labels"]["task_id"] for pod in space.created("unschedulable_c"))
    assert asked == ["too_large", "too_large", "unbound", "unbound"]
    airflow.wait_for("the pods' deletion", lambda: not space.pods("unschedulable_c"))
    listed = airflow.api("GET", "/api/v2/eventLogs?dag_id=unschedulable_c&limit=100")["event_logs"]
    events = sorted(one["event"] for one in listed if one["event"].startswith("stuck in queued"))
    assert events == ["stuck in queued reschedule"] * 2 + ["stuck in queued tries exceeded"] * 2
    assert "Task requeue attempts exceeded max; marking failed" in airflow.output("scheduler")
    note = airflow.home / "notes/failure_c"
    airflow.wait_for("the callback, in the Dag processor", note.exists)
    assert note.read_text() == PYTHONS["c"]
