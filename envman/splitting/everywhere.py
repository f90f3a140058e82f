"""Code that every environment's interpreter imports: Airflow's plugins and config folders, and the modules
that its configuration names.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from envman.launch.airflow_configuration import AirflowConfiguration
from envman.splitting.imported_names import FoundImport, is_dotted
from envman.splitting.read_code import BundleCode, CodeFile

_CLASSES = (
    ("secrets", "backend"),
    ("workers", "secrets_backend"),
    ("core", "xcom_backend"),
    ("logging", "logging_config_class"),
)
"""Options that name what a task's process imports."""

_LOGS = {
    "s3": "airflow.providers.amazon",
    "cloudwatch": "airflow.providers.amazon",
    "gs": "airflow.providers.google",
    "stackdriver": "airflow.providers.google",
    "wasb": "airflow.providers.microsoft.azure",
    "oss": "airflow.providers.alibaba",
    "hdfs": "airflow.providers.apache.hdfs",
}
"""The provider that stores remote logs at an address of this scheme."""


def configured_code(
    configuration: AirflowConfiguration, read: Callable[[str, Path], BundleCode]
) -> tuple[BundleCode, ...]:
    """The code of the folders that are there, and one file for what the options name."""
    found = []
    for name, folder in zip(("config", "plugins"), configuration.module_folders(), strict=True):
        if Path(folder).is_dir():
            found.append(read(name, Path(folder)))
    files = {file.path: file for file in _named(configuration)}
    return (*found, BundleCode("Airflow's configuration", "", files))


def _named(configuration: AirflowConfiguration) -> list[CodeFile]:
    files = []
    for section, option in _CLASSES:
        value = (configuration.option(section, option) or "").strip()
        module, _, name = value.rpartition(".")
        if module and is_dotted(value):
            files.append(_file(section, option, module, name))
    scheme = (configuration.option("logging", "remote_base_log_folder") or "").partition(":")[0].lower()
    if configuration.is_on("logging", "remote_logging") and scheme in _LOGS:
        files.append(_file("logging", "remote_base_log_folder", _LOGS[scheme], ""))
    return files


def _file(section: str, option: str, module: str, name: str) -> CodeFile:
    found = FoundImport(module, name, 0, 0, optional=True)
    return CodeFile(f"Airflow's configuration: [{section}] {option}", (found,), is_dag=False)
