"""Dags that a component can't read: parsed in their own environment, but not to be understood in this one.

Airflow's components read each Dag that was parsed (a timetable of a plugin, a `pod_override`). Where one
can't be read, stock Airflow loses the whole file without a word; here it is the file's import error, and the
others stay.
"""

from __future__ import annotations

from glob import glob
from typing import Any

from envman.airflow.runtime import Runtime
from envman.door.parse_result import AskedFile, refuse
from envman.inside.readable import explain, why_unreadable
from envman.store import layout

EXPLAINED = 3
"""Dags of a file whose reason is told at length."""


def refuse_unreadable(result: Any, asked: AskedFile, runtime: Runtime) -> None:
    """Turn each Dag of a file's result that can't be read here into an import error of the file."""
    reasons = {dag.dag_id: reason for dag in result.serialized_dags if (reason := why_unreadable(dag))}
    if reasons:
        generation = layout.generation_path(runtime.root, runtime.generation)
        libraries = glob(f"{generation}/lib/python3*/site-packages")
        told = {}
        for number, (dag, why) in enumerate(reasons.items()):
            whole = number < EXPLAINED  # finding the package that is missing takes a second
            words = explain(dag, why, runtime.environment, libraries) if whole else [f"Nor can '{dag}'."]
            told[dag] = "\n".join(words)
        refuse(result, asked, told)
