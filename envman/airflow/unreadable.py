"""Dags that a component can't read: parsed in their own environment, but not to be understood in this one.

Airflow's components read each Dag that was parsed (a timetable of a plugin, a `pod_override`). Where one
can't be read, stock Airflow loses the whole file without a word; here it is the file's import error, and the
others stay.
"""

from __future__ import annotations

from glob import glob
from typing import Any

from envman.airflow.runtime import Runtime
from envman.inside.readable import explain, why_unreadable
from envman.store import layout


def refuse_unreadable(result: Any, file: str, runtime: Runtime) -> None:
    """Turn each Dag of a file's result that can't be read here into an import error of the file."""
    reasons = {dag.dag_id: reason for dag in result.serialized_dags if (reason := why_unreadable(dag))}
    if not reasons:
        return
    libraries = glob(f"{layout.generation_path(runtime.root, runtime.generation)}/lib/python3*/site-packages")
    told = ["\n".join(explain(dag, why, runtime.environment, libraries)) for dag, why in reasons.items()]
    result.serialized_dags = [dag for dag in result.serialized_dags if dag.dag_id not in reasons]
    errors = dict(result.import_errors or {})
    errors[file] = "\n\n".join([*([errors[file]] if file in errors else []), *told])
    result.import_errors = errors
