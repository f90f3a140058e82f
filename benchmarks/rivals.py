"""The ways to run Airflow's components that the benchmarks compare."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from functools import partial

from benchmarks.airflow_project import CORE, AirflowProject, make_project
from benchmarks.measure import clean_environment
from benchmarks.settings import Settings
from tests.e2e.airflow import AirflowDeployment

COLD_OPTION = "--cold"
"""Runs each workload in a fresh interpreter. An envman without this option always does."""


@dataclass(frozen=True)
class Rival:
    """One way: stock Airflow, or envman's launch with or without a fork server."""

    key: str
    name: str
    launched: bool
    warm: bool = False
    preload: bool = False

    def environment(self, project: AirflowProject) -> str:
        """The environment of the components."""
        return CORE if self.launched else project.first


STOCK = Rival("stock", "stock Airflow, one environment", launched=False)
COLD = Rival("cold", "envman, cold", launched=True)
WARM = Rival("warm", "envman, warm", launched=True, warm=True)
PRELOAD = Rival("preload", "envman, warm, pandas preloaded", launched=True, warm=True, preload=True)
RIVALS = {rival.key: rival for rival in (STOCK, COLD, WARM, PRELOAD)}


_NOT_WARM = "No fork server"
"""What a component logs when it goes on cold."""


def check_warm(rival: Rival, output: str) -> None:
    """Raise RuntimeError where a rival that should be warm was not: its figures would be another's."""
    if rival.warm and _NOT_WARM in output:
        raise RuntimeError(f"{rival.name}: {next(line for line in output.splitlines() if _NOT_WARM in line)}")


class Field:
    """The rivals that take part, and the projects that they need."""

    def __init__(self, settings: Settings, environments: int, alike: bool = False) -> None:
        self._settings = settings
        self._has_cold_option = COLD_OPTION in _launch_help(settings)
        wanted = settings.rivals or (tuple(RIVALS) if self._has_cold_option else (STOCK.key, COLD.key))
        self.rivals = [RIVALS[key] for key in wanted]
        if any(rival.warm for rival in self.rivals) and not self._has_cold_option:
            raise SystemExit(f"this envman has no {COLD_OPTION}, so it has no fork server either")
        preload = any(rival.preload for rival in self.rivals)
        make = partial(make_project, settings, environments, alike=alike, bundles=settings.bundles)
        self.plain = make()
        self._preload = make(preload=True) if preload else self.plain

    def project(self, rival: Rival) -> AirflowProject:
        """The project that a rival runs on."""
        return self._preload if rival.preload else self.plain

    def command(self, rival: Rival, deployment: AirflowDeployment, *words: str) -> list[str]:
        """The command that starts a component: `words` are those of the `airflow` command."""
        if not rival.launched:
            return [str(deployment.stock / "airflow"), *words]
        cold = [COLD_OPTION] if self._has_cold_option and not rival.warm else []
        component = next(word for word in words[:2] if word not in {"celery", "edge"})
        rest = words[words.index(component) + 1 :]
        return [str(self._settings.envman), "launch", component, *cold, "--", *rest]


def _launch_help(settings: Settings) -> str:
    command = [str(settings.envman), "launch", "--help"]
    return subprocess.run(command, env=clean_environment(), capture_output=True, text=True, check=True).stdout
