"""Airflow's plugins, loaded before the first fork: a component, too, has loaded them before it forks.

What no fork can share is found in a trial first, and left to each workload, which then loads it as it starts.
"""

from __future__ import annotations

import contextlib
import importlib
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from envman.inside import trial
from envman.inside.shared_modules import PreloadError, check_shareable, load_one, unobserved

if TYPE_CHECKING:
    from envman.inside.reports import PluginsReport

LIMIT = 50.0
"""Seconds that all plugins may take."""

REGISTERED = (
    "timetables",
    "priority_weight_strategies",
    "partition_mappers",
    "windows",
    "deadline_references",
)
"""Classes of plugins that a Dag may hold: who reads the Dag needs the plugin, too."""

MANAGERS = ("airflow.plugins_manager", "airflow.sdk.plugins_manager")
"""Each holds the plugins of its own; tasks use the second."""


def load() -> str:
    """Load all plugins, of packages and of the plugins folder. Returns why workloads have to load them
    themselves, empty where they don't; what of the packages' modules can be shared is imported even then.
    """
    with unobserved():
        if not (problem := _problem_of(_load_all)):
            _load_all()
            return ""
        for module in sorted({one.module for one in entry_points(group="airflow.plugins")}):
            if not _problem_of(lambda module=module: load_one(module)):
                load_one(module)
    return problem


def look() -> PluginsReport:
    """What the plugins are good for; found in a fork, which they may end."""
    outcome = trial.attempt(_looked, LIMIT)
    if outcome.value is None:
        return {"errors": {"plugins": _words(outcome)}, "registered": []}
    report: PluginsReport = outcome.value
    return report


def _looked() -> PluginsReport:
    errors: dict[str, str] = {}
    registered: set[str] = set()
    for name in MANAGERS:
        with contextlib.suppress(ModuleNotFoundError):  # an environment without Airflow
            manager = importlib.import_module(name)
            loaded, why = manager._get_plugins() if hasattr(manager, "_get_plugins") else ([], {})
            errors.update(why)
            classes = [one for plugin in loaded for kind in REGISTERED for one in getattr(plugin, kind, ())]
            registered |= {f"{one.__module__}.{one.__qualname__}" for one in classes}
    return {"errors": errors, "registered": sorted(registered)}


def _load_all() -> None:
    for name in MANAGERS:
        manager: Any = importlib.import_module(name)
        check_shareable("a plugin", manager._get_plugins)


def _problem_of(load: Any) -> str:
    """What a trial of it in a fork brings; empty where it can be shared."""

    def tried() -> str:
        try:
            load()
        except PreloadError as error:
            return str(error)
        return ""

    outcome = trial.attempt(tried, LIMIT)
    return str(outcome.value) if outcome.value is not None else _words(outcome)


def _words(outcome: trial.Outcome) -> str:
    if outcome.error:
        return outcome.error
    if outcome.status is None:
        return f"they take longer than {LIMIT:.0f} s"
    return f"a plugin ends the interpreter{outcome.ending()}"
