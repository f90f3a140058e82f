"""Tasks and Dag files of other languages, which a shared component refuses.

Airflow's coordinators start their runtimes with all variables of the component, as the component's user, and
past the limits of the bundle's environment. What Airflow's configuration sends to them is therefore refused
where it would start: a task fails with the reason in its log, a file gets an import error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.configuration import conf

from envman.errors import EnvmanError, Problem, ResolveError

if TYPE_CHECKING:
    from envman.airflow.bundle_interpreter import BundleInterpreter

WHAT = "would run {} without the user, limits and variables of the bundle's environment"


def refused_task(queue: str) -> ResolveError | None:
    """Why a task of this queue may not run; None where it is a task of Python's."""
    routes = _table("queue_to_coordinator")
    if queue not in routes:
        return None
    where = f"[sdk] queue_to_coordinator: '{queue}'"
    what = f"the coordinator '{routes[queue]}' {WHAT.format('this task')}"
    remedy = "Have this queue served by a stock Airflow worker, or by: envman launch worker --bundle B"
    return ResolveError(Problem(where, f"{what}, so it was not started", remedy))


def refused_file() -> ResolveError:
    """Why a Dag file that a coordinator's runtime would parse may not."""
    what = f"a coordinator {WHAT.format('this file')}"
    remedy = "Parse its bundle by a Dag processor of its own: envman launch dag-processor --bundle B"
    return ResolveError(Problem("[sdk] coordinators", what, remedy))


def refusing(error: EnvmanError) -> Callable[[str], BundleInterpreter]:
    """In the place of what finds a workload's interpreter: there is none, for this reason."""

    def find(_: str) -> NoReturn:
        raise error

    return find


def warnings() -> list[str]:
    """What of the configuration a shared component will refuse, in words; raises ResolveError where it can't
    be read.
    """
    coordinators = sorted(_table("coordinators"))
    if not coordinators:
        return []
    queues = sorted(_table("queue_to_coordinator"))
    words = f"[sdk] coordinators: {', '.join(coordinators)}; Dag files of theirs get an import error here"
    return [words + (f", tasks of these queues fail: {', '.join(queues)}" if queues else "")]


def _table(key: str) -> dict[str, Any]:
    """A JSON table of Airflow's configuration; the option is not known to each Airflow."""
    try:
        read = conf.getjson("sdk", key, fallback={}) or {}
    except Exception as error:  # noqa: BLE001  # whatever Airflow says of what can't be read
        remedy = "Correct it, in airflow.cfg or its variable; Airflow's own components need it, too."
        raise ResolveError(Problem(f"[sdk] {key}", f"can't be read: {error}", remedy)) from None
    if not isinstance(read, dict):
        raise ResolveError(Problem(f"[sdk] {key}", "is no JSON object", "See Airflow's configuration."))
    return read
