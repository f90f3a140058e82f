"""Tests of Airflow's supervisor that fail with envman's children, each with the ways it does, and the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

CLOCK = "the test has time stand still in its own process; a child that is no fork of it has the real time"
WAITED = (
    "it counts the calls of `wait`: envman waits up to 0.1 s more for the exit status of a child that has closed "
    "all it had open, so that its end is seen at once"
)
EARLY = (
    "a child that is no fork has the task's socket as its standard error from the start: what it says of an early "
    "exception is in the task's log, not on the component's standard error"
)
PARENT = "the parent and the process group of a child are those of its fork server"
LEADS = (
    "it counts the calls of `getpgid`: envman asks whether the child leads a group, Airflow whether that is another "
    "than its own"
)
SOON = "it counts on a child that runs its function within 0.1 s; a new interpreter imports Airflow first"
INSTEAD = "it replaces `WatchedSubprocess.start`, in whose place envman's own start stands (Airflow 3.4)"
CLOSED = (
    "its function drops its only socket for requests, of which a fork has a second one; that wakes the supervisor, "
    "which sends the heartbeat whose answer ends the task, where the test has it wait for the task's first output"
)
LIBRARY = (
    "below a task no process can import Airflow, whose database is blocked there, but for the variable "
    "_AIRFLOW__AS_LIBRARY of the tests; envman's children don't get it, and with stock Airflow it is not there either"
)

OWN = "it has a task that was never told which it is ask about another, which envman refuses"
ASKED = (
    *("set_xcom", "set_xcom_with_map_index", "set_xcom_with_map_index_and_mapped_length"),
    *(
        "set_xcom_with_dag_result",
        "delete_xcom",
        "validate_inlets_and_outlets",
        "get_task_reschedule_start_date",
    ),
    *("create_hitl_detail_payload", "get_task_store", "set_task_store", "set_task_store_with_expires_at"),
    *("delete_task_store", "clear_task_store", "update_dag_run_note"),
)


@dataclass(frozen=True)
class Known:
    """Why a test fails, in some of the ways."""

    reason: str
    ways: tuple[str, ...] = ("warm", "cold")


EXPECTED: Mapping[str, Known] = {
    "TestSupervisor::test_on_kill_hook_called_when_supervisor_receives_sigterm": Known(PARENT, ("warm",)),
    "TestWatchedSubprocess::test_child_keeps_supervisor_process_group_by_default": Known(PARENT, ("warm",)),
    "TestWatchedSubprocessKill::test_kill_signals_process_group": Known(LEADS),
    "TestWatchedSubprocess::test_regular_heartbeat": Known(SOON, ("cold",)),
    "TestWatchedSubprocessKill::test_kill_escalation_path": Known(SOON, ("cold",)),
    "TestWatchedSubprocess::test_reading_from_pipes": Known(CLOCK),
    "TestWatchedSubprocess::test_supervise_handles_deferred_task": Known(CLOCK),
    "TestWatchedSubprocess::test_last_chance_exception_handling": Known(EARLY),
    "TestWatchedSubprocess::test_on_kill_hook_called_when_sigkilled": Known(CLOSED),
    "test_activity_start_opts_into_fork_exec": Known(INSTEAD),
    "test_activity_start_imports_task_runner_before_bare_fork": Known(INSTEAD),
    "test_reinit_supervisor_comms": Known(LIBRARY),
    "TestWatchedSubprocessKill::test_kill_process_custom_signal": Known(WAITED),
    "TestWatchedSubprocessKill::test_service_subprocess": Known(WAITED),
    "TestHandleRequest::test_rejects_unsupported_task_messages": Known(OWN),
    **{f"TestHandleRequest::test_handle_requests[{what}]": Known(OWN) for what in ASKED},
}
"""By the test's name, with its parameters or without."""
