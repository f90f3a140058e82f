"""The options of Airflow's configuration that no workload needs: those that only components read.

Nobody misses them in a workload, so the doctor doesn't name them. tests/upstream/test_options.py has a new
option of Airflow decided about: it is here, or is handed on (resolver/airflow_options.py), or named there as
one that a workload may miss.
"""

from __future__ import annotations

from envman.resolver.airflow_options import HANDED_ON, variable_of
from envman.resolver.variables import matches

_UNREAD = {
    "api": "*",
    "api_auth": "*",
    "aws": "cloudwatch_task_handler_json_serializer s3_task_handler_acl_policy",
    "aws_auth_manager": "*",
    "aws_batch_executor": "*",
    "aws_ecs_executor": "*",
    "aws_eks_executor": "*",
    "aws_lambda_executor": "*",
    "azure_remote_logging": "*",
    "callbacks": "*",
    "celery": "*",
    "celery_broker_transport_options": "*",
    "celery_kubernetes_executor": "*",
    "celery_result_backend_transport_options": "*",
    "connection_test": "*",
    "core": (
        "asset_manager_class asset_manager_kwargs auth_manager compress_serialized_dags daemon_umask "
        "dags_are_paused_at_creation default_pool_task_slot_count execute_tasks_new_python_interpreter "
        "execution_api_server_url fernet_key max_map_length min_serialized_dag_update_interval "
        "mp_forkserver_preload mp_start_method num_dag_runs_to_retain_rendered_fields parallelism "
        "rerun_with_latest_version simple_auth_manager_all_admins simple_auth_manager_passwords_file "
        "simple_auth_manager_users task_success_overtime team_name_cache_ttl test_connection"
    ),
    "dag_processor": (
        "bundle_refresh_check_interval file_parsing_sort_mode health_check_threshold max_callbacks_per_loop "
        "min_file_process_interval parsing_pre_import_modules parsing_processes print_stats_interval "
        "stale_bundle_cleanup_age_threshold stale_bundle_cleanup_interval stale_bundle_cleanup_min_versions "
        "stale_dag_threshold"
    ),
    "database": "*",
    "edge": "*",
    "elasticsearch": "*",
    "elasticsearch_configs": "*",
    "execution_api": "*",
    "fab": "*",
    "kerberos": "forwardable include_ip include_renewal_lifetime keytab kinit_path reinit_frequency",
    "keycloak_auth_manager": "*",
    "kubernetes_executor": (
        "api_client_retry_configuration async_client_factory async_pod_creation client_factory "
        "delete_option_kwargs delete_worker_pods delete_worker_pods_on_failure kube_client_request_args "
        "multi_namespace_mode multi_namespace_mode_namespace_list pod_creation_max_concurrency "
        "pod_launch_failure_excluded_container_reasons pod_launch_failure_retries running_pod_log_lines "
        "task_publish_max_retries worker_pod_pending_fatal_container_state_reasons "
        "worker_pods_creation_batch_size worker_pods_queued_check_interval"
    ),
    "local_kubernetes_executor": "*",
    "logging": (
        "celery_logging_level celery_stdout_stderr_separation dag_processor_child_process_log_directory "
        "delete_local_logs encrypt_s3_logs google_key_path interleave_timestamp_parser "
        "remote_base_log_folder remote_log_conn_id remote_logging remote_task_handler_kwargs "
        "task_logs_to_stdout trigger_log_server_port uvicorn_logging_level worker_log_server_port"
    ),
    "openlineage": "dag_state_change_process_pool_size",
    "opensearch": "*",
    "opensearch_configs": "*",
    "profiling": "*",
    "scheduler": (
        "dag_cache_size dag_cache_ttl dagrun_metrics_interval dagrun_metrics_per_dag_id enable_health_check "
        "enable_tracemalloc job_heartbeat_sec max_dagruns_per_loop_to_schedule "
        "max_dagruns_to_create_per_loop max_tis_per_query num_runs only_idle orphaned_tasks_check_interval "
        "parsing_cleanup_interval partition_mapper_max_downstream_keys pool_metrics_interval "
        "scheduler_health_check_server_host scheduler_health_check_server_port "
        "scheduler_health_check_threshold scheduler_heartbeat_sec scheduler_idle_sleep_time "
        "task_instance_heartbeat_sec task_instance_heartbeat_timeout "
        "task_instance_heartbeat_timeout_detection_interval task_queued_timeout "
        "task_queued_timeout_check_interval ti_metrics_interval trigger_timeout_check_interval "
        "use_job_schedule use_row_level_locking"
    ),
    "sdk": "queue_to_coordinator",
    "state_store": "backend state_cleanup_batch_size",
    "triggerer": (
        "capacity job_heartbeat_sec max_trigger_to_select_per_loop runner_health_check_threshold "
        "triggerer_health_check_threshold unreferenced_triggers_cleanup_batch_size"
    ),
    "workers": (
        "execution_api_retries execution_api_retry_wait_max execution_api_retry_wait_min "
        "execution_api_timeout max_failed_heartbeats min_heartbeat_interval socket_cleanup_timeout"
    ),
}
"""`*` is each further option of a section: of those of which a workload reads next to nothing."""

UNREAD = tuple(
    variable_of(section, option) for section, options in _UNREAD.items() for option in options.split()
)
"""Patterns of the ends of their environment variables."""


def is_unread(option: str) -> bool:
    """Whether no workload needs an option, SECTION__KEY."""
    return option not in HANDED_ON and matches(option, UNREAD)
