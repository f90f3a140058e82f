"""What differs between two parses, and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from envman.proof.gaps import gaps
from envman.proof.parsed_file import FileParse, ParsePlace, file_parse, interpreter_facts
from envman.proof.reasons import Evidence, explained
from envman.proof.verdicts import VersionChange

PLACE = ParsePlace("/tmp/home", "/dags", "/dags/a")


def dag(name: str = "d", **fields: Any) -> dict[str, Any]:
    task = {"__var": {"task_id": "t", "task_type": "EmptyOperator", "downstream_task_ids": ["u"]}}
    return {"__version": 3, "dag": {"dag_id": name, "tasks": [task], "tags": ["x"], **fields}}


def parse(*dags: dict[str, Any], **more: Any) -> FileParse:
    return file_parse({"dags": list(dags), **more}, PLACE)


def reasons(old: FileParse, new: FileParse, **known: Any) -> list[tuple[str, bool]]:
    return [(one.reason, one.harmless) for one in explained(old, new, Evidence(**known))]


def test_what_a_parse_gave_has_nothing_of_the_place_in_it() -> None:
    line = {
        "dags": [
            dag(fileloc="/dags/a/x.py", relative_fileloc="a/x.py", doc_md="<f at 0x7f1a> in /tmp/home/dags")
        ],
        "errors": {"a/x.py": "in /tmp/home"},
        "python_warnings": [["/opt/lib/python3.12/site-packages/p/q.py", 7, "old"]],
    }
    found = file_parse(line, PLACE)
    inner = found.dags["d"]["dag"]
    assert (inner["fileloc"], inner["relative_fileloc"]) == ("x.py", "x.py")
    assert inner["doc_md"] == "<f at 0x> in AIRFLOW_HOME/dags"
    assert found.errors == {"x.py": "in AIRFLOW_HOME"}
    assert found.python_warnings == ("p/q.py: old",)
    assert found.serialization == "3"


@pytest.mark.parametrize(
    "line",
    [
        {"dags": 7, "errors": [], "warnings": {}, "python_warnings": [3], "loaded": "x", "seconds": True},
        {"dags": [None, [], {"dag": 3}, {"dag": {"dag_id": 4, "tasks": [{}, 3]}}], "modules": {"a": []}},
        {"dags": [dag(tasks=[{"__var": {"task_id": "t"}}] * 2)], "errors": {"f": None}, "read": {}},
    ],
)
def test_an_answer_of_another_shape_is_read_all_the_same(line: dict[str, Any]) -> None:
    assert gaps(file_parse(line, PLACE), file_parse(line, PLACE)) == []
    assert interpreter_facts([line], "").airflow == ""


def test_a_value_that_is_nested_without_end_is_read_to_a_depth() -> None:
    deep: Any = "end"
    for _ in range(900):
        deep = [deep]
    assert gaps(parse(dag(params=deep)), parse(dag(params=deep))) == []


def test_equal_parses_have_no_difference() -> None:
    assert explained(parse(dag()), parse(dag()), Evidence()) == ()


def test_a_task_more_is_one_difference() -> None:
    more = dag()
    more["dag"]["tasks"] = [{"__var": {"task_id": "first"}}, *more["dag"]["tasks"]]
    (gap,) = gaps(parse(dag()), parse(more))
    assert gap.path == "/dag/tasks/first"


def test_what_differs_from_itself_is_harmless_and_nothing_else_is() -> None:
    old, new = parse(dag(a="1700000000.5", b=1)), parse(dag(a="1700000009.5", b=2))
    again = [parse(dag(a="1700000003.5", b=1))]
    found = explained(old, new, Evidence(again=again))
    assert [(one.path, one.reason) for one in found] == [("dag/a", "itself"), ("dag/b", "")]
    assert "a time" in found[0].why
    (order,) = explained(parse(dag(a=[1, 2])), parse(dag(a=[1, 3])), Evidence(again=[parse(dag(a=[1, 2]))]))
    assert not order.harmless


def test_the_order_of_a_set_is_named() -> None:
    old, new = parse(dag(a=["x", "y"])), parse(dag(a=["y", "x"]))
    (one,) = explained(old, new, Evidence(again=[new]))
    assert one.harmless
    assert "the order of a set" in one.why
    assert reasons(old, new) == [("", False)]


def test_a_dag_of_another_name_each_time_is_harmless() -> None:
    old, new = parse(dag("a1"), dag("b")), parse(dag("a2"), dag("b"))
    assert reasons(old, new, again=[parse(dag("a3"), dag("b"))]) == [("itself", True)] * 2
    assert reasons(old, new, again=[old]) == [("", False)] * 2
    assert reasons(old, parse(dag("b")), again=[parse(dag("a3"), dag("b"))])[0] == ("itself", True)


def test_a_path_of_the_interpreter_is_harmless() -> None:
    folders = {"/opt/airflow": "the interpreter", "/venv/.gen/1f": "the interpreter"}
    old = parse(dag(a="/opt/airflow/lib/python3.11/x", b="/opt/airflow/bin"))
    new = parse(dag(a="/venv/.gen/1f/lib/python3.12/x", b="/venv/.gen/1f/sbin"))
    assert reasons(old, new, folders=folders) == [("path", True), ("", False)]


def test_a_variable_is_named_where_the_live_interpreter_gives_the_same_without_it() -> None:
    old, new = parse(dag(a="x")), parse(dag(a="y"))
    (one,) = explained(old, new, Evidence(narrow=new, variables=["STAGE"], environment="env_a"))
    assert (one.reason, one.harmless) == ("variable", False)
    assert 'pass = ["STAGE"]' in one.remedy
    assert reasons(old, new, narrow=old, variables=["STAGE"]) == [("", False)]


def test_a_package_of_another_version_is_named() -> None:
    changes = [VersionChange("alpha", "1", "2"), VersionChange("pandas", "1.5", "2.0")]
    old, new = parse(dag(a=1)), parse(dag(a="pandas"))
    (one,) = explained(old, new, Evidence(changes=changes, environment="env_a"))
    assert one.reason == "package"
    assert "pandas 1.5 -> 2.0, alpha 1 -> 2" in one.why
    assert "'pandas==1.5'" in one.remedy
    assert reasons(old, new, pythons=("3.11.2", "3.12.1")) == [("python", False)]
    assert reasons(old, new, pythons=("3.11.2", "3.11.9")) == [("", False)]


def error(text: str) -> dict[str, str]:
    return {"a/x.py": f"Traceback (most recent call last):\n  File {text!r}\n{text}"}


def test_an_import_error_is_explained_by_what_it_says() -> None:
    missing = parse(errors=error("ModuleNotFoundError: No module named 'gone.part'"))
    known = Evidence(owners={"gone.part": "gone"}, versions={"gone": "1.0"}, environment="env_a")
    lost, one = sorted(explained(parse(dag()), missing, known), key=lambda found: found.kind)
    assert one.reason == "module"
    assert one.remedy == "Run: envman add env_a 'gone==1.0'"
    (one,) = explained(parse(), missing, replace(known, own=["gone"]))
    assert "envman add" not in one.remedy
    assert "environments/env_a.toml: sources" in one.remedy
    assert lost.reason == "error"
    for file, remedy in {
        "/dags/gone/part.py": 'a = { ..., shared = ["../gone"] }',
        "/dags/gone/part/__init__.py": 'a = { ..., shared = ["../gone"] }',
        "/other/gone/part.py": "`sources` in its spec",
    }.items():
        known = Evidence(outside={"gone.part": file}, bundle=("a", "/dags/a"))
        (one,) = explained(parse(), missing, known)
        assert file in one.why
        assert remedy in one.remedy
    (one,) = explained(
        parse(), parse(errors=error("FileNotFoundError: [Errno 2] No: '/x/y.sql'")), Evidence()
    )
    assert (one.reason, "/x/y.sql" in one.why) == ("missing file", True)


def test_the_same_error_by_other_lines_is_harmless() -> None:
    old, new = ({"a/x.py": f"Traceback\n  line {number}\nValueError: no"} for number in (1, 2))
    assert reasons(parse(errors=old), parse(errors=new)) == [("traceback", True)]
    assert reasons(parse(errors=old), parse()) == [("mended", False)]
    assert reasons(parse(errors=old), parse(dag())) == [("mended", False), ("error", False)]


def test_a_parse_that_failed_once_excuses_nothing() -> None:
    """Such as a time-out of a busy machine: it makes no Dag, and no value, unsteady."""
    failed = parse(ended="Parsing it took too long, and was killed")
    broken = parse(errors=error("ConnectionError: no"))
    old, new = parse(dag(a=1)), parse(dag(a=2))
    for other in (failed, broken):
        assert reasons(old, new, again=[other, old]) == [("", False)]
        assert reasons(other, new, again=[old, old]) == [("itself", True), ("", False)]
        assert reasons(other, old, again=[old, old]) == [("itself", True)]
        assert reasons(old, parse(), again=[other]) == [("", False)]
        assert reasons(old, other, again=[other])[0][1] is False
        assert reasons(old, new, narrow=other, variables=["X"]) == [("", False)]
    assert reasons(failed, new, again=[failed]) == [("mended", False), ("error", False)]


def test_an_import_error_that_varies_excuses_no_error_of_another_kind() -> None:
    old, again = (parse(errors=error(f"ValueError: at {number}")) for number in (1, 2))
    assert reasons(old, parse(errors=error("ValueError: at 3")), again=[again]) == [("itself", True)]
    assert reasons(old, parse(errors=error("KeyError: 3")), again=[again]) == [("", False)]


def test_another_form_of_dags_is_compared_by_its_core() -> None:
    old, new = parse(dag(catchup=True)), parse({**dag(catchup=False), "__version": 2})
    assert explained(old, new, Evidence(whole=False)) == ()
    assert len(explained(old, new, Evidence())) == 2
    (one,) = explained(old, parse(dag(tags=["y"])), Evidence(whole=False))
    assert one.path == "tags/0"


def test_warnings_and_ends_of_parses_are_compared() -> None:
    warning = {"dag_id": "d", "warning_type": "kind", "message": "words"}
    old = parse(warnings=[warning], python_warnings=[["x.py", 3, "old"]])
    new = parse(python_warnings=[["x.py", 5, "old"]], ended="Parsing it took too long, and was killed")
    assert [gap.kind for gap in gaps(old, new)] == ["end of the parse", "Dag warning"]
