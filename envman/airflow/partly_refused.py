"""Results of which some Dags are refused here: an error of the file, whose other Dags are as good as ever."""

from __future__ import annotations

from typing import Any

from airflow.dag_processing.processor import DagFileParsingResult
from airflow.models.dag import DagModel
from sqlalchemy import update


class PartlyRefused(DagFileParsingResult):  # type: ignore[misc]  # Airflow is not there when types are checked
    """A parse's result without an error, of which Dags were taken out: its errors are about those alone."""


def keep_others(result: PartlyRefused, bundle: str, session: Any) -> None:
    """Have the Dags that are left be there: Airflow hides every Dag of a file that has an error."""
    names = [dag.dag_id for dag in result.serialized_dags]
    session.execute(
        update(DagModel)
        .where(DagModel.dag_id.in_(names), DagModel.bundle_name == bundle)
        .values({DagModel.is_stale: False, DagModel.has_import_errors: False})
        .execution_options(synchronize_session="fetch")
    )
