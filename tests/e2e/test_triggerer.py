"""The shared triggerer: runners that crash, block or are replaced, unvetted triggers, callbacks and assets."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from envman.resolver.table import with_first_line
from tests.e2e.added_bundles import GitBundle, deadlines
from tests.e2e.airflow import AirflowDeployment, publish, with_records
from tests.e2e.conftest import BOTH_WAYS, GRIDS, PYTHONS, Deploy, Estate
from tests.e2e.kinds import envman

pytestmark = pytest.mark.registry

WAYS = BOTH_WAYS if os.environ.get("ENVMAN_E2E_ALL") else ["warm"]

OWN_TRIGGER = """
import asyncio, os
from pathlib import Path

from airflow.triggers.base import BaseTrigger, TriggerEvent

WHOSE = "{whose}"
NOTES = Path(os.environ["E2E_NOTES"])


class Own(BaseTrigger):
    def serialize(self):
        return ("own_trigger.Own", {{}})

    async def run(self):
        (NOTES / f"own_{{WHOSE}}").write_text(str(os.getpid()))
        await asyncio.sleep(4)  # Airflow fails a task that runs on before its scheduler saw that it was deferred
        while WHOSE == "first" and not (NOTES / "own go on").exists():
            await asyncio.sleep(0.1)
        yield TriggerEvent([WHOSE, os.getpid()])
"""
OWN_DAG = """
# {whose}
from airflow.sdk import DAG, BaseOperator
from own_trigger import WHOSE, Own


class Deferring(BaseOperator):
    def execute(self, context):
        self.defer(trigger=Own(), method_name="resumed")

    def resumed(self, context, event=None):
        return event


with DAG("own_{letter}", schedule=None, tags=[WHOSE]):
    Deferring(task_id="wait")
"""
"""A trigger of the bundle's own, in a module whose name another bundle has, too."""


def version(whose: str) -> dict[str, str]:
    """The files of a version of bundle_d, with a trigger that says whose it is."""
    return {
        "own.py": OWN_DAG.format(letter="d", whose=whose),
        "own_trigger.py": OWN_TRIGGER.format(whose=whose),
    }


@pytest.fixture(scope="module")
def repository(estate: Estate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitBundle]:
    """The bundle that is published for this module, and a local one that has a module of the same name."""
    text = (estate.root / ".state/table").read_text()
    publish(estate.root, with_records(text, "bundle\tbundle_d\tenv_c\t"))
    local = estate.folder / "bundles/bundle_c"
    (local / "own.py").write_text(OWN_DAG.format(letter="c", whose="local"))
    (local / "own_trigger.py").write_text(OWN_TRIGGER.format(whose="local"))
    made = GitBundle(tmp_path_factory.mktemp("git") / "repository", version)
    made.commit("first")
    yield made
    for name in ("own.py", "own_trigger.py"):
        (local / name).unlink()
    publish(estate.root, text)


def runner_of(airflow: AirflowDeployment, bundle: str) -> int:
    """The process that runs a bundle's triggers."""
    found = airflow.workloads(f"triggers {bundle}")
    assert len(found) == 1, found
    return found[0]


@pytest.fixture(scope="module")
def airflow(estate: Estate, deploy: Deploy, repository: GitBundle) -> Iterator[AirflowDeployment]:
    made = deploy(
        [*estate.bundle_list(), repository.entry()],
        AIRFLOW__TRIGGERER__RUNNER_HEALTH_CHECK_THRESHOLD="12",
        AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC="2",
    )
    made.start_api_server()
    with deadlines(estate, "async"):
        made.start("dag-processor", *envman("launch", "dag-processor"))
        made.start("scheduler", *envman("launch", "scheduler"))
        made.start("triggerer", *envman("launch", "triggerer"))
        made.wait_for(
            "all Dags",
            lambda: {"async_b", "async_a", "crashing_b", "crashing_a", "own_c", "own_d"} <= made.dag_ids(),
        )
        yield made


def test_a_runner_that_crashes_is_started_again_and_the_others_do_not_notice(
    airflow: AirflowDeployment,
) -> None:
    other = airflow.trigger("deferred_b")
    run = airflow.trigger("crashing_a")
    assert airflow.finished("deferred_b", other) == "success"
    bystander = runner_of(airflow, "bundle_b")
    assert airflow.finished("crashing_a", run) == "success"
    python, grid, pid = airflow.xcom("crashing_a", run, "wait")
    assert (python, grid) == (PYTHONS["a"], GRIDS["a"])
    assert pid == runner_of(airflow, "bundle_a")
    assert runner_of(airflow, "bundle_b") == bystander
    assert "Trigger runner exited with 9; starting it again" in airflow.output("triggerer")


def test_a_trigger_that_ends_every_runner_is_failed_and_its_neighbour_goes_on(
    airflow: AirflowDeployment,
) -> None:
    run = airflow.trigger("deadly_a")
    other = airflow.trigger("deferred_a")
    assert airflow.finished("deadly_a", run) == "failed"
    assert airflow.finished("deferred_a", other) == "success"
    told = "This trigger has ended its runner again and again; the last one exited with 9."
    assert told in airflow.output("triggerer")
    assert told in airflow.log("deadly_a", run, "wait")


def test_a_runner_that_blocks_is_ended_and_the_others_do_not_wait(airflow: AirflowDeployment) -> None:
    run = airflow.trigger("blocking_a")
    mark = airflow.home / "notes/trigger_block_envman_e2e_a"
    airflow.wait_for("the trigger to block", mark.exists)
    other = airflow.trigger("deferred_b")
    assert airflow.finished("deferred_b", other) == "success"
    assert airflow.state("blocking_a", run) == "running"
    assert airflow.finished("blocking_a", run) == "success"
    assert "Trigger runner does not answer" in airflow.output("triggerer")


def test_a_runner_that_is_killed_is_started_again(airflow: AirflowDeployment) -> None:
    first = airflow.trigger("deferred_b")
    airflow.finished("deferred_b", first)
    os.kill(runner_of(airflow, "bundle_b"), signal.SIGKILL)
    second = airflow.trigger("deferred_b")
    assert airflow.finished("deferred_b", second) == "success"


def test_a_new_generation_leaves_a_trigger_where_it_is_and_kills_nothing(
    estate: Estate, airflow: AirflowDeployment
) -> None:
    """The job that its trigger waits for runs on: `on_kill` would end it."""
    notes = airflow.home / "notes"
    run = airflow.trigger("kept_a")
    airflow.wait_for("the trigger", (notes / "trigger_wait for a note_envman_e2e_a").exists)
    old = runner_of(airflow, "bundle_a")
    link = estate.root / "env_a"
    generation = link.readlink()
    other = estate.root / ".gen/another00000"
    other.symlink_to(generation.name)
    try:
        switch(link, Path(".gen") / other.name)
        second = airflow.trigger("deferred_a")
        assert airflow.finished("deferred_a", second) == "success"
        assert airflow.xcom("deferred_a", second, "wait")[2] != old
        assert airflow.state("kept_a", run) == "running"
        (notes / "go on").touch()
        assert airflow.finished("kept_a", run) == "success"
        assert airflow.xcom("kept_a", run, "wait")[2] == old
        assert not (notes / "trigger_on_kill_envman_e2e_a").exists()
    finally:
        switch(link, generation)
        airflow.wait_for("one runner", lambda: len(airflow.workloads("triggers bundle_a")) < 2)
        other.unlink()


def test_a_trigger_whose_task_is_failed_is_killed(airflow: AirflowDeployment) -> None:
    notes = airflow.home / "notes"
    (notes / "go on").unlink(missing_ok=True)
    (notes / "trigger_wait for a note_envman_e2e_b").unlink(missing_ok=True)
    run = airflow.trigger("kept_b")
    airflow.wait_for("the trigger", (notes / "trigger_wait for a note_envman_e2e_b").exists)
    path = f"/api/v2/dags/kept_b/dagRuns/{run}/taskInstances/wait"
    airflow.api("PATCH", path, {"new_state": "failed"})
    airflow.wait_for("on_kill", (notes / "trigger_on_kill_envman_e2e_b").exists)


def switch(link: Path, target: Path) -> None:
    """Point an environment to another generation, as a build does."""
    new = link.with_name("new")
    new.symlink_to(target)
    new.replace(link)


def test_triggers_import_the_modules_of_their_bundle_in_the_version_of_their_run(
    airflow: AirflowDeployment, repository: GitBundle
) -> None:
    """Two bundles of one environment, and two versions of one of them, have modules of one name."""
    notes = airflow.home / "notes"
    first = airflow.trigger("own_d")
    airflow.wait_for("the first version's trigger", (notes / "own_first").exists)
    repository.commit("second")
    airflow.wait_for(
        "the second version", lambda: airflow.api("GET", "/api/v2/dags/own_d")["tags"][0]["name"] == "second"
    )
    second, local = airflow.trigger("own_d"), airflow.trigger("own_c")
    assert airflow.finished("own_d", second) == airflow.finished("own_c", local) == "success"
    os.kill(int((notes / "own_first").read_text()), signal.SIGKILL)  # what comes back has the first's again
    (notes / "own go on").touch()
    assert airflow.finished("own_d", first) == "success"
    events = [airflow.xcom("own_d", first, "wait"), airflow.xcom("own_d", second, "wait")]
    events.append(airflow.xcom("own_c", local, "wait"))
    assert [whose for whose, _ in events] == ["first", "second", "local"]
    assert len({pid for _, pid in events}) == 3


@pytest.mark.parametrize("letter", ["a", "b"])
def test_a_deadlines_callback_runs_in_the_bundles_interpreter(
    airflow: AirflowDeployment, letter: str
) -> None:
    """The asynchronous one, in the triggerer; the other runs below the executor: test_executors.py."""
    airflow.trigger(f"async_{letter}")
    path = airflow.home / f"notes/alert_async_{letter}"
    airflow.wait_for("the alert", path.exists)
    assert json.loads(path.read_text())["python"] == PYTHONS[letter]


def test_a_trigger_class_that_is_not_allowed_fails_its_task_and_says_so(
    estate: Estate, airflow: AirflowDeployment
) -> None:
    text = (estate.root / ".state/table").read_text()
    try:
        publish(estate.root, with_records(text, "trigger\tairflow.providers.*\t-"))
        run = airflow.trigger("deferred_a")
        assert airflow.finished("deferred_a", run) == "failed"
    finally:
        publish(estate.root, text)
    log = airflow.log("deferred_a", run, "wait")
    assert (
        "The trigger class envman_e2e_a.Waiting is not allowed in this deployment: airflow.providers.*" in log
    )


def test_a_bundle_that_loses_its_environment_fails_its_tasks_and_their_log_says_so(
    estate: Estate, airflow: AirflowDeployment
) -> None:
    text = (estate.root / ".state/table").read_text()
    try:
        records = text.partition("\n")[2].replace("team\tteam_b\tenv_b", "team\tteam_b\tgone")
        publish(estate.root, with_first_line(records))
        run = airflow.trigger("retried_b")
        assert airflow.finished("retried_b", run) == "failed"
    finally:
        publish(estate.root, text)
    assert "environment 'gone'" in airflow.log("retried_b", run, "second_time")


def test_all_runners_end_with_the_triggerer(airflow: AirflowDeployment) -> None:
    for letter in ("a", "b"):  # those of earlier tests may have ended, as nobody needed them
        airflow.trigger(f"deferred_{letter}")
    names = ("bundle_a", "bundle_b")
    airflow.wait_for("the runners", lambda: all(airflow.workloads(f"triggers {name}") for name in names))
    mine = [runner_of(airflow, name) for name in names]
    assert airflow.stop("triggerer", signal.SIGTERM) == 0
    assert not [pid for pid in mine if Path(f"/proc/{pid}").exists()]
    airflow.start(
        "triggerer", *envman("launch", "triggerer")
    )  # pytest may have further tests behind this one
