"""Shared components with LocalExecutor, and with a Celery worker on Redis: Dags of every kind do the same in both."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.added_bundles import GitBundle, deadlines
from tests.e2e.airflow import AirflowDeployment, publish, with_records
from tests.e2e.conftest import BOTH_WAYS, GRIDS, MINOR, PYTHONS, Deploy, Estate
from tests.e2e.kinds import ENDS, LETTERS, Kinds, envman, in_its_own
from tests.e2e.services import redis

pytestmark = pytest.mark.registry

CELERY = "celery"
WAYS = [*(BOTH_WAYS if os.environ.get("ENVMAN_E2E_ALL") else ["warm"]), CELERY]
"""LocalExecutor with fork servers (and without, where all is asked for), and a Celery worker with them."""

by_letter = pytest.mark.parametrize("letter", LETTERS)

QUEUES = "default,queue-that-nobody-configured-a,queue-that-nobody-configured-b"

VERSIONED = """
# {whose}
import os, time
from pathlib import Path

from airflow.sdk import DAG, task

NOTES = Path(os.environ["E2E_NOTES"])

with DAG("versioned", schedule=None, tags=["{whose}"]):

    @task
    def whose():
        (NOTES / "versioned_{whose}").touch()
        while "{whose}" == "first" and not (NOTES / "go on versioned").exists():
            time.sleep(0.1)
        import a_module_of_the_bundle

        return a_module_of_the_bundle.WHOSE

    whose()
"""


def version(whose: str) -> dict[str, str]:
    """The files of a version of the bundle in a repository."""
    return {
        "versioned.py": VERSIONED.format(whose=whose),
        "a_module_of_the_bundle.py": f"WHOSE = {whose!r}\n",
    }


@pytest.fixture(scope="module")
def repository(estate: Estate, way: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitBundle]:
    """A bundle in a repository, in the environment of bundle_c, that is published for this module."""
    text = (estate.root / ".state/table").read_text()
    publish(estate.root, with_records(text, "bundle\tbundle_d\tenv_c\t"))
    made = GitBundle(tmp_path_factory.mktemp("git") / "repository", version)
    made.commit("first")
    yield made
    publish(estate.root, text)


@pytest.fixture(scope="module")
def kinds(estate: Estate, deploy: Deploy, repository: GitBundle, way: str) -> Iterator[Kinds]:
    """The deployment with every kind of Dag run once, in both bundles.

    It asks for processes that begin anew, which would begin without the hooks: `launch` overrules it.
    """
    with ExitStack() as stack:
        stack.enter_context(deadlines(estate, "sync"))
        bundles = [*estate.bundle_list(), repository.entry()]
        airflow = deploy(bundles, AIRFLOW__SCHEDULER__MP_START_METHOD="spawn")
        if way == CELERY:
            airflow.environ |= {
                "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
                "AIRFLOW__CELERY__BROKER_URL": stack.enter_context(redis()),
                "AIRFLOW__CELERY__WORKER_CONCURRENCY": "3",
            }
        put_another_python_first(airflow)
        airflow.start_api_server()
        airflow.start("dag-processor", *envman("launch", "dag-processor"))
        airflow.start("scheduler", *with_another_user(airflow), *envman("launch", "scheduler"))
        if way == CELERY:
            worker = envman("launch", "worker", "--", "--queues", QUEUES)
            airflow.start("worker", *with_another_user(airflow), *worker)
        airflow.start("triggerer", *envman("launch", "triggerer"))
        yield Kinds(airflow).run()
        airflow.stop_all()


def with_another_user(airflow: AirflowDeployment) -> list[str]:
    """The words that start a command on a machine that has the user of `run_as_user`.

    It is a second name of this user's, since another could not read interpreters below a home folder.
    """
    known = Path("/etc/passwd").read_text()
    passwd = airflow.home / "passwd"
    passwd.write_text(known + f"e2e-runner:x:{os.getuid()}:{os.getgid()}::{airflow.home}:/bin/sh\n")
    script = 'mount --bind "$0" /etc/passwd && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, str(passwd)]


def runs_tasks(way: str) -> str:
    """The component whose supervisors run the tasks."""
    return "worker" if way == CELERY else "scheduler"


def put_another_python_first(airflow: AirflowDeployment) -> None:
    """Have the components' user as users are: bash would find another Python before its own."""
    wrong = airflow.home / "wrong/python"
    wrong.parent.mkdir()
    wrong.write_text("#!/bin/sh\necho wrong\n")
    wrong.chmod(0o755)
    (airflow.home / ".bashrc").write_text(f"PATH={wrong.parent}:$PATH\n")
    airflow.environ["HOME"] = str(airflow.home)


def test_every_run_ends_as_in_stock_airflow(kinds: Kinds) -> None:
    wanted = {f"{kind}_{letter}": end for kind, end in ENDS.items() for letter in LETTERS}
    assert kinds.ends == wanted | {"produce": "success"}


def test_the_components_say_at_their_start_which_bundle_goes_where(kinds: Kinds, way: str) -> None:
    for component in ("dag-processor", "triggerer", *{"scheduler", runs_tasks(way)}):
        said = kinds.airflow.output(component)
        for name, environment in (("bundle_a", "env_a"), ("bundle_b", "env_b"), ("bundle_c", "env_c")):
            assert f"{name}  {environment}  " in said
        assert f"CPython {PYTHONS['a']}" in said


@by_letter
def test_a_task_runs_in_its_bundles_interpreter_and_hands_its_xcom_on(kinds: Kinds, letter: str) -> None:
    assert in_its_own(letter, kinds.value(f"plain_{letter}", "where"))
    assert kinds.value(f"plain_{letter}", "same", "named") == {"nested": [1, 2.5, None]}


@by_letter
def test_a_tasks_process_looks_like_one_of_the_component(kinds: Kinds, letter: str, way: str) -> None:
    prefix = kinds.value(f"plain_{letter}", "where")["prefix"]
    assert kinds.value(f"process_{letter}", "bash") == prefix
    command = f"{prefix}/bin/airflow"
    looks = kinds.value(f"process_{letter}", "looks")
    words = ["celery", "worker", "--queues", QUEUES] if way == CELERY else ["scheduler"]
    assert looks == {"argv": [command, *words], "main": command, "quit": "show_stacks"}


@by_letter
def test_variables_and_connections_are_there(kinds: Kinds, letter: str) -> None:
    assert kinds.value(f"plain_{letter}", "same")[:2] == ["of everybody", "there"]
    assert kinds.airflow.api("GET", f"/api/v2/variables/written_by_{letter}")["value"] == letter


@by_letter
def test_a_tasks_log_has_its_output(kinds: Kinds, letter: str) -> None:
    log = kinds.airflow.log(f"plain_{letter}", kinds.runs[f"plain_{letter}"], "where")
    assert "to standard output" in log
    assert "to standard error" in log
    assert "a-pass-word" not in kinds.airflow.log(f"plain_{letter}", kinds.runs[f"plain_{letter}"], "same")


def first_line(airflow: AirflowDeployment, dag: str, run: str) -> dict[str, str]:
    """The first line of the log of its task `where`, behind the log's sources."""
    path = f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/where/logs/1?full_content=true"
    lines = airflow.api("GET", path)["content"]
    return dict(lines[[line["event"] for line in lines].index("::endgroup::") + 1])


@by_letter
def test_a_tasks_log_says_first_in_what_it_runs(kinds: Kinds, estate: Estate, letter: str, way: str) -> None:
    airflow, dag = kinds.airflow, f"plain_{letter}"
    first = first_line(airflow, dag, kinds.runs[dag])
    manifest = json.loads((estate.root / f"env_{letter}" / "envman.json").read_text())
    assert first["event"] == f"Runs in the environment env_{letter}"
    said = {key: first[key] for key in ("bundle", "generation", "lock", "start", "host")}
    assert said == {
        "bundle": f"bundle_{letter}",
        "generation": manifest["generation"],
        "lock": manifest["lock"],
        "start": "cold" if way == "cold" else "warm",
        "host": socket.gethostname(),
    }
    assert first["interpreter"].startswith(f"CPython {PYTHONS[letter]}")


@by_letter
def test_branches_and_short_circuits_skip(kinds: Kinds, letter: str) -> None:
    states = kinds.states(f"branch_{letter}")
    assert states == {
        **{"choose": "success", "left": "success", "right": "skipped"},
        **{"joined": "success", "stop": "success", "never": "skipped"},
    }
    assert kinds.value(f"branch_{letter}", "left") == PYTHONS[letter]


@by_letter
def test_mapped_tasks_map(kinds: Kinds, letter: str) -> None:
    assert kinds.value(f"mapped_{letter}", "total") == 14


@by_letter
def test_a_deferred_task_waits_in_its_bundles_trigger_runner(kinds: Kinds, letter: str) -> None:
    assert kinds.value(f"deferred_{letter}", "wait")[:2] == [PYTHONS[letter], GRIDS[letter]]
    assert "the trigger says ***" in kinds.airflow.log(
        f"deferred_{letter}", kinds.runs[f"deferred_{letter}"], "wait"
    )


@by_letter
def test_a_failed_try_is_tried_again(kinds: Kinds, letter: str) -> None:
    tasks = kinds.airflow.tasks(f"retried_{letter}", kinds.runs[f"retried_{letter}"])
    assert (tasks["second_time"]["state"], tasks["second_time"]["try_number"]) == ("success", 2)


@by_letter
def test_callbacks_of_tasks_and_dags_run_in_the_bundles_interpreter(kinds: Kinds, letter: str) -> None:
    assert in_its_own(letter, kinds.note(f"task_callback_{letter}"))
    assert in_its_own(letter, kinds.note(f"dag_callback_{letter}"))


@by_letter
def test_a_callback_of_a_deadline_runs_in_the_bundles_interpreter(
    kinds: Kinds, letter: str, way: str
) -> None:
    """Its arguments are what the Dag has given, however they went through the database.

    Airflow 3.3 sends them to Celery as plain JSON, in which a time is text.
    """
    run = kinds.airflow.trigger(f"sync_{letter}")
    note = kinds.note(f"alert_sync_{letter}")
    assert note["python"] == PYTHONS[letter]
    as_text = way == CELERY and MINOR < (3, 4)
    assert note["type"].lower() == ("str" if as_text else "datetime")  # pendulum's on Airflow 3.3
    assert kinds.airflow.finished(f"sync_{letter}", run) == "success"


def test_a_run_keeps_the_version_of_its_bundle(kinds: Kinds, repository: GitBundle) -> None:
    airflow = kinds.airflow
    notes = airflow.home / "notes"
    airflow.wait_for("the Dag", lambda: "versioned" in airflow.dag_ids())
    first = airflow.trigger("versioned")
    airflow.wait_for("the first version's task", (notes / "versioned_first").exists)
    repository.commit("second")
    airflow.wait_for(
        "the second version",
        lambda: airflow.api("GET", "/api/v2/dags/versioned")["tags"][0]["name"] == "second",
    )
    second = airflow.trigger("versioned")
    assert airflow.finished("versioned", second) == "success"
    (notes / "go on versioned").touch()
    assert airflow.finished("versioned", first) == "success"
    assert [airflow.xcom("versioned", run, "whose") for run in (first, second)] == ["first", "second"]


@by_letter
def test_a_killed_task_fails_and_its_log_says_how(kinds: Kinds, letter: str) -> None:
    log = kinds.airflow.log(f"killed_{letter}", kinds.runs[f"killed_{letter}"], "kill_itself")
    assert "about to be killed" in log
    assert "SIGKILL" in log


def test_an_asset_goes_from_one_bundle_to_another(kinds: Kinds) -> None:
    runs = kinds.airflow.wait_for(
        "the consumer", lambda: kinds.airflow.api("GET", "/api/v2/dags/consume/dagRuns")["dag_runs"]
    )
    run = runs[0]["dag_run_id"]
    assert kinds.airflow.finished("consume", run) == "success"
    read, written = kinds.airflow.xcom("consume", run, "read"), kinds.value("produce", "write")
    assert [".".join(map(str, one)) for one in (written, read)] == [PYTHONS["a"], PYTHONS["b"]]


def test_a_file_that_does_not_import_is_an_import_error_of_its_own(kinds: Kinds) -> None:
    errors = kinds.airflow.import_errors()
    assert list(errors) == ["bundle_c/broken.py"]
    assert "RuntimeError: this file never imports" in errors["bundle_c/broken.py"]


@by_letter
def test_a_task_that_is_failed_from_outside_is_killed_properly(kinds: Kinds, letter: str) -> None:
    """Its queue is one that no configuration names: the coordinator's fallback is closed for it, too."""
    airflow = kinds.airflow
    run = airflow.trigger(f"long_{letter}")
    started = kinds.note(f"started_{letter}")
    assert in_its_own(letter, started)
    path = f"/api/v2/dags/long_{letter}/dagRuns/{run}/taskInstances/wait"
    airflow.api("PATCH", path, {"new_state": "failed"})
    assert kinds.note(f"on_kill_{letter}")["pid"] == started["pid"]
    assert airflow.finished(f"long_{letter}", run) == "failed"


@by_letter
def test_a_supervisor_that_is_told_to_end_does_with_its_task_as_in_stock_airflow(
    kinds: Kinds, letter: str, way: str
) -> None:
    """Since Airflow 3.4 the task goes on; before, it is told to end, too, and cleans up."""
    airflow = kinds.airflow
    notes = [airflow.home / f"notes/{name}_{letter}" for name in ("started", "on_kill")]
    for note in notes:
        note.unlink(missing_ok=True)
    run = airflow.trigger(f"long_{letter}")
    task = kinds.note(f"started_{letter}")["pid"]
    component = runs_tasks(way)
    (supervisor,) = airflow.forks(component, airflow_title(airflow, letter, run))
    said = len(airflow.output(component))
    os.kill(supervisor, signal.SIGTERM)
    words = "warm shutdown in progress" if MINOR >= (3, 4) else "forwarding to task subprocess"
    airflow.wait_for("what the supervisor says", lambda: words in airflow.output(component)[said:])
    if MINOR >= (3, 4):
        assert Path(f"/proc/{task}").exists()
        assert not notes[1].exists()
    else:
        assert kinds.note(f"on_kill_{letter}")["pid"] == task
    path = f"/api/v2/dags/long_{letter}/dagRuns/{run}/taskInstances/wait"
    airflow.api("PATCH", path, {"new_state": "failed"})
    assert kinds.note(f"on_kill_{letter}")["pid"] == task
    assert airflow.finished(f"long_{letter}", run) == "failed"


def airflow_title(airflow: AirflowDeployment, letter: str, run: str) -> str:
    """What a worker's process is called while it runs the task of this run."""
    return str(airflow.tasks(f"long_{letter}", run)["wait"]["id"])


@by_letter
def test_run_as_user_runs_as_that_user_in_the_bundles_interpreter(kinds: Kinds, letter: str) -> None:
    run = kinds.airflow.trigger(f"impersonated_{letter}")
    assert kinds.airflow.finished(f"impersonated_{letter}", run) == "success", kinds.airflow.log(
        f"impersonated_{letter}", run, "as_somebody_else"
    )
    user, found, variable = kinds.airflow.xcom(f"impersonated_{letter}", run, "as_somebody_else")
    assert (user, variable) == ("e2e-runner", "of everybody")
    assert in_its_own(letter, found)


def test_a_tasks_memory_is_closed_to_its_neighbours(kinds: Kinds) -> None:
    """PR_SET_DUMPABLE is off, as in stock Airflow; replacing the interpreter had turned it on again."""
    assert kinds.value("plain_a", "where")["dumpable"] == 0


@by_letter
def test_where_no_server_is_wanted_each_task_has_an_interpreter(
    kinds: Kinds, estate: Estate, letter: str
) -> None:
    text = (estate.root / ".state/table").read_text()
    publish(estate.root, with_records(text, f"warm\tenv_{letter}\tfalse"))
    try:
        run = kinds.airflow.trigger(f"plain_{letter}")
        assert kinds.airflow.finished(f"plain_{letter}", run) == "success"
    finally:
        publish(estate.root, text)
    assert first_line(kinds.airflow, f"plain_{letter}", run)["start"] == "cold"
    assert in_its_own(letter, kinds.airflow.xcom(f"plain_{letter}", run, "where"))
