"""Options of the components of which a workload gets a part: what it needs of them, and nothing of others.

The list of bundles holds the addresses of all, and whatever else their classes are made with. A workload
finds its own bundle in it. The coordinators of other languages are looked up by their class alone.
"""

from __future__ import annotations

from envman.errors import SpecError
from envman.launch.airflow_configuration import VARIABLE as BUNDLES
from envman.launch.airflow_configuration import AirflowConfiguration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from envman.resolver.snapshot import Snapshot
    from envman.resolver.table import Table

COORDINATORS = "AIRFLOW__SDK__COORDINATORS"


def narrowed_options(snapshot: Snapshot, environment: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The part of such variables of a component that the workloads of an environment get.

    What stands in airflow.cfg is left there. Raises SpecError for a list that Airflow could not use either.
    """
    found = {}
    if BUNDLES in environ:
        found[BUNDLES] = _own_bundles(snapshot, environ).get(environment, "[]")
    if COORDINATORS in environ:
        found[COORDINATORS] = _without_arguments(environ[COORDINATORS])
    return found


_latest: dict[tuple[str, Table], dict[str, str]] = {}
"""What came of the latest list and table: each workload asks for it, and they hardly ever change."""


def _own_bundles(snapshot: Snapshot, environ: Mapping[str, str]) -> dict[str, str]:
    """The list's entries of each environment, as JSON."""
    key = (environ[BUNDLES], snapshot.table)
    found = _latest.get(key)
    if found is None:
        import json

        entries = {str(entry["name"]): entry for entry in _entries(environ)}
        by_environment = snapshot.answers_for(entries).by_environment()
        found = {
            environment: json.dumps([entries[bundle] for bundle in bundles])
            for environment, bundles in by_environment.items()
        }
        _latest.clear()
        _latest[key] = found
    return found


def _entries(environ: Mapping[str, str]) -> list[dict[str, object]]:
    """The entries as they are written; with `$NAME` replaced only where they are no list before that."""
    configuration = AirflowConfiguration(environ)
    try:
        return configuration.bundle_entries()
    except SpecError:
        return configuration.bundle_entries(expanded=True)


def _without_arguments(text: str) -> str:
    """The coordinators without what they are made with; none where the text is none that Airflow can use."""
    import json

    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return "{}"
    classes = found.items() if isinstance(found, dict) else ()
    return json.dumps(
        {name: {"classpath": one.get("classpath")} for name, one in classes if isinstance(one, dict)}
    )
