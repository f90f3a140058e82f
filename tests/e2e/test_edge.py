"""The Edge executor: a shared worker far from the database, whose tasks run each in its bundle's interpreter."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.airflow import PATIENCE, AirflowDeployment
from tests.e2e.conftest import GRIDS, PYTHONS, Deploy
from tests.e2e.kinds import ENDS, LETTERS, Kinds, envman, in_its_own
from tests.waiting import until

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
        AIRFLOW__EDGE__API_RETRIES="100",
        AIRFLOW__EDGE__API_RETRY_WAIT_MAX="3",
        AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS="30",
        AIRFLOW__API_AUTH__JWT_LEEWAY="300",  # a request that waits longer for a busy server ends the worker
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
def parsed(airflow: AirflowDeployment) -> Kinds:
    """The Dags of every kind, of which none has run."""
    airflow.wait_for("the Dags", lambda: {"held_a", "held_b"} <= airflow.dag_ids())
    return Kinds(airflow)


@pytest.fixture(scope="module")
def kinds(parsed: Kinds) -> Kinds:
    """Every kind of Dag, run by one edge worker."""
    return parsed.run()


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


def test_a_worker_that_is_interrupted_ends_its_task_first(parsed: Kinds) -> None:
    """SIGINT has it drain: the task goes on to its end, and then the worker ends."""
    airflow = parsed.airflow
    run = airflow.trigger("held_b")
    assert in_its_own("b", parsed.note("held_b"))
    worker = airflow.process("edge-1")
    worker.send_signal(signal.SIGINT)
    airflow.wait_for("its word", lambda: "Request to shut down Edge Worker" in airflow.output("edge-1"))
    assert worker.poll() is None
    (airflow.home / "notes/go on").touch()
    assert airflow.stop("edge-1", signal.SIGCONT, PATIENCE) == 0
    assert airflow.finished("held_b", run) == "success"
    assert airflow.run(*envman("launch", "edge-worker", "--health")).returncode == 1


@pytest.fixture
def held(parsed: Kinds) -> list[tuple[str, str]]:
    """Three runs whose tasks go on until they are told, on a new worker that runs two tasks at a time."""
    airflow = parsed.airflow
    (airflow.home / "notes/go on").unlink(missing_ok=True)
    edge_worker(airflow, "edge-2", "--concurrency", "2", "--queues", QUEUES)
    runs = [(dag, airflow.trigger(dag)) for dag in ("held_a", "held_b", "held_a")]
    airflow.wait_for("two tasks", lambda: len(tasks_of(airflow)) == 2)
    airflow.wait_for("its word", lambda: "2 jobs are running" in airflow.output("edge-2"))
    return runs


def tasks_of(airflow: AirflowDeployment) -> list[int]:
    """The processes of tasks that run, by the title that Airflow gives them."""
    return sorted(airflow.children("airflow worker -- "))


def test_a_worker_whose_server_is_away_keeps_its_tasks_and_its_limit(
    parsed: Kinds, held: list[tuple[str, str]]
) -> None:
    airflow = parsed.airflow
    running = tasks_of(airflow)
    states = [airflow.tasks(dag, run)["until_told"]["state"] for dag, run in held]
    assert sorted(states) == ["queued", "running", "running"]
    said = len(airflow.output("edge-2"))
    airflow.stop("api-server")
    words = "Failed to send heartbeat"  # of a task's supervisor
    airflow.wait_for("what is said of it", lambda: words in airflow.output("edge-2")[said:])
    assert tasks_of(airflow) == running
    airflow.start_api_server()
    (airflow.home / "notes/go on").touch()
    assert [airflow.finished(dag, run) for dag, run in held] == ["success"] * 3
    assert {airflow.tasks(dag, run)["until_told"]["try_number"] for dag, run in held} == {1}
    assert airflow.stop("edge-2", signal.SIGINT, PATIENCE) == 0


def test_tasks_of_a_worker_that_is_killed_end_with_their_supervisors(
    parsed: Kinds, held: list[tuple[str, str]]
) -> None:
    """As in stock Airflow a task outlives the worker, below its supervisor. No task outlives that."""
    airflow = parsed.airflow
    one, other = airflow.forks("edge-2", "airflow supervisor: ")
    airflow.stop("edge-2", signal.SIGKILL)
    assert len(tasks_of(airflow)) == 2
    os.kill(one, signal.SIGKILL)
    until(lambda: len(tasks_of(airflow)) == 1, "the task runs on without its supervisor")
    edge_worker(airflow, "edge-3", "--concurrency", "2", "--queues", QUEUES)
    airflow.wait_for("the third task", lambda: len(tasks_of(airflow)) == 2)
    (airflow.home / "notes/go on").touch()
    wanted = {"success": 2, "running": 1}  # until Airflow misses its heartbeats
    airflow.wait_for("the ends", lambda: Counter(airflow.state(dag, run) for dag, run in held) == wanted)
    assert tasks_of(airflow) == []
    until(lambda: not Path(f"/proc/{other}").exists(), "the supervisor stays")
