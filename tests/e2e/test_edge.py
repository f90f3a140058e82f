"""The Edge executor: a shared worker far from the database, whose tasks run each in its bundle's interpreter."""

from __future__ import annotations

import json
import signal

import pytest

from tests.e2e.airflow import PATIENCE, AirflowDeployment
from tests.e2e.conftest import GRIDS, PYTHONS, Deploy
from tests.e2e.kinds import ENDS, LETTERS, Kinds, envman, in_its_own

pytestmark = pytest.mark.registry

by_letter = pytest.mark.parametrize("letter", LETTERS)

QUEUES = "default,queue-that-nobody-configured-a,queue-that-nobody-configured-b"


def edge_worker(airflow: AirflowDeployment, name: str, *words: str) -> None:
    """Start a worker as one far away is: it knows no database."""
    database = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
    nowhere = {
        database: "sqlite:////nowhere/airflow.db",
        f"{database}_ASYNC": "sqlite+aiosqlite:////nowhere/a",
    }
    airflow.start(name, *envman("launch", "edge-worker", "--", "--edge-hostname", name, *words), **nowhere)


@pytest.fixture(scope="module")
def airflow(deploy: Deploy) -> AirflowDeployment:
    """A deployment whose tasks go to edge workers; it asks for new interpreters: `launch` overrules it."""
    made = deploy(
        AIRFLOW__CORE__EXECUTOR="airflow.providers.edge3.executors.EdgeExecutor",
        AIRFLOW__CORE__EXECUTE_TASKS_NEW_PYTHON_INTERPRETER="True",
        AIRFLOW__EDGE__API_ENABLED="True",
        AIRFLOW__EDGE__JOB_POLL_INTERVAL="1",
        AIRFLOW__EDGE__HEARTBEAT_INTERVAL="2",
    )
    made.environ["AIRFLOW__EDGE__API_URL"] = f"http://127.0.0.1:{made.port}/edge_worker/v1/rpcapi"
    made.migrate()  # the executor's own tables
    made.start_api_server()
    made.start("dag-processor", *envman("launch", "dag-processor"))
    made.start("scheduler", *envman("launch", "scheduler"))
    made.start("triggerer", *envman("launch", "triggerer"))
    edge_worker(made, "edge-1", "--concurrency", "4", "--queues", QUEUES)
    return made


@pytest.fixture(scope="module")
def kinds(airflow: AirflowDeployment) -> Kinds:
    """Every kind of Dag, run by one edge worker."""
    return Kinds(airflow).run()


def test_every_run_ends_as_in_stock_airflow(kinds: Kinds) -> None:
    wanted = {f"{kind}_{letter}": end for kind, end in ENDS.items() for letter in LETTERS}
    assert kinds.ends == wanted | {"produce": "success"}


@by_letter
def test_a_task_runs_in_its_bundles_interpreter(kinds: Kinds, letter: str) -> None:
    assert in_its_own(letter, kinds.value(f"plain_{letter}", "where"))
    assert kinds.value(f"deferred_{letter}", "wait")[:2] == [PYTHONS[letter], GRIDS[letter]]
    assert in_its_own(letter, kinds.note(f"task_callback_{letter}"))


@by_letter
def test_a_tasks_log_comes_from_afar(kinds: Kinds, letter: str) -> None:
    assert "to standard output" in kinds.airflow.log(
        f"plain_{letter}", kinds.runs[f"plain_{letter}"], "where"
    )


def test_a_killed_task_cleans_up_in_its_own_interpreter(kinds: Kinds) -> None:
    airflow = kinds.airflow
    run = airflow.trigger("long_a")
    started = kinds.note("started_a")
    airflow.api("PATCH", f"/api/v2/dags/long_a/dagRuns/{run}/taskInstances/wait", {"new_state": "failed"})
    assert kinds.note("on_kill_a")["pid"] == started["pid"]


@pytest.mark.parametrize("name", ["scheduler", "dag-processor", "triggerer", "edge-worker"])
def test_a_probe_finds_each_component_at_work(kinds: Kinds, name: str) -> None:
    airflow = kinds.airflow
    told = airflow.run(*envman("launch", name, "--health", "--json"))
    assert told.returncode == 0, told.stdout
    (beat,) = json.loads(told.stdout)["result"]
    assert beat["pid"] == airflow.process("edge-1" if name == "edge-worker" else name).pid
    parsed = {"bundle_a", "bundle_b", "bundle_c"} if name == "dag-processor" else set()
    assert set(beat["seconds_since_parse"]) == parsed


def test_a_worker_that_is_interrupted_ends_its_task_first(kinds: Kinds) -> None:
    """SIGINT has it drain: the task goes on to its end, and then the worker ends."""
    airflow = kinds.airflow
    run = airflow.trigger("held_b")
    assert in_its_own("b", kinds.note("held_b"))
    worker = airflow.process("edge-1")
    worker.send_signal(signal.SIGINT)
    airflow.wait_for("its word", lambda: "Request to shut down Edge Worker" in airflow.output("edge-1"))
    assert worker.poll() is None
    (airflow.home / "notes/go on").touch()
    assert airflow.stop("edge-1", signal.SIGCONT, PATIENCE) == 0
    assert airflow.finished("held_b", run) == "success"
    assert airflow.run(*envman("launch", "edge-worker", "--health")).returncode == 1
