"""Which Airflow this component is, which one a generation holds, and that the two are the same."""

from __future__ import annotations

import functools
import json
from importlib.metadata import version

from envman.errors import Problem, ResolveError, StoreError

CORE = "apache-airflow-core"


class BuiltInterpreter:
    """What a generation's manifest says: its interpreter in words, its Airflow's version, if any, and the
    digest of its lock's pins.
    """

    __slots__ = ("airflow", "lock", "words")

    def __init__(self, words: str, airflow: str | None, lock: str) -> None:
        self.words = words
        self.airflow = airflow
        self.lock = lock


@functools.cache
def own_airflow() -> str:
    """The version of the Airflow that this process runs."""
    return version(CORE)


@functools.cache
def built_interpreter(manifest: str) -> BuiltInterpreter:
    """What a generation's manifest says; a generation never changes, so each is read once.

    Raises StoreError for a manifest that can't be read.
    """
    try:
        with open(manifest, encoding="utf-8") as stream:
            content = json.load(stream)
        interpreter = content["interpreter"]
        words = f"{interpreter['implementation']} {interpreter['version']}"
        return BuiltInterpreter(words, content["packages"].get(CORE), str(content.get("lock", "")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        what = f"the manifest can't be read: {error or type(error).__name__}"
        raise StoreError(Problem(manifest, what, "Run: envman verify")) from None


def check_airflow(environment: str, theirs: str | None) -> None:
    """Refuse an environment whose Airflow is not this component's: no two versions promise to understand
    each other. Raises ResolveError.
    """
    if theirs == own_airflow():
        return
    where = f"environment '{environment}'"
    if theirs is None:
        what = f"has no Airflow ({CORE}), so it can't parse or run Dags"
        raise ResolveError(Problem(where, what, "Take 'airflow = false' out of its spec, lock and build it."))
    what = f"has Airflow {theirs}, this component is Airflow {own_airflow()}"
    remedy = "Set airflow-version in envman.toml to the deployment's version; then run: envman lock, build"
    raise ResolveError(Problem(where, what, remedy))
