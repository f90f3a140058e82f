"""Which Dags belong to other bundles: a bundle can't take them over by giving its own the same name."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.utils.session import create_session
from sqlalchemy import select

AT_ONCE = 500
"""Names in one question: some databases take no more than 999."""


def owned_elsewhere(bundle: str, dags: Collection[str]) -> dict[str, str]:
    """The Dags of these that another bundle has now, with why they can't be this one's."""
    found: dict[str, str] = {}
    names = [*dags]
    with create_session() as session:
        for begin in range(0, len(names), AT_ONCE):
            for dag, other in session.execute(_owned(bundle, names[begin : begin + AT_ONCE])):
                found[dag] = _why(dag, other)
    return found


def _owned(bundle: str, dags: list[str]) -> Any:
    return (
        select(DagModel.dag_id, DagModel.bundle_name)
        .join(DagBundleModel, DagBundleModel.name == DagModel.bundle_name)
        .where(
            DagModel.dag_id.in_(dags),
            DagModel.bundle_name != bundle,
            DagModel.is_stale.is_(False),
            DagBundleModel.active.is_(True),
        )
    )


def _why(dag: str, other: str) -> str:
    return (
        f"The Dag '{dag}' belongs to the bundle '{other}'.\n"
        "Give this one another name. If it moved here, it is taken over once it is gone from there."
    )
