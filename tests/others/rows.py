"""What a Dag processor has left in its database, as rows that can be compared with another's."""

from __future__ import annotations

import json
import re
import sqlite3
import zlib
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Key = tuple[str, ...]
Rows = dict[str, dict[Key, Any]]
"""By table and key; what a key has is JSON."""


@dataclass(frozen=True)
class Query:
    """What is read of the database; the first `keys` columns say whose row it is."""

    keys: int
    sql: str


QUERIES: Mapping[str, Query] = {
    "serialized Dags": Query(1, "select dag_id, data, data_compressed from serialized_dag"),
    "Dags": Query(
        1,
        "select dag_id, bundle_name, relative_fileloc, fileloc, owners, dag_display_name, description,"
        " timetable_summary, timetable_description, asset_expression, is_stale, has_import_errors,"
        " max_active_tasks, max_active_runs, max_consecutive_failed_dag_runs from dag",
    ),
    "versions": Query(1, "select dag_id, count(*), max(version_number) from dag_version group by dag_id"),
    "code": Query(1, "select dag_id, fileloc, source_code_hash from dag_code"),
    "import errors": Query(2, "select bundle_name, filename, stacktrace from import_error"),
    "warnings": Query(2, "select dag_id, warning_type, message from dag_warning"),
    "tags": Query(2, "select dag_id, name from dag_tag"),
    "owners": Query(2, "select dag_id, owner, link from dag_owner_attributes"),
    "assets": Query(2, 'select name, uri, "group", extra from asset'),
    "active assets": Query(2, "select name, uri from asset_active"),
    "scheduled by": Query(
        3,
        "select r.dag_id, a.name, a.uri from dag_schedule_asset_reference r join asset a on a.id = r.asset_id",
    ),
    "outlets": Query(
        4,
        "select r.dag_id, r.task_id, a.name, a.uri from task_outlet_asset_reference r"
        " join asset a on a.id = r.asset_id",
    ),
    "watchers": Query(
        3,
        "select a.name, w.name, t.classpath, t.kwargs from asset_watcher w join asset a on a.id = w.asset_id"
        " join trigger t on t.id = w.trigger_id",
    ),
}

ASSET = {"id", "name", "uri", "group"}
ADDRESS = re.compile(r"\bat 0x[0-9a-f]+")


def read_rows(home: Path) -> Rows:
    """The rows in the database of an AIRFLOW_HOME, whose own path is read as HOME."""
    with closing(sqlite3.connect(home / "airflow.db")) as database:
        return {name: _read(database, query, str(home)) for name, query in QUERIES.items()}


def _read(database: sqlite3.Connection, query: Query, home: str) -> dict[Key, Any]:
    found: dict[Key, Any] = {}
    for row in database.execute(query.sql):
        key = tuple(str(part) for part in row[: query.keys])
        found[key] = [_plain(value, home) for value in row[query.keys :]]
    return found


def _plain(value: Any, home: str) -> Any:
    """A column's content, decoded where it is JSON, without what is another for each process."""
    if isinstance(value, bytes):
        value = zlib.decompress(value).decode()
    if not isinstance(value, str):
        return value
    value = ADDRESS.sub("at 0x", value.replace(home, "HOME"))
    if value[:1] in {"{", "["}:
        try:
            return json.loads(value, object_hook=_without_number)
        except ValueError:
            return value
    return value


def _without_number(read: dict[str, Any]) -> dict[str, Any]:
    """An asset without the number of its row, which says which Dag came first."""
    return {name: value for name, value in read.items() if name != "id" or read.keys() != ASSET}
