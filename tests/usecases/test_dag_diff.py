"""What is told of Dags that two generations parse differently; parsing itself is that of `envman check`."""

from __future__ import annotations

from typing import Any

from envman.usecases.check import CheckOutcome, FileError, ParsedDag, ParsedFile
from envman.usecases.dag_diff import DagDifference, Parsed, differences_of, serialized


def parsed(files: dict[str, dict[str, Any]], errors: dict[str, str] | None = None) -> Parsed:
    """An outcome with these Dags by file, and these errors."""
    listed = [
        ParsedFile(
            name,
            0.1,
            tuple(ParsedDag(dag, 1) for dag in dags),
            tuple(FileError(name, text) for text in [(errors or {}).get(name)] if text),
            (),
        )
        for name, dags in files.items()
    ]
    outcome = CheckOutcome("b", "dags", "e", "g", "CPython", "3.3.2", tuple(listed))
    return Parsed(outcome, {dag: data for dags in files.values() for dag, data in dags.items()})


def test_dags_that_are_gone_new_or_otherwise_and_errors_that_come_and_go() -> None:
    old = parsed(
        {
            "a.py": {"same": {"x": 1}, "gone": {}, "other": {"tasks": [{"retries": 1}, {}], "tags": []}},
            "b.py": {},
        },
        {"b.py": "Traceback\nValueError: bad"},
    )
    new = parsed(
        {
            "a.py": {"same": {"x": 1}, "other": {"tasks": [{"retries": 2}, {}], "tags": ["t"]}},
            "b.py": {"new": {}},
        },
        {"a.py": "Traceback\n\nImportError: no pandas\n"},
    )
    assert [(one.file, one.dag, one.what) for one in differences_of("b", old, new)] == [
        ("a.py", "", "import error: ImportError: no pandas"),
        ("b.py", "", "has no import error any more"),
        ("a.py", "gone", "is gone"),
        ("b.py", "new", "is new"),
        ("a.py", "other", "differs: tags, tasks[0].retries"),
    ]


def test_a_dag_that_differs_everywhere_is_told_in_a_line() -> None:
    old, new = ({"d": {f"key_{number:02}": value for number in range(20)}} for value in (1, 2))
    (found,) = differences_of("b", parsed({"a.py": old}), parsed({"a.py": new}))
    assert found == DagDifference(
        "b", "a.py", "d", "differs: key_00, key_01, key_02, key_03, key_04 and 15 more"
    )


def test_places_are_no_difference_and_lines_that_are_no_dag_are_passed_over() -> None:
    """Code of the bundle writes into the file that the Dags are read from."""
    dag = '{"file": "a.py", "data": {"dag": {"dag_id": "d", "fileloc": "/x", "tasks": []}}}\n'
    lines = dag + 'no json\n{"data": 1}\n[]\n' + "[" * 100_000 + "\n"
    assert dict(serialized(lines)) == {"d": {"dag_id": "d", "tasks": []}}
