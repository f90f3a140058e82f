"""Every name of Airflow's that is not a documented interface and that envman leans on, with the reason.

It is data: the reference page is written from it, a test asks each supported Airflow for each name, and
`missing` lets a component refuse to start on an Airflow that has moved one.
"""

from __future__ import annotations

import importlib


class Upstream:
    """One name: the component that uses it, where it is, whether it is replaced, and why it is used."""

    __slots__ = ("component", "module", "name", "replaced", "why")

    def __init__(self, component: str, module: str, name: str, why: str, replaced: bool = False) -> None:
        self.component = component
        self.module = module
        self.name = name
        self.why = why
        self.replaced = replaced

    def is_there(self) -> bool:
        """Whether the installed Airflow has it."""
        try:
            found: object = importlib.import_module(self.module)
        except ImportError:
            return False
        for part in self.name.split("."):
            if not hasattr(found, part) and part not in getattr(found, "__annotations__", {}):
                return False
            found = getattr(found, part, None)
        return True

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


_SUPERVISOR = "airflow.sdk.execution_time.supervisor"
_TRIGGERER = "airflow.jobs.triggerer_job_runner"

NAMES = (
    Upstream(
        "all", _SUPERVISOR, "WatchedSubprocess.start", "overridden: start another interpreter, not a fork"
    ),
    Upstream("all", _SUPERVISOR, "WatchedSubprocess._register_pipe_readers", "serve the four sockets"),
    Upstream("all", _SUPERVISOR, "WatchedSubprocess._check_subprocess_exit", "learn how a child ended"),
    Upstream("all", _SUPERVISOR, "WatchedSubprocess._open_sockets", "know when all output was read"),
    Upstream("all", _SUPERVISOR, "WatchedSubprocess._process", "signal a child"),
    Upstream("all", _SUPERVISOR, "WatchedSubprocess._exit_code", "learn how a child ended"),
    Upstream("all", _SUPERVISOR, "WatchedSubprocess._process_exit_monotonic", "stop reading an ended child"),
    Upstream("all", _SUPERVISOR, "PsutilTracker", "let Airflow watch and signal the child"),
    Upstream("all", _SUPERVISOR, "ProcessTracker", "let Airflow watch and signal a fork server's child"),
    Upstream("all", _SUPERVISOR, "_make_process_nondumpable", "keep a task's memory from its neighbours"),
    *(
        Upstream("all", f"{package}.{module}", name, "send a child's metrics, as a component's fork does")
        for package in ("airflow", "airflow.sdk")
        for module, name in (
            ("_shared.observability.metrics.stats", "initialize"),
            ("observability.metrics.stats_utils", "get_stats_factory"),
        )
    ),
    Upstream(
        "all",
        "airflow._shared.observability.traces",
        "configure_otel",
        "send a fork's traces: its own thread",
    ),
    Upstream("all", _SUPERVISOR, "_fork_main", "be the child that the supervisor expects"),
    Upstream(
        "all",
        "airflow.dag_processing.importers.python_importer",
        "signal",
        "its handler of SIGSEGV returns into the fault: a crashed child would never end",
        replaced=True,
    ),
    Upstream(
        "dag-processor",
        "airflow.dag_processing.manager",
        "DagFileProcessorProcess",
        "each parse starts through it, with the bundle's name",
        replaced=True,
    ),
    Upstream(
        "dag-processor",
        "airflow.dag_processing.processor",
        "DagFileProcessorProcess.is_ready",
        "overridden: a crash is the file's import error",
    ),
    Upstream(
        "dag-processor",
        "airflow.dag_processing.processor",
        "DagFileProcessorProcess.parsing_result",
        "set where a crash left none",
    ),
    Upstream(
        "dag-processor",
        "airflow.dag_processing.processor",
        "DagFileProcessorProcess.had_callbacks",
        "callbacks bring no result",
    ),
    Upstream(
        "dag-processor",
        "airflow.dag_processing.processor",
        "DagFileParsingResult",
        "what a crash is reported as",
    ),
    Upstream(
        "dag-processor",
        "airflow.dag_processing.processor",
        "_parse_file_entrypoint",
        "what the child of a parse runs",
    ),
    Upstream(
        "worker",
        "airflow.sdk.execution_time.coordinator",
        "_build_python_coordinator",
        "the fallback of every queue that is not configured: it would run the task in the component",
        replaced=True,
    ),
    Upstream(
        "worker",
        "airflow.sdk.execution_time.callback_supervisor",
        "CallbackSubprocess",
        "executor callbacks start through it, not through coordinators",
        replaced=True,
    ),
    Upstream(
        "worker",
        "airflow.sdk.execution_time.coordinator",
        "BaseCoordinator.execute_task",
        "implemented: the interface of a coordinator",
    ),
    Upstream("worker", "airflow.executors.workloads.base", "BundleInfo", "name a callback's bundle"),
    Upstream("worker", "airflow.settings", "get_policy_plugin_manager", "register the policy for pods"),
    Upstream(
        "worker", _SUPERVISOR, "ActivitySubprocess.start", "run a task, as Airflow's own coordinator does"
    ),
    Upstream("worker", _SUPERVISOR, "_subprocess_main", "what the child of a task runs"),
    Upstream(
        "worker",
        "airflow.serialization.serialized_objects",
        "BaseSerialization.serialize",
        "a callback's arguments, as Airflow's database holds them",
    ),
    Upstream(
        "triggerer",
        _TRIGGERER,
        "TriggerRunnerSupervisor",
        "the job drives one supervisor; ours drives one for each environment",
        replaced=True,
    ),
    *(
        Upstream("triggerer", _TRIGGERER, f"TriggerRunnerSupervisor.{name}", why)
        for name, why in (
            ("update_triggers", "give a runner its share of the triggers"),
            ("build_trigger_workloads", "overridden: the runner, without a key, gets plain arguments"),
            ("handle_events", "write what triggers have fired"),
            ("handle_failed_triggers", "write what has failed"),
            ("run_in_process", "what a runner's process runs"),
            ("running_triggers", "know what a runner has"),
            ("creating_triggers", "know what a runner is about to get"),
            ("logger_cache", "close the logs of an ended runner"),
            ("failed_triggers", "fail a trigger without running it"),
            ("send_msg", "overridden: a runner that does not read must not block the triggerer"),
            ("_last_runner_comms", "notice a runner that no longer answers"),
            ("health_check_threshold", "tell a living triggerer from a dead one"),
            ("runner_health_check_threshold", "when a runner counts as blocked"),
        )
    ),
    Upstream("triggerer", _TRIGGERER, "stats.gauge", "the metrics of the stock triggerer"),
    Upstream(
        "triggerer", "airflow.models.trigger", "Trigger.submit_failure", "fail a trigger that may not run"
    ),
    Upstream("triggerer", "airflow.models.crypto", "get_fernet", "decrypt what only the component can"),
    Upstream("triggerer", "airflow.models.trigger", "Trigger.clean_unused", "what the stock loop does"),
    Upstream(
        "triggerer",
        "airflow.models.trigger",
        "Trigger.max_trigger_to_select_per_loop",
        "share between triggerers",
    ),
    Upstream("triggerer", "airflow.models.trigger", "Trigger.queue", "take the triggers of these queues"),
    Upstream("triggerer", "airflow.models.trigger", "Trigger.team_name", "take the triggers of a team"),
    Upstream("triggerer", "airflow.models.asset", "DagScheduleAssetReference", "the same, for an asset"),
    Upstream("triggerer", "airflow.models.asset", "TaskInletAssetReference", "the same, for an asset"),
    Upstream("triggerer", "airflow.models.asset", "TaskOutletAssetReference", "the same, for an asset"),
    Upstream(
        "triggerer", "airflow.models.asset", "AssetWatcherModel", "find the bundle of an asset's trigger"
    ),
    Upstream("triggerer", "airflow.models.callback", "Callback.bundle_name", "find the bundle of a callback"),
    Upstream(
        "triggerer", "airflow.models.dag_version", "DagVersion.bundle_name", "find the bundle of a task"
    ),
    Upstream("triggerer", "airflow.utils.sqlalchemy", "with_row_locks", "several triggerers at once"),
    Upstream("triggerer", "airflow.jobs.job", "perform_heartbeat", "what the stock loop does"),
    Upstream(
        "check",
        "airflow.dag_processing.processor",
        "_parse_file",
        "parse a file in this process, and get what the Dag processor would get",
    ),
    Upstream("check", "airflow.dag_processing.processor", "DagFileParseRequest", "its argument"),
    Upstream("check", _SUPERVISOR, "block_orm_access", "refuse the database as in a real parse"),
    Upstream("check", "airflow.utils.file", "list_py_file_paths", "find the files that the manager finds"),
)


def missing(component: str) -> list[Upstream]:
    """The names that a component needs and this Airflow does not have."""
    return [one for one in NAMES if one.component in {"all", component} and not one.is_there()]
