"""Every name of Airflow's that is not a documented interface and that envman leans on, with the reason.

It is data: the reference page is written from it, tests hold it against envman's own source and against each
supported Airflow's, and `missing` lets a component refuse to start on an Airflow that has moved a name.
"""

from __future__ import annotations

from envman.airflow.upstream_name import OVERRIDDEN, REPEATED, REPLACED, USED, Upstream, names_of
from envman.airflow.upstream_triggerer import TRIGGERER_JOB, TRIGGERER_ROWS

_SUPERVISOR = "airflow.sdk.execution_time.supervisor"
_COORDINATOR = "airflow.sdk.execution_time.coordinator"
_CALLBACKS = "airflow.sdk.execution_time.callback_supervisor"
_PROCESSOR = "airflow.dag_processing.processor"
_MANAGER = "airflow.dag_processing.manager"
_MASKER = "airflow.sdk._shared.secrets_masker.secrets_masker"
_FORKS = "each fork imports it itself, and starts later"
_BEFORE_34 = "Airflow 3.3 has none"
_LOADED_LATER = "each workload loads them as it starts"
_ALONE = "Airflow 3.3.0 signals the child alone"
_WAITS = "a scheduler that is stopped may wait for ever"
_NO_BEAT = "it says that none is at work"
_NO_KEY = "it encrypts nothing there, in silence"

_EVERYWHERE = (
    *names_of(
        "all",
        _SUPERVISOR,
        ("WatchedSubprocess.start", "start another interpreter, not a fork", OVERRIDDEN),
        ("WatchedSubprocess._register_pipe_readers", "the readers that the door stands before"),
        (
            "WatchedSubprocess.stdin",
            "answers that a child does not read wait, and nobody for them",
        ),
        ("WatchedSubprocess.send_msg", "its only use of `stdin` is `sendall`", REPEATED),
        ("WatchedSubprocess.selector", "readers are registered there, each with what closes its socket"),
        ("WatchedSubprocess.process_log", "say why a child was ended"),
        ("make_buffered_socket_reader", "what it asks of a socket is `recv_into`", REPEATED),
        ("length_prefixed_frame_reader", "what it asks of a socket is `recv` and `recv_into`", REPEATED),
        ("WatchedSubprocess._check_subprocess_exit", "learn how a child ended, at once", OVERRIDDEN),
        ("WatchedSubprocess._open_sockets", "know when all output was read"),
        ("WatchedSubprocess._process", "signal a child"),
        ("WatchedSubprocess.pid", "the number of a child that a server has just forked"),
        ("WatchedSubprocess._exit_code", "learn how a child ended"),
        ("WatchedSubprocess._process_exit_monotonic", "stop reading an ended child"),
        ("WatchedSubprocess._signal_subprocess", "a group that the child leads", OVERRIDDEN, _ALONE),
        ("WatchedSubprocess._new_process_group", "the same", USED, _ALONE),
        ("PsutilTracker", "let Airflow watch and signal the child"),
        ("ProcessTracker.pid", "let Airflow watch and signal a fork server's child", OVERRIDDEN),
        ("ProcessTracker.send_signal", "the same", OVERRIDDEN),
        ("ProcessTracker.wait", "the same", OVERRIDDEN),
        ("ProcessTracker.ProcessNotFound", "the same", OVERRIDDEN),
        ("ProcessTracker.TimeoutExpired", "the same", OVERRIDDEN),
        ("_make_process_nondumpable", "keep a task's memory from its neighbours"),
        ("_fork_main", "be the child that the supervisor expects"),
        ("_child_exec_main", "a child in a fresh interpreter gets the same", REPEATED),
    ),
    *names_of(
        "all",
        "airflow.sdk.execution_time.comms",
        ("ErrorResponse", "a request that a child may not make is answered with the reason"),
    ),
    *names_of(
        "all",
        "airflow.sdk.exceptions",
        ("ErrorType.CONNECTION_NOT_FOUND", "the same: there is no such secret"),
        ("ErrorType.VARIABLE_NOT_FOUND", "the same"),
        ("ErrorType.API_SERVER_ERROR", "the same: it belongs to another"),
    ),
    *names_of(
        "all",
        "airflow._shared.observability.traces",
        ("configure_otel", "send a fork's traces: its own thread"),
    ),
    *(
        Upstream("all", f"{package}.{module}", name, "send a child's metrics, as a component's fork does")
        for package in ("airflow", "airflow.sdk")
        for module, name in (
            ("_shared.observability.metrics.stats", "initialize"),
            ("observability.metrics.stats_utils", "get_stats_factory"),
        )
    ),
    *(
        Upstream(
            "all",
            module,
            "signal",
            "its handler of SIGSEGV returns into the fault: a crashed child would never end",
            REPLACED,
            "a crashed child is ended by its timeout",
        )
        for module in (
            "airflow.dag_processing.importers.python_importer",
            "airflow.sdk.importers.python_importer",
        )
    ),
    *(
        Upstream(
            "all", module, "_get_plugins", "plugins are loaded before the first fork", USED, _LOADED_LATER
        )
        for module in ("airflow.plugins_manager", "airflow.sdk.plugins_manager")
    ),
    *(
        Upstream("all", module, "_secrets_masker", "a child's secrets are masked in its own lines", REPLACED)
        for module in ("airflow._shared.secrets_masker.secrets_masker", _MASKER, "airflow.sdk.log")
    ),
    *names_of(
        "all",
        _MASKER,
        ("SecretsMasker", "mask as it does"),
        ("SecretsMasker.__init__", "the same, with what another has", OVERRIDDEN),
        ("SecretsMasker.min_length_to_mask", "too short a word would be masked everywhere"),
        ("SecretsMasker.add_mask", "the latest secrets, and not all for ever", OVERRIDDEN),
        ("SecretsMasker.reset_masker", "the same", OVERRIDDEN),
        ("SecretsMasker.patterns", "what the component itself masks"),
        ("SecretsMasker.replacer", "its only use is `sub`, of a text"),
        ("SecretsMasker.should_hide_value_for_key", "which names are sensitive"),
        ("SecretsMasker._adaptations", "the deployment's adapter"),
        ("SecretsMasker._redact", "what it asks of `replacer`", REPEATED),
        ("SECRETS_TO_SKIP_MASKING", "what is never masked"),
    ),
    *names_of(
        "all", "airflow.sdk.crypto", ("get_fernet", "no key, no encryption: an error", REPLACED, _NO_KEY)
    ),
    *names_of(
        "all", "airflow.utils.cli", ("sigquit_handler", "as in a component's fork", USED, "SIGQUIT ends it")
    ),
    *(
        Upstream("all", module, "", "what workloads begin with: a fork server imports it once", USED, _FORKS)
        for module in (
            "airflow.dag_processing.dagbag",
            "airflow.models.serialized_dag",
            "airflow.models.dagwarning",
            "airflow.sdk.definitions.decorators",
            "airflow.sdk.execution_time.task_runner",
        )
    ),
)

_DAG_PROCESSOR = (
    *names_of(
        "dag-processor",
        _MANAGER,
        ("DagFileProcessorProcess", "each parse starts through it, with the bundle's name", REPLACED),
        (
            "LangSDKDagFileProcessorProcess",
            "it would parse files of other languages past users, limits and variables: refused",
            REPLACED,
            _BEFORE_34,
        ),
        ("DagFileProcessorManager._create_process", "the only place that starts a parse", REPEATED),
    ),
    *names_of(
        "dag-processor",
        "airflow.serialization.serialized_objects",
        ("LazyDeserializedDAG._real_dag", "find out whether the component can read a Dag, as it does next"),
    ),
    *names_of(
        "dag-processor",
        _PROCESSOR,
        ("DagFileProcessorProcess.start", "in the bundle's interpreter", OVERRIDDEN),
        ("DagFileProcessorProcess._handle_request", "the door stands before it", REPEATED),
        ("DagFileProcessorProcess.is_ready", "a crash is the file's import error", OVERRIDDEN),
        ("DagFileProcessorProcess.parsing_result", "set where a crash left none", OVERRIDDEN),
        ("DagFileProcessorProcess.had_callbacks", "callbacks bring no result"),
        ("DagFileProcessorProcess.bundle_name", "said of a crash"),
        ("DagFileProcessorProcess.dag_file_rel_path", "the file that a crash is an import error of"),
        ("DagFileParsingResult", "what a crash is reported as"),
        ("_parse_file_entrypoint", "what the child of a parse runs"),
    ),
)

_LISTING = "in a process with the environment's rights, while all else goes on"
_BUNDLES = (
    *names_of(
        "dag-processor",
        _MANAGER,
        ("DagFileProcessorManager", "`BundleManager` takes its place", REPLACED),
        ("DagFileProcessorManager._find_files_in_bundle", _LISTING, OVERRIDDEN),
        ("DagFileProcessorManager._refresh_dag_bundles", "take a list that is there", OVERRIDDEN),
        ("DagFileProcessorManager.should_skip_refresh", "not while it is listed", OVERRIDDEN),
        ("DagFileProcessorManager.deactivate_deleted_dags", "once the list is there", OVERRIDDEN),
        ("DagFileProcessorManager.clear_orphaned_import_errors", "the same", OVERRIDDEN),
        ("DagFileProcessorManager._get_observed_filelocs", "it opens archives itself", OVERRIDDEN),
        ("DagFileProcessorManager._sort_by_mtime", "a link to itself would end it", OVERRIDDEN),
        ("DagFileProcessorManager._get_logger_for_dag_file", "so would some names", OVERRIDDEN),
        ("DagFileProcessorManager.max_runs_reached", "not while a bundle is listed", OVERRIDDEN),
        ("DagFileProcessorManager.terminate", "end what lists bundles, too", OVERRIDDEN),
        (
            "DagFileProcessorManager._kill_timed_out_processors",
            "so is a parse that takes too long",
            OVERRIDDEN,
        ),
        ("DagFileProcessorManager.processor_timeout", "the same"),
        ("DagFileProcessorManager.persist_parsing_result", "what a database refuses is an error", OVERRIDDEN),
        ("DagFileProcessorManager.handle_parsing_result", "what calls it, in one transaction", REPEATED),
        ("DagFileProcessorManager.request_bundle_refresh", "list a bundle again that could not be"),
        ("DagFileProcessorManager.handle_removed_files", "what was not listed has not gone", OVERRIDDEN),
        ("DagFileProcessorManager._start_new_processes", "bundles take turns", OVERRIDDEN),
        ("DagFileProcessorManager._parallelism", "the same: how many may start"),
        ("DagFileProcessorManager._bundle_versions", "a parse's log says which one it is of"),
        ("DagFileProcessorManager._resort_file_queue", "what follows a new list"),
        ("DagFileProcessorManager._add_new_files_to_queue", "the same"),
        ("DagFileProcessorManager._file_stats", "forget what has no time"),
        ("DagFileProcessorManager.run", "say when each bundle's last parse ended", OVERRIDDEN),
        ("DagFileProcessorManager._file_queue", "what waits, in which order"),
        ("DagFileProcessorManager.prepare_file_queue", "queue what is due, though others wait for servers"),
        ("DagFileProcessorManager._processors", "what runs of it"),
        ("DagFileProcessorManager._force_refresh_bundles", "a bundle that is listed is refreshed later"),
        ("DagFileProcessorManager.selector", "read lists beside all else"),
        ("DagFileProcessorManager._service_processor_sockets", "calls what is registered there", REPEATED),
        ("DagFileInfo", "a file of a list"),
        ("DagFileInfo.definition_locs", "whether files or paths are wanted", USED, _BEFORE_34),
    ),
    *names_of(
        "dag-processor",
        "airflow.models.errors",
        ("ParseImportError", "say which bundle can't be listed"),
        ("ParseImportError.bundle_name", "the same"),
        ("ParseImportError.filename", "the same"),
    ),
)

_DAG_OWNERS = (
    *names_of(
        "all",
        "airflow.models.dag",
        ("DagModel.dag_id", "find the bundle of a Dag; another does not take it over"),
        ("DagModel.bundle_name", "the same"),
    ),
    *names_of(
        "dag-processor",
        "airflow.models.dag",
        ("DagModel.is_stale", "a Dag that has gone from its bundle is free"),
        ("DagModel.has_import_errors", "Dags beside one that is refused have none"),
    ),
    *names_of(
        "dag-processor",
        "airflow.models.dagbundle",
        ("DagBundleModel.name", "the same"),
        ("DagBundleModel.active", "the same; a bundle that has gone has no Dags"),
    ),
    *names_of(
        "dag-processor",
        "airflow.models.dagcode",
        ("DagCode.get_code_from_file", "it opens any path, with the Dag processor's rights", REPLACED),
        ("DagCode.write_code", "the place that reads code", REPEATED),
        ("DagCode.update_source_code", "the other one", REPEATED),
    ),
)

_WORKER = (
    *names_of(
        "worker",
        _COORDINATOR,
        ("CoordinatorManager.for_queue", "it would choose another runtime for some queues", REPLACED),
        (
            "_build_python_coordinator",
            "the fallback of every queue that is not configured: it would run the task in the component",
            REPLACED,
        ),
        ("BaseCoordinator.execute_task", "the interface of a coordinator", OVERRIDDEN),
        ("BaseCoordinator.ExecutionResult", "what it returns"),
        ("_PythonCoordinator.execute_task", "run a task in another interpreter", REPEATED),
        (
            "_warm_shutdown_signals",
            "a signal to end lets the task finish",
            USED,
            "before Airflow 3.4 `ActivitySubprocess.wait` sees to signals",
        ),
    ),
    *names_of(
        "worker",
        _CALLBACKS,
        (
            "CallbackSubprocess",
            "executor callbacks start through it, not through coordinators",
            REPLACED,
        ),
        ("CallbackSubprocess.start", "its child, in another interpreter, runs the same", OVERRIDDEN),
        ("supervise_callback", "what a callback's supervisor hands to it", REPEATED),
    ),
    *names_of(
        "worker",
        _SUPERVISOR,
        ("ActivitySubprocess", "run a task, as Airflow's own coordinator does"),
        ("ActivitySubprocess.start", "the same; it is what hands keywords on", REPEATED),
        ("ActivitySubprocess.wait", "the same; who sees to signals", REPEATED),
        ("ActivitySubprocess._handle_request", "the door stands before it", REPEATED),
        ("ActivitySubprocess.ti", "a task's requests are about itself"),
        ("ActivitySubprocess._send_new_log_fd", "a task's further log passes the door, too", OVERRIDDEN),
        ("ActivitySubprocess.final_state", "what the coordinator returns", REPEATED),
        ("supervise_task", "what a task's supervisor hands to a coordinator", REPEATED),
        ("_subprocess_main", "what the child of a task runs"),
    ),
    *names_of(
        "worker",
        "airflow.executors.base_executor",
        ("BaseExecutor.run_workload", "all that an executor runs", REPEATED),
    ),
    *names_of(
        "all",
        "airflow.jobs.job",
        ("Job.heartbeat", "`launch --health` knows that the component's work goes on", REPLACED, _NO_BEAT),
        ("Job.heartrate", "the same: when the next one is due", USED, _NO_BEAT),
    ),
    *names_of(
        "standalone",
        "airflow.cli.commands.standalone_command",
        ("subprocess", "start each component with envman's hooks", REPLACED),
        ("SubCommand.run", "what it asks of `subprocess`", REPEATED),
    ),
    *names_of(
        "worker",
        "airflow.executors.local_executor",
        ("LocalExecutor.end", "tells some of its processes to end, and waits for all", REPLACED, _WAITS),
        ("LocalExecutor.workers", "each is told", USED, _WAITS),
        ("LocalExecutor.activity_queue", "the same", USED, _WAITS),
    ),
    *names_of("worker", "airflow.executors.workloads.base", ("BundleInfo", "name a callback's bundle")),
    *names_of("worker", "airflow.settings", ("get_policy_plugin_manager", "register the policy for pods")),
    *names_of(
        "worker",
        "airflow.serialization.serialized_objects",
        ("BaseSerialization.serialize", "a callback's arguments, as Airflow's database holds them"),
        ("BaseSerialization.deserialize", "the same, in the child"),
    ),
)

_DOCTOR = (
    *names_of(
        "doctor", "airflow.jobs.job", ("Job.state", "which triggerers live"), ("Job.is_alive", "the same")
    ),
    *names_of(
        "doctor",
        "airflow.models.taskinstance",
        ("TaskInstance.queue", "which queues tasks are in"),
        ("TaskInstance.end_date", "which of them count"),
    ),
)

_ELSE = "the other way of finding a bundle's files is there"
_CHECK = (
    *names_of(
        "check",
        _PROCESSOR,
        ("_parse_file", "parse a file in this process, and get what the Dag processor would get"),
        ("DagFileParseRequest", "its argument"),
    ),
    *names_of("check", _SUPERVISOR, ("block_orm_access", "refuse the database as in a real parse")),
    *names_of(
        "check",
        "airflow.sdk.importers",
        ("get_importer_registry", "find the files that the manager finds", USED, _ELSE),
        ("DagImportError", "the same", USED, _ELSE),
    ),
    *names_of(
        "check",
        "airflow.utils.file",
        ("find_enclosing_file", "the same", USED, _ELSE),
        ("list_py_file_paths", "the same, before Airflow 3.4", USED, _ELSE),
        ("might_contain_dag", "the same, of an archive", USED, _ELSE),
    ),
)

NAMES = (
    *_EVERYWHERE,
    *_DAG_PROCESSOR,
    *_BUNDLES,
    *_DAG_OWNERS,
    *_WORKER,
    *TRIGGERER_JOB,
    *TRIGGERER_ROWS,
    *_DOCTOR,
    *_CHECK,
)


def missing(component: str) -> list[Upstream]:
    """The names that a component needs and this Airflow does not have."""
    asked = {"all", component}
    return [one for one in NAMES if one.component in asked and one.is_needed() and not one.is_there()]
