"""Run one Dag once, in this process, by Airflow's own `dag.test()`, on a database that is thrown away.

    python run.py dag_run '{"path": "/dags", "bundle": "bundle_a", "dag": "sales", "task": null, ...}'

The variables name the database, and Airflow's list of bundles with this one alone: so no other bundle's Dag
of the same name is looked at. Secrets of files with Connections and Variables are hidden in what is printed.
The request is a DagRunRequest, the answer a DagRunReport.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envman.inside import bundle_code, masked_output
from envman.inside.answer import answer

if TYPE_CHECKING:
    from envman.inside.reports import DagRunReport, DagRunRequest, TaskReport

LINGER = 2.0
POLL = 0.01
BACKEND = "airflow.secrets.local_filesystem.LocalFilesystemBackend"


def main(words: list[str]) -> None:
    """Answer the request."""
    answer(report, words)


def report(request: DagRunRequest) -> DagRunReport:
    """Run the Dag, or one task of it; `problem` says why there was nothing to run."""
    secrets: set[str] = set()
    files = {}
    for kind, file, secrets_of in (
        ("connections", request["connections"], masked_output.of_connections),
        ("variables", request["variables"], masked_output.of_variables),
    ):
        if file:
            try:
                secrets |= secrets_of(masked_output.read(file))
            except Exception as error:  # noqa: BLE001  # whose text may show the file's, and a secret with it
                return {**_refused(f"can't be read: {_place(error)}"), "file": file}
            files[f"{kind}_file_path"] = file
    if files:  # before Airflow is imported
        os.environ["AIRFLOW__SECRETS__BACKEND"] = BACKEND
        os.environ["AIRFLOW__SECRETS__BACKEND_KWARGS"] = json.dumps(files)
    relay = masked_output.mask(secrets)
    try:
        found = _run(request)
        # why files can't be imported is told by their own words
        errors = {file: masked_output.hidden(text, secrets) for file, text in found["errors"].items()}
        return {**found, "errors": errors}
    except Exception:  # it is printed here, as nothing hides secrets in what is printed later
        traceback.print_exc()
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        _wait(relay)


def _wait(relay: int) -> None:
    """Wait for the last of what was printed, but not for what a task has left in the background."""
    end = time.monotonic() + LINGER
    while os.waitpid(relay, os.WNOHANG) == (0, 0):
        if time.monotonic() > end:
            os.kill(relay, signal.SIGKILL)
            os.waitpid(relay, 0)
            return
        time.sleep(POLL)


def _place(error: Exception) -> str:
    """What kind of error a parser had, and in which line, without the line itself."""
    mark = getattr(error, "problem_mark", None)
    line = getattr(error, "lineno", None) or (mark.line + 1 if mark else None)
    return type(error).__name__ + (f" in line {line}" if line else "")


def _refused(problem: str, known: list[str] | None = None) -> DagRunReport:
    return {"problem": problem, "file": "", "known": known or [], "errors": {}, "state": "", "tasks": []}


def _run(request: DagRunRequest) -> DagRunReport:
    from airflow.dag_processing.dagbag import DagBag

    folder = Path(request["path"])
    bundle_code.share(request["shared"], str(folder))
    sys.path.append(str(folder))  # as the Dag processor does
    bag = DagBag(folder, bundle_path=folder, bundle_name=request["bundle"])
    dag = bag.dags.get(request["dag"])
    if dag is None:
        refused = _refused("there is no such Dag", sorted(bag.dags))
        refused["errors"] = dict(bag.import_errors)
        return refused
    only = request["task"]
    if only is not None and only not in dag.task_dict:
        return _refused("there is no such task", sorted(dag.task_dict))
    for task in dag.tasks:
        _try_once(task)
    others = None if only is None else f"(?!{re.escape(only)}$).*"
    run = dag.test(run_conf=request["conf"], mark_success_pattern=others)
    tasks = [_task(one) for one in run.get_task_instances() if only is None or one.task_id == only]
    known = sorted(dag.task_dict)
    return {**_refused("", known), "state": str(run.state), "tasks": tasks}


def _try_once(task: Any) -> None:
    """Take a task's retries away: whoever tries it out waits for none of them."""
    partial = getattr(task, "partial_kwargs", None)
    if isinstance(partial, dict):
        partial["retries"] = 0
    else:
        task.retries = 0


def _task(instance: Any) -> TaskReport:
    ended, started = instance.end_date, instance.start_date
    return {
        "task": instance.task_id,
        "index": instance.map_index,
        "state": str(instance.state or "none"),
        "seconds": round((ended - started).total_seconds(), 3) if ended and started else None,
    }
