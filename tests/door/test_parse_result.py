"""A parse's result is one of the file that was asked for, whatever it says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envman.door.parse_result import LONGEST_ERROR, MOST_ERRORS, AskedFile, own, refuse
from tests.strategies import law

ASKED = AskedFile("/dags/a/team/file.py", "team/file.py")
ARCHIVE = AskedFile("/dags/a/dags.zip", "dags.zip")


@dataclass
class Dag:
    data: dict[Any, Any]


@dataclass
class Result:
    """As Airflow 3.3's."""

    serialized_dags: list[Any] = field(default_factory=list)
    import_errors: dict[str, str] | None = None
    warnings: list[Any] | None = None
    fileloc: str = "/dags/a/team/file.py"


def dag(name: object = "one", **content: object) -> Dag:
    places = {"fileloc": ASKED.path, "relative_fileloc": ASKED.relative}
    return Dag({"__version": 3, "dag": {"dag_id": name, **places, **content}})


def places_of(result: Result) -> list[tuple[str, str]]:
    return [
        (one.data["dag"]["fileloc"], one.data["dag"]["relative_fileloc"]) for one in result.serialized_dags
    ]


def test_an_honest_result_stays_as_it_is() -> None:
    warning = {"dag_id": "two", "warning_type": "dynamic", "message": "a word"}
    result = Result([dag("one"), dag("two")], {"team/file.py": "an error"}, [warning])
    own(result, ASKED)
    assert result == Result([dag("one"), dag("two")], {"team/file.py": "an error"}, [warning])


@pytest.mark.parametrize(
    "place",
    [
        *("/proc/self/environ", "/dags/a/team/other.py", "/dags/a/team/file.py/../other.py", "/etc/shadow"),
        *("/dags/a/team/file.py/", "/dags/a/team/file.py//x", "/dags/a/team/file.pyx", "", None, 5, ["x"]),
    ],
)
def test_a_dag_has_the_file_that_was_asked_for(place: object) -> None:
    result = Result([dag(fileloc=place, relative_fileloc=place)], fileloc=str(place))
    own(result, ASKED)
    assert places_of(result) == [(ASKED.path, ASKED.relative)]
    assert result.fileloc == ASKED.path


def test_a_dag_of_an_archive_may_be_of_a_file_in_it() -> None:
    within = dag(fileloc="/dags/a/dags.zip/sub/x.py", relative_fileloc="dags.zip/sub/x.py")
    outside = dag("two", fileloc="/dags/a/dags.zip/../x.py", relative_fileloc="dags.zip/./x.py")
    result = Result([within, outside], {"dags.zip/sub/x.py": "wrong"})
    own(result, ARCHIVE)
    inner = ("/dags/a/dags.zip/sub/x.py", "dags.zip/sub/x.py")
    assert places_of(result) == [inner, (ARCHIVE.path, ARCHIVE.relative)]
    assert result.import_errors == {"dags.zip/sub/x.py": "wrong"}


@pytest.mark.parametrize(
    "odd",
    [
        *({}, {"dag": None}, {"dag": []}, {"dag": {}}, {5: 5}),
        *(
            {"dag": {"dag_id": name}}
            for name in (5, "", "..", "a/../b", "/a", "a\0b", "a b", "DAG:a", "x" * 251)
        ),
    ],
)
def test_what_can_not_be_a_dag_is_the_files_error(odd: dict[Any, Any]) -> None:
    result = Result([Dag(odd), dag("good")])
    own(result, ASKED)
    assert [one.data["dag"]["dag_id"] for one in result.serialized_dags] == ["good"]
    assert result.import_errors == {ASKED.relative: "A Dag of this file has no name that a Dag can have."}


@pytest.mark.parametrize("tasks", [["t/../../x"], [".."], [""], [5], ["fine", "a b"]])
def test_a_task_has_a_name_that_leads_nowhere(tasks: list[object]) -> None:
    """It stands in the path of its log, which the component makes."""
    odd = dag("odd", tasks=[{"__type": "operator", "__var": {"task_id": task}} for task in tasks])
    fine = dag("fine", tasks=[{"__type": "operator", "__var": {"task_id": "group-1.tâche_2"}}])
    result = Result([odd, fine])
    own(result, ASKED)
    assert result.serialized_dags == [fine]
    assert result.import_errors == {
        ASKED.relative: "The Dag 'odd' has a task with no name that a task can have."
    }


@pytest.mark.parametrize("tasks", [5, None, [5], [{}], [{"__var": 5}], [{"__var": {}}], {"t": {}}])
def test_what_is_no_task_is_the_files_error(tasks: object) -> None:
    result = Result([dag("odd", tasks=tasks)])
    own(result, ASKED)
    assert result.serialized_dags == []


def test_a_second_dag_of_one_name_is_the_files_error() -> None:
    result = Result([dag("one"), dag("one", description="another")])
    own(result, ASKED)
    assert result.serialized_dags == [dag("one")]
    assert result.import_errors == {ASKED.relative: "This file has more than one Dag 'one'."}


def test_an_error_of_another_file_is_told_as_this_ones() -> None:
    result = Result(import_errors={"other.py": "theirs", "team/file.py": "ours", "../b/x.py": "far"})
    own(result, ASKED)
    assert result.import_errors == {"team/file.py": "ours\n\ntheirs\n\nfar"}


def test_errors_have_a_size_and_a_number() -> None:
    result = Result(import_errors={f"dags.zip/{number}.py": "x" * 200_000 for number in range(1200)})
    own(result, ARCHIVE)
    assert result.import_errors is not None
    assert len(result.import_errors) == MOST_ERRORS
    assert {len(text) for text in result.import_errors.values()} == {LONGEST_ERROR + 2}


@pytest.mark.parametrize(
    "warning",
    [
        {"dag_id": "another", "warning_type": "x", "message": "y"},
        {"dag_id": "one", "warning_type": "x", "message": "y", "timestamp": "z"},
        *({"dag_id": "one", "warning_type": 5, "message": "y"}, {"dag_id": "one"}, None, 5, "text", ["one"]),
        {"dag_id": ["one"], "warning_type": "x", "message": "y"},
    ],
)
def test_a_warning_is_of_a_dag_of_the_file(warning: object) -> None:
    result = Result([dag("one")], warnings=[warning])
    own(result, ASKED)
    assert result.warnings == []


def test_since_airflow_3_4_definitions_are_the_files_own_and_code_is_read_here() -> None:
    result: Any = Result([dag("one")])
    result.parsed_definitions = ["team/file.py", "team/other.py", "/etc/passwd"]
    result.dag_source_codes = {"one": "code", "another": "code"}
    own(result, ASKED)
    assert result.parsed_definitions == ["team/file.py"]
    assert result.dag_source_codes == {}


def test_a_refused_dag_is_the_files_error_and_the_others_stay() -> None:
    result = Result([dag("one"), dag("two")], {ASKED.relative: "first"})
    own(result, ASKED)
    refuse(result, ASKED, {"two": "it is another's"})
    assert result.serialized_dags == [dag("one")]
    assert result.import_errors == {ASKED.relative: "first\n\nit is another's"}


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from([ASKED.path, "/etc/shadow"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3)
    ),
    max_leaves=6,
)
contents = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("dag_id", "fileloc", "relative_fileloc"), anything)
)
dags = st.builds(Dag, st.fixed_dictionaries({}, optional={"dag": contents | anything}))


@law
@given(
    st.lists(dags, max_size=5),
    st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3),
    st.lists(anything),
)
def test_whatever_it_says_it_is_of_the_file(
    found: list[Dag], errors: dict[str, str], warnings: list[Any]
) -> None:
    result = Result(found, errors, warnings, "/proc/self/environ")
    own(result, ASKED)
    for path, relative in places_of(result):
        assert path == ASKED.path or path.startswith(f"{ASKED.path}/")
        assert relative == ASKED.relative or relative.startswith(f"{ASKED.relative}/")
    assert all(place.startswith(ASKED.relative) for place in result.import_errors or {})
    assert result.fileloc == ASKED.path
