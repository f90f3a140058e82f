"""What a child may ask for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from envman.door.requests import ForeignError, HiddenError, OwnTask, check, own_reports


@dataclass
class Task:
    id: Any = "0198-aa"
    dag_id: str = "dag"
    run_id: str = "run"
    task_id: str = "task"


OWN = [OwnTask(Task())]


def message(kind: str, **fields: object) -> Any:
    made = type(kind, (), {})()
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def ask(kind: str, own: list[OwnTask] = OWN, held: tuple[str, ...] = (), **fields: object) -> None:
    check(message(kind, **fields), lambda: own, lambda name: name in held)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("GetVariable", {"key": "one"}),
        ("GetVariable", {"key": "_one"}),
        ("GetVariable", {"key": "one___two"}),
        ("GetConnection", {"conn_id": "one"}),
        ("MaskSecret", {"value": "x", "name": None}),
        ("TaskState", {"state": "failed"}),
        ("SetTaskStateStore", {"ti_id": "0198-aa"}),
        ("GetHITLDetailResponse", {"ti_id": "0198-aa"}),
        ("GetPrevSuccessfulDagRun", {"ti_id": "another"}),
        ("SetXCom", {"dag_id": "dag", "run_id": "run", "task_id": "task"}),
        ("GetXCom", {"dag_id": "another", "run_id": "run", "task_id": "task"}),
    ],
)
def test_an_honest_child_gets_what_it_asks_for(kind: str, fields: dict[str, object]) -> None:
    ask(kind, **fields)


@pytest.mark.parametrize("kind", ["SetTaskStateStore", "UpdateHITLDetail", "A message that is new"])
@pytest.mark.parametrize("own", [OWN, []])
def test_another_task_instance_is_refused_by_any_message(kind: str, own: list[OwnTask]) -> None:
    with pytest.raises(ForeignError, match=f"{kind} of the task instance 0198-bb"):
        ask(kind, own, ti_id="0198-bb")


@pytest.mark.parametrize("kind", ["SetXCom", "DeleteXCom"])
@pytest.mark.parametrize("changed", [{"dag_id": "x"}, {"run_id": "x"}, {"task_id": "x"}])
def test_another_tasks_xcom_is_not_changed(kind: str, changed: dict[str, str]) -> None:
    with pytest.raises(ForeignError, match=f"{kind} of the task"):
        ask(kind, **{"dag_id": "dag", "run_id": "run", "task_id": "task", **changed})


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("GetVariable", {"key": "_other_team___one"}),
        ("GetVariable", {"key": "_A___B"}),
        ("GetVariable", {"key": "____x"}),
        ("GetConnection", {"conn_id": "_OTHER___database"}),
    ],
)
def test_what_is_a_teams_by_its_name_is_there_for_nobody(kind: str, fields: dict[str, object]) -> None:
    with pytest.raises(HiddenError):
        ask(kind, **fields)


def test_what_the_component_has_for_itself_is_not_there() -> None:
    with pytest.raises(HiddenError):
        ask("GetVariable", held=("AIRFLOW_VAR_ONE",), key="one")
    with pytest.raises(HiddenError):
        ask("GetConnection", held=("AIRFLOW_CONN_GIT",), conn_id="Git")
    ask("GetConnection", held=("AIRFLOW_VAR_GIT",), conn_id="git")


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("GetVariable", {"key": "./HIDDEN"}),
        ("GetVariable", {"key": "a/../HIDDEN"}),
        ("GetVariable", {"key": "HIDDEN#"}),
        ("GetVariable", {"key": "HIDDEN?x"}),
        ("GetVariable", {"key": "%48IDDEN"}),
        ("GetVariable", {"key": "a\\b"}),
        ("GetVariable", {"key": "a\0"}),
        ("GetConnection", {"conn_id": "./hid"}),
        ("GetXCom", {"dag_id": "..", "run_id": "x", "task_id": "../variables", "key": "HIDDEN"}),
        ("GetXCom", {"dag_id": "a/b", "run_id": "x", "task_id": "t", "key": "k"}),
        ("SetXCom", {"dag_id": "dag", "run_id": "run", "task_id": "task", "key": "../../../v/r/t/key"}),
        ("GetXCom", {"dag_id": "dag", "run_id": "run", "task_id": "task", "key": "k", "map_index": 2**63}),
    ],
)
def test_no_name_leads_elsewhere(kind: str, fields: dict[str, object]) -> None:
    with pytest.raises(ForeignError, match=f"{kind} with a (name|number) that no "):
        ask(kind, **fields)


def test_usual_names_lead_nowhere_else() -> None:
    run = "manual__2026-11-26T10:11:12.123+00:00_x~"
    own = [OwnTask(Task(run_id=run, task_id="group.task"))]
    names: dict[str, object] = {
        "dag_id": "dag",
        "run_id": run,
        "task_id": "group.task",
        "key": "100% of .a/b..c",
    }
    ask("SetXCom", own, value=2**70, map_index=-1, **names)


@dataclass
class Report:
    events: list[Any] | None = None
    failures: list[Any] | None = None
    finished: list[int] | None = field(default=None)


def test_reports_about_others_triggers_are_taken_out() -> None:
    report = Report([(1, "a"), (2, "b"), (1, "c")], [(3, None), (4, ["x"])], [1, 5])
    assert own_reports(report, {1, 3}) == {2, 4, 5}
    assert report == Report([(1, "a"), (1, "c")], [(3, None)], [1])


def test_a_report_of_nothing_stays_one() -> None:
    report = Report()
    assert own_reports(report, {1}) == set()
    assert report == Report([], [], [])
