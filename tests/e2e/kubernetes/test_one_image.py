"""One image with all environments: its entrypoint finds the bundle's, and the scheduler is Airflow's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.docs.helm_chart import PASSWORD, worker_template
from tests.docs.test_helm_values import ONE_IMAGE
from tests.e2e.airflow import AirflowDeployment
from tests.e2e.conftest import GRIDS, PYTHONS
from tests.e2e.kubernetes.conftest import kill_scheduler, scheduling, use_template
from tests.e2e.kubernetes.runs import Runs
from tests.kubernetes.cluster import Namespace

pytestmark = pytest.mark.registry

GRACE = 5
"""Seconds between a pod's SIGTERM and SIGKILL: Airflow's tasks clean up at the first, and go on."""

STARTED = ["plain_a", "plain_b", "retried_b", "timed_out_a", "killed_b", "deferred_a", "overridden_c"]


@pytest.fixture(scope="module")
def variables(components: AirflowDeployment) -> dict[str, str]:
    """The scheduler's own."""
    template = worker_template(ONE_IMAGE)
    template["spec"]["terminationGracePeriodSeconds"] = GRACE
    return use_template(components, template)


@pytest.fixture(scope="module")
def airflow(
    components: AirflowDeployment, one_image_space: Namespace, variables: dict[str, str]
) -> Iterator[AirflowDeployment]:
    words = (f"{components.stock}/airflow", "scheduler")
    with scheduling(components, one_image_space, *words, **variables) as made:
        yield made


@pytest.fixture(scope="module")
def runs(airflow: AirflowDeployment, one_image_space: Namespace) -> Runs:
    """Dags of three bundles, at once."""
    return Runs(airflow, one_image_space).run(*STARTED)


@pytest.mark.parametrize("letter", ["a", "b"])
def test_a_task_runs_in_its_bundles_interpreter(runs: Runs, letter: str) -> None:
    dag = f"plain_{letter}"
    assert runs.ends[dag] == "success"
    found = runs.value(dag, "where")
    assert (found["python"], found["grid"]) == (PYTHONS[letter], GRIDS[letter])
    assert found["prefix"].startswith("/venv/.gen/")
    assert runs.value(dag, "same") == ["of everybody", "there", "a-pass-word"]


def test_a_workload_may_stand_in_a_file(runs: Runs) -> None:
    """As a hook of the deployment's own made it: `plain_b` ended well, and its pods had no workload in their words."""
    words = [one["spec"]["containers"][0]["args"] for one in runs.pods("plain_b")]
    assert [word[3] for word in words] == ["--json-path", "--json-path"]


def test_a_pods_log_reaches_airflow(runs: Runs) -> None:
    log = runs.log("plain_a", "where")
    assert "to standard output" in log
    assert "to standard error" in log


def test_what_a_task_says_of_its_pod_holds(runs: Runs) -> None:
    assert runs.ends["overridden_c"] == "success"
    python, said, prefix, _ = runs.value("overridden_c", "overridden")
    assert (python, said) == (PYTHONS["c"], "by the task")
    assert prefix.startswith("/venv/.gen/")
    assert runs.note("success_c") == PYTHONS["c"]
    (asked,) = runs.pods("overridden_c")
    assert asked["metadata"]["labels"]["team"] == "c"
    assert asked["metadata"]["annotations"]["asked-by"] == "the task"


def test_a_task_does_not_get_the_database_that_the_template_names(runs: Runs) -> None:
    """Helm's template has it, in a variable; the entrypoint keeps it from the bundle's code."""
    (pod,) = runs.pods("overridden_c")
    assert any(PASSWORD in one.get("value", "") for one in pod["spec"]["containers"][0]["env"])
    assert runs.value("overridden_c", "overridden")[3] is False


def test_a_failed_task_is_tried_again_in_another_pod(runs: Runs) -> None:
    assert runs.ends["retried_b"] == "success"
    assert runs.value("retried_b", "second_time") == PYTHONS["b"]
    tries = [one["metadata"]["labels"]["try_number"] for one in runs.pods("retried_b")]
    assert tries == ["1", "2"]


def test_callbacks_run_in_the_bundles_interpreter(runs: Runs) -> None:
    assert runs.ends["timed_out_a"] == "failed"
    for name in ("task_callback_a", "dag_callback_a"):  # in the pod, and in the Dag processor
        assert f'"python": "{PYTHONS["a"]}"' in runs.note(name)


def test_a_task_that_kills_itself_fails(runs: Runs) -> None:
    assert runs.ends["killed_b"] == "failed"
    assert "about to be killed" in runs.log("killed_b", "kill_itself")


def test_a_deferred_task_goes_on_in_a_pod(runs: Runs) -> None:
    assert runs.ends["deferred_a"] == "success"
    assert runs.value("deferred_a", "wait")[:2] == [PYTHONS["a"], GRIDS["a"]]
    assert len(runs.pods("deferred_a")) == 2


def test_pods_that_are_done_are_deleted(runs: Runs) -> None:
    def left() -> list[str]:
        done = [pod for pod in runs.space.pods() if pod["status"]["phase"] == "Succeeded"]
        return [pod["metadata"]["name"] for pod in done]

    runs.airflow.wait_for("their deletion", lambda: not left())


def test_a_pod_whose_image_is_not_there_fails_its_task(
    airflow: AirflowDeployment, one_image_space: Namespace
) -> None:
    run = airflow.trigger("never_there_c")
    assert airflow.finished("never_there_c", run) == "failed"
    asked = one_image_space.created("never_there_c")
    assert {one["spec"]["containers"][0]["image"] for one in asked} == {
        "registry.company.example/never-pushed:1"
    }
    assert "ErrImagePull" in airflow.output("scheduler")


def running_pod(space: Namespace, dag: str) -> dict[str, Any]:
    """A Dag's pod that runs and that nobody has deleted; empty where there is none."""
    for pod in space.pods(dag):
        if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]:
            return pod
    return {}


def test_the_task_of_a_deleted_pod_cleans_up(airflow: AirflowDeployment, one_image_space: Namespace) -> None:
    space = one_image_space
    run = airflow.trigger("long_a")
    airflow.wait_for("its start", (airflow.home / "notes/started_a").exists)
    space.delete(airflow.wait_for("its pod", lambda: running_pod(space, "long_a"))["metadata"]["name"])
    airflow.wait_for("its end", (airflow.home / "notes/on_kill_a").exists)
    assert airflow.finished("long_a", run) == "failed"


def test_deleted_pods_adopted_pods_and_forgotten_history(
    airflow: AirflowDeployment, one_image_space: Namespace, variables: dict[str, str]
) -> None:
    """A pod is deleted under its task; the next try's scheduler is killed, and another one takes the pod over."""
    space = one_image_space
    held = airflow.home / "notes/held_c"
    run = airflow.trigger("held_c")
    airflow.wait_for("the first try", lambda: held.exists() and running_pod(space, "held_c"))
    first = running_pod(space, "held_c")["metadata"]
    log = airflow.wait_for(
        "its log, from the pod",
        lambda: (told := airflow.log("held_c", run, "until_told")) and "kube API" in told and told,
    )
    assert "the pod holds on" in log
    held.unlink()
    space.delete(first["name"])
    airflow.wait_for("the second try", lambda: held.exists() and running_pod(space, "held_c"))
    second = running_pod(space, "held_c")["metadata"]
    assert (first["labels"]["try_number"], second["labels"]["try_number"]) == ("1", "2")
    kill_scheduler(airflow)
    space.cluster.forget_history()
    airflow.start("scheduler", f"{airflow.stock}/airflow", "scheduler", **variables)

    def owner() -> str:
        return str(running_pod(space, "held_c")["metadata"]["labels"]["airflow-worker"])

    airflow.wait_for("the adoption", lambda: owner() != second["labels"]["airflow-worker"])
    space.cluster.forget_history()  # the new scheduler's watch has to begin again, too
    (airflow.home / "notes/go on").touch()
    assert airflow.finished("held_c", run) == "success"
    assert airflow.xcom("held_c", run, "until_told") == PYTHONS["c"]
    assert not (airflow.home / "notes/failure_c").exists()
    airflow.wait_for(
        "its deletion", lambda: second["name"] not in {pod["metadata"]["name"] for pod in space.pods()}
    )
