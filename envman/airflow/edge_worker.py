"""The Edge executor's worker: its tasks are forks of it, in which the hooks are."""

from __future__ import annotations

import multiprocessing
import os
from typing import Any, NoReturn

from envman.airflow.own_variables import leave_to_component, set_for_component
from envman.errors import Problem, ResolveError

NEW_INTERPRETER = "CORE__EXECUTE_TASKS_NEW_PYTHON_INTERPRETER"
"""The end of a variable that would have tasks start a new interpreter: everybody's, or a team's."""

HOSTNAME_CALLABLE = "AIRFLOW__CORE__HOSTNAME_CALLABLE"
"""The worker sets it to a function of its provider's, which teams' environments do not have."""

SUBPROCESS = "_launch_job_subprocess"
NEEDED = ("_launch_job_fork", SUBPROCESS, "interruptible_sleep")
"""Names of the provider's worker that this stands on."""


def install() -> None:
    """Have all tasks be forks of this process, whatever Airflow's configuration says. Raises ResolveError."""
    try:
        from airflow.providers.edge3.cli.worker import EdgeWorker
    except ImportError as error:
        what = f"the Edge provider can't be imported: {error}"
        remedy = "Add apache-airflow-providers-edge3 to the components' environment, lock and build."
        raise ResolveError(Problem("edge-worker", what, remedy)) from None
    if moved := [name for name in NEEDED if not hasattr(EdgeWorker, name)]:
        what = f"the Edge provider has no {', '.join(moved)}"
        raise ResolveError(Problem("edge-worker", what, "Take apache-airflow-providers-edge3 5 or newer."))
    teams = [name for name in os.environ if name.endswith(f"___{NEW_INTERPRETER}")]
    for name in (f"AIRFLOW__{NEW_INTERPRETER}", *teams):
        set_for_component(name, "False")
    leave_to_component(HOSTNAME_CALLABLE)
    multiprocessing.set_start_method("fork", force=True)
    setattr(EdgeWorker, SUBPROCESS, refuse)


def refuse(_worker: Any, _workload: Any) -> NoReturn:
    """In the place of the start of a task in a new interpreter, which would have no hooks."""
    raise RuntimeError("envman: the tasks of this worker are forks of it")
