"""The comparison finds what differs, and excuses nothing that it was not told of."""

from __future__ import annotations

import sqlite3
import zlib
from contextlib import closing
from pathlib import Path

from tests.others.comparison import MISSING, Difference, Expected, compare, judge
from tests.others.report import Run, headline, report, source_of
from tests.others.rows import QUERIES, Rows, read_rows

DAGS = "serialized Dags"
STOCK: Rows = {name: {} for name in QUERIES} | {
    DAGS: {("a",): [{"dag": {"tags": ["x"], "start": 1}}], ("b",): [{"dag": {"start": 2}}]},
    "Dags": {("a",): ["systems", "system/http/example_http.py"], ("b",): ["airflow", "b.py"]},
}


def changed(**dags: object) -> Rows:
    return {**STOCK, DAGS: {**STOCK[DAGS], **{(dag,): [data] for dag, data in dags.items()}}}


def test_equal_rows_have_no_differences() -> None:
    assert compare(STOCK, changed()) == []


def test_a_difference_is_found_where_it_is() -> None:
    ours = changed(a={"dag": {"tags": ["y"], "start": 1}}, b={"dag": {"start": 2.0}})
    places = [difference.place for difference in compare(STOCK, ours)]
    assert places == [(DAGS, ("a",), "/0/dag/tags/0"), (DAGS, ("b",), "/0/dag/start")]  # 2.0 is not 2


def test_a_row_that_only_one_has_is_a_difference() -> None:
    more = compare(STOCK, changed(c={}))
    assert more == [Difference(DAGS, ("c",), "", MISSING, "[{}]")]
    assert compare(changed(c={}), STOCK) == [Difference(DAGS, ("c",), "", "[{}]", MISSING)]


def test_a_difference_is_expected_or_unsteady_or_not_listed() -> None:
    differences = compare(STOCK, changed(a={"dag": {"tags": ["y"], "start": 8}}, b={"dag": {"start": 9}}))
    again = compare(STOCK, changed(a={"dag": {"tags": ["x"], "start": 7}}))
    judged = judge(differences, [Expected(DAGS, "a", "*/tags/*", "so it is")], again)
    assert [one.place for one in judged.unlisted] == [(DAGS, ("b",), "/0/dag/start")]
    assert [one.place for one in judged.expected["so it is"]] == [(DAGS, ("a",), "/0/dag/tags/0")]
    assert [one.place for one in judged.unsteady] == [(DAGS, ("a",), "/0/dag/start")]
    assert headline(STOCK, judged).startswith("2 Dags, 0 serialized alike")
    text = report("3.3.2", {"stock": Run(STOCK, 1), "shared": Run(STOCK, 2)}, judged)
    assert "| http | 1 | 0 | 0 |" in text
    assert "| airflow | 1 | 0 | 0 |" in text
    assert "## Listed: so it is" in text


def test_a_file_is_its_providers() -> None:
    assert source_of("systems", "system/apache/kafka/a.py") == "apache-kafka"
    assert source_of("systems", "system/nobody/a.py") == "systems"
    assert source_of("cosmos", "from_dbt.py") == "cosmos"


def test_rows_are_read_as_json_and_without_the_home_folder(tmp_path: Path) -> None:
    tables = (
        "serialized_dag (dag_id, data, data_compressed)",
        "dag (dag_id, bundle_name, relative_fileloc, fileloc, owners, dag_display_name, description,"
        " timetable_summary, timetable_description, asset_expression, is_stale, has_import_errors,"
        " max_active_tasks, max_active_runs, max_consecutive_failed_dag_runs)",
        "dag_version (dag_id, version_number)",
        "dag_code (dag_id, fileloc, source_code_hash)",
        "import_error (bundle_name, filename, stacktrace)",
        "dag_warning (dag_id, warning_type, message)",
        "dag_tag (dag_id, name)",
        "dag_owner_attributes (dag_id, owner, link)",
        'asset (id, name, uri, "group", extra)',
        "asset_active (name, uri)",
        "dag_schedule_asset_reference (dag_id, asset_id)",
        "task_outlet_asset_reference (dag_id, task_id, asset_id)",
        "asset_watcher (name, asset_id, trigger_id)",
        "trigger (id, classpath, kwargs)",
    )
    with closing(sqlite3.connect(tmp_path / "airflow.db")) as database:
        for table in tables:
            database.execute(f"create table {table}")
        database.execute(
            "insert into serialized_dag values ('a', '{\"x\": [1]}', ?)", [zlib.compress(b'{"y": 2}')]
        )
        error = f"<object at 0x7f00> in {tmp_path}/a.py"
        database.execute("insert into import_error values ('b', 'a.py', ?)", [error])
        database.commit()
    rows = read_rows(tmp_path)
    assert rows.keys() == QUERIES.keys()
    assert rows[DAGS] == {("a",): [{"x": [1]}, {"y": 2}]}
    assert rows["import errors"] == {("b", "a.py"): ["<object at 0x> in HOME/a.py"]}
