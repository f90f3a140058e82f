"""`envman units`: write what starts this deployment's components."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from envman.deployment.service_files import UnitFormat, WantedUnits, unit_files
from envman.errors import Problem, UsageError
from envman.launch.airflow_configuration import AirflowConfiguration
from envman.resolver.table import Table
from envman.system.files import write_atomic

ALWAYS = ("api-server", "scheduler", "dag-processor", "triggerer")
BY_EXECUTOR = {"CeleryExecutor": "worker", "EdgeExecutor": "edge-worker"}


@dataclass(frozen=True)
class UnitsOutcome:
    """What was written, by its path."""

    folder: str
    files: tuple[str, ...]


def components_of(configuration: AirflowConfiguration) -> tuple[str, ...]:
    """The components that a deployment needs, by its executors; raises SpecError."""
    executors = configuration.option("core", "executor") or ""
    workers = [name for executor, name in BY_EXECUTOR.items() if executor in executors]
    return (*ALWAYS, *workers)


def has_users_and_limits(table: Table) -> tuple[bool, bool]:
    """Whether any environment of the published table has a user of its own, and whether any has limits."""
    return table.has("user"), table.has("limits")


def write_units(folder: Path, wanted: WantedUnits, how: UnitFormat) -> UnitsOutcome:
    """Write the files; one that is there stays as it is. Raises UsageError, OSError."""
    files = unit_files(wanted, how)
    if there := [name for name in files if (folder / name).exists()]:
        what = f"is there already: {', '.join(there)}"
        raise UsageError(Problem(str(folder), what, "Name another folder, or remove them first."))
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        write_atomic(folder / name, text)
    return UnitsOutcome(str(folder), tuple(files))
