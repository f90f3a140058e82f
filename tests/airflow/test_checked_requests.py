"""What is answered to a child in the place of what it may not have."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.airflow.client_side import LIBRARIES, forget
from tests.stand_in import MODULES, write_modules

NAMES = ("envman.airflow.checked_requests",)


class Supervisor:
    """As one of Airflow's: it answers whatever it is asked."""

    def __init__(self) -> None:
        self.handled: list[str] = []
        self.sent: list[Any] = []

    def _handle_request(self, msg: Any, log: Any, req_id: int) -> None:
        self.handled.append(type(msg).__name__)

    def send_msg(self, msg: Any, request_id: int, error: Any = None) -> None:
        self.sent.append((msg, request_id, error and vars(error)))


@pytest.fixture
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A shared component's child, whose environment gets one of the component's two variables."""
    comms = "class ErrorResponse:\n    def __init__(self, **given): self.__dict__ |= given\n"
    write_modules(tmp_path / "modules", {**MODULES, **LIBRARIES, "airflow.sdk.execution_time.comms": comms})
    monkeypatch.syspath_prepend(tmp_path / "modules")
    monkeypatch.setenv("AIRFLOW_VAR_GIVEN", "x")
    monkeypatch.setenv("AIRFLOW_VAR_KEPT", "x")
    forget(NAMES)
    checked = importlib.import_module(NAMES[0]).CheckedRequests
    made = type("Child", (checked, Supervisor), {"answers_itself": True})()
    made.runtime = SimpleNamespace(variables={"AIRFLOW_VAR_GIVEN": "x"})
    yield made
    forget(NAMES)


def ask(process: Any, kind: str, **fields: object) -> None:
    message = type(kind, (), {})()
    vars(message).update(fields)
    process._handle_request(message, None, 7)


def test_what_it_may_ask_for_goes_on_to_airflow(process: Any) -> None:
    ask(process, "GetVariable", key="given")
    ask(process, "GetVariable", key="of the database")
    assert process.handled == ["GetVariable", "GetVariable"]
    assert process.sent == []


def test_what_its_spec_keeps_out_is_not_there(process: Any) -> None:
    ask(process, "GetVariable", key="kept")
    assert process.handled == []
    assert process.sent == [(None, 7, {"error": "not found", "detail": {"key": "kept"}})]


def test_where_the_api_server_answers_it_decides(process: Any) -> None:
    process.answers_itself = False
    ask(process, "GetVariable", key="kept")
    assert process.handled == ["GetVariable"]


def test_what_is_anothers_is_refused_with_the_reason(process: Any) -> None:
    ask(process, "UpdateHITLDetail", ti_id="0198-bb")
    ((_, _, error),) = process.sent
    assert process.handled == []
    assert error["detail"]["status_code"] == 403
    assert error["detail"]["message"].endswith("UpdateHITLDetail of the task instance 0198-bb, not its own")


def test_a_secret_of_its_own_in_the_place_of_the_components_is_its_own(process: Any) -> None:
    process.runtime.variables["AIRFLOW_VAR_GIVEN"] = "another"
    ask(process, "GetVariable", key="given")
    assert process.handled == []
