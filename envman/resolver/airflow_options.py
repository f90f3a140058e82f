"""The options of Airflow's configuration that code of a workload reads: those that a component hands on.

Of Airflow 3.3 and 3.4 and of their providers: what is read in a parse, a task, a callback or a runner of
triggers, and is not sensitive. tests/upstream/test_options.py holds the list against the descriptions of
each supported Airflow; what is decided about the other options is in deployment/unread_options.py and there.
"""

from __future__ import annotations

_READ = {
    "api": "base_url",
    "aws": "session_factory",
    "common.io": (
        "state_store_objectstorage_compression state_store_objectstorage_path "
        "state_store_objectstorage_threshold xcom_objectstorage_compression xcom_objectstorage_path "
        "xcom_objectstorage_threshold"
    ),
    "core": (
        "allow_double_dot_in_ids allowed_deserialization_classes allowed_deserialization_classes_regexp "
        "dag_discovery_safe_mode dag_ignore_file_syntax dag_run_conf_overrides_params "
        "dagbag_import_error_traceback_depth dagbag_import_error_tracebacks dagbag_import_timeout "
        "dags_folder dbapihook_resolve_target_fields default_impersonation default_task_execution_timeout "
        "default_task_retries default_task_retry_delay default_task_weight_rule default_timezone "
        "enable_xcom_pickling executor hide_sensitive_var_conn_fields hostname_callable "
        "killed_task_cleanup_time lazy_discover_providers lazy_load_plugins load_examples "
        "max_active_runs_per_dag max_active_tasks_per_dag max_consecutive_failed_dag_runs_per_dag "
        "max_task_retry_delay max_templated_field_length might_contain_dag_callable multi_team "
        "plugins_folder security sensitive_var_conn_names unit_test_mode xcom_backend"
    ),
    "dag_processor": (
        "dag_bundle_storage_path dag_file_processor_timeout dag_importer_configs "
        "dag_version_inflation_check_level disable_bundle_versioning refresh_interval"
    ),
    "email": (
        "default_email_on_failure default_email_on_retry email_backend email_conn_id from_email "
        "html_content_template ssl_context subject_template"
    ),
    "hive": "default_hive_mapred_queue mapred_job_name_template",
    "informatica": (
        "auto_lineage_enabled default_conn_id disabled_for_operators listener_disabled request_timeout"
    ),
    "kerberos": "ccache principal",
    "kubernetes_executor": (
        "cluster_context config_file enable_tcp_keepalive in_cluster logs_task_metadata namespace "
        "pod_template_file ssl_ca_cert tcp_keep_cnt tcp_keep_idle tcp_keep_intvl verify_ssl "
        "worker_container_repository worker_container_tag"
    ),
    "lineage": "max_assets_per_collector max_extras_per_collector",
    "logging": (
        "base_log_folder callsite_parameters color_log_error_keywords color_log_warning_keywords "
        "colored_console_log dag_processor_log_format dag_processor_log_target extra_logger_names "
        "fab_logging_level file_task_handler_new_file_permissions file_task_handler_new_folder_permissions "
        "json_logs log_filename_template log_format log_formatter_class log_timestamp_format "
        "logging_config_class logging_level min_length_masked_secret namespace_levels secret_mask_adapter "
        "simple_log_format task_log_prefix_template task_log_reader"
    ),
    "metrics": (
        "dag_tags_in_metrics legacy_names_on metrics_allow_list metrics_block_list otel_debugging_on "
        "otel_host otel_interval_milliseconds otel_on otel_port otel_prefix otel_service otel_ssl_active "
        "stat_name_handler statsd_custom_client_path statsd_datadog_enabled statsd_datadog_metrics_tags "
        "statsd_datadog_tags statsd_disabled_tags statsd_host statsd_influxdb_enabled statsd_ipv6 statsd_on "
        "statsd_port statsd_prefix statsd_socket_path"
    ),
    "openlineage": (
        "config_conn_id config_path custom_run_facets debug_mode disable_source_code disabled "
        "disabled_for_operators emission_policy execute_in_thread execution_timeout extractors "
        "include_full_task_info namespace selective_enable spark_inject_parent_job_info "
        "spark_inject_transport_info"
    ),
    "operators": (
        "default_cpus default_deferrable default_disk default_gpus default_owner default_queue default_ram"
    ),
    "postgres": "azure_oauth_scope",
    "scheduler": (
        "allowed_run_id_pattern batch_asset_events catchup_by_default create_cron_data_intervals "
        "create_delta_data_intervals ignore_first_depends_on_past_by_default"
    ),
    "sdk": "dag_bundle_to_coordinator",
    "secrets": "cache_ttl_seconds use_cache",
    "sensors": "default_timeout",
    "smtp": "smtp_host smtp_mail_from smtp_port smtp_retry_limit smtp_ssl smtp_starttls smtp_timeout",
    "snowflake": "azure_oauth_scope",
    "standard": "venv_install_method",
    "state_store": "clear_on_success default_retention_days max_value_storage_bytes",
    "traces": (
        "otel_debug_traces_on otel_debugging_on otel_host otel_on otel_port otel_service otel_ssl_active "
        "task_runner_flush_timeout_milliseconds"
    ),
    "triggerer": (
        "blocked_main_thread_warning_threshold on_kill_timeout queues_enabled shared_stream_ack_timeout "
        "shared_stream_cohort_grace_period shared_stream_subscriber_queue_size"
    ),
    "webserver": "base_url",  # the name that [api] base_url had before
    "workers": (
        "api_retries api_retry_wait_max api_retry_wait_min missing_dag_retires missing_dag_retries "
        "missing_dag_retry_delay state_store_backend"
    ),
    "yandex": "sdk_user_agent_prefix",
}


def variable_of(section: str, option: str) -> str:
    """The end of an option's environment variable, as Airflow makes it: CORE__DAGS_FOLDER."""
    return f"{section.replace('.', '_')}__{option}".upper()


HANDED_ON = frozenset(
    variable_of(section, option) for section, options in _READ.items() for option in options.split()
)
"""The ends of their environment variables."""
