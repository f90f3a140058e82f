"""Dags of every kind, the same in each bundle; each writes into XCom or a file whose interpreter ran it."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path

import envman_e2e_grid
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, BaseHook, BaseOperator, Variable, get_current_context, task

BUNDLE = Path(__file__).parent.name
LETTER = BUNDLE[-1]
team = import_module(f"envman_e2e_{LETTER}")  # it is in this bundle's environment alone


def here() -> dict[str, object]:
    """The interpreter that this runs in."""
    minor = "{}.{}".format(*sys.version_info[:2])
    dumpable = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)  # PR_GET_DUMPABLE
    return {"python": minor, "grid": envman_e2e_grid.__version__, "prefix": sys.prefix, "dumpable": dumpable}


def note(name: str) -> None:
    """Leave the interpreter in a file for the test."""
    folder = Path(os.environ["E2E_NOTES"])
    content = json.dumps(here() | {"pid": os.getpid(), "user": os.getuid()})
    (folder / f"{name}_{LETTER}.new").write_text(content)
    (folder / f"{name}_{LETTER}.new").replace(folder / f"{name}_{LETTER}")


def task_failed(context) -> None:
    note("task_callback")


def dag_failed(context) -> None:
    note("dag_callback")


def dag(name: str, **options):
    return DAG(f"{name}_{LETTER}", schedule=None, start_date=datetime(2026, 1, 1), catchup=False, **options)


with dag("plain", tags=[f"grid {envman_e2e_grid.__version__}"]):

    @task
    def where():
        print("to standard output")
        print("to standard error", file=sys.stderr)
        return here()

    @task
    def same(given):
        assert given == here(), (given, here())
        context = get_current_context()
        context["ti"].xcom_push("named", {"nested": [1, 2.5, None]})
        Variable.set(f"written_by_{LETTER}", LETTER)
        connection = BaseHook.get_connection("shared")
        return [Variable.get("shared"), connection.host, connection.password]

    same(where())

with dag("process"):
    BashOperator(task_id="bash", bash_command="python -c 'import sys; print(sys.prefix)'")

    @task
    def looks():
        asked = signal.getsignal(signal.SIGQUIT)
        return {"argv": sys.argv, "main": sys.modules["__main__"].__file__, "quit": asked.__name__}

    looks()

with dag("branch"):

    @task.branch
    def choose():
        return "left"

    @task
    def left():
        return here()["python"]

    @task
    def right():
        raise AssertionError("not chosen")

    @task(trigger_rule="none_failed_min_one_success")
    def joined():
        return "joined"

    @task.short_circuit
    def stop():
        return False

    @task
    def never():
        raise AssertionError("short-circuited")

    choose() >> [left(), right()] >> joined() >> stop() >> never()

with dag("mapped"):

    @task
    def numbers():
        return [1, 2, 3]

    @task
    def square(number):
        return number * number

    @task
    def total(squares):
        return sum(squares)

    total(square.expand(number=numbers()))


class Deferring(BaseOperator):
    """Waits on a trigger that only this bundle's environment has."""

    def __init__(self, behaviour: str = "fire", **options):
        super().__init__(**options)
        self.behaviour = behaviour

    def execute(self, context):
        self.defer(trigger=team.Waiting(behaviour=self.behaviour), method_name="resumed")

    def resumed(self, context, event=None):
        return event


with dag("deferred"):
    Deferring(task_id="wait")

with dag("blocking"):
    Deferring(task_id="wait", behaviour="block", execution_timeout=timedelta(seconds=100))

with dag("crashing"):
    Deferring(task_id="wait", behaviour="crash once")

with dag("deadly"):
    Deferring(task_id="wait", behaviour="crash")

with dag("kept"):
    Deferring(task_id="wait", behaviour="wait for a note")

with dag("retried"):

    @task(retries=1, retry_delay=timedelta(seconds=1))
    def second_time():
        if get_current_context()["ti"].try_number == 1:
            raise RuntimeError("the first time fails")
        return here()["python"]

    second_time()

with dag("timed_out", on_failure_callback=dag_failed):

    @task(execution_timeout=timedelta(seconds=1), on_failure_callback=task_failed)
    def too_long():
        time.sleep(60)

    too_long()

with dag("killed"):

    @task
    def kill_itself():
        print("about to be killed")
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    kill_itself()


class Long(BaseOperator):
    """Runs until it is killed, and says so."""

    def execute(self, context):
        note("started")
        time.sleep(300)

    def on_kill(self):
        note("on_kill")


with dag("long"):
    Long(task_id="wait", queue=f"queue-that-nobody-configured-{LETTER}")

with dag("held"):

    @task
    def until_told():
        note("held")
        while not (Path(os.environ["E2E_NOTES"]) / "go on").exists():
            time.sleep(0.1)

    until_told()

with dag("impersonated"):

    @task(run_as_user="e2e-runner")
    def as_somebody_else():
        import getpass

        print("as", getpass.getuser())
        return [getpass.getuser(), here(), Variable.get("shared")]

    as_somebody_else()
