"""The fixtures that Airflow's tests of its supervisor take from Airflow's test tools."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest


class SeenEvents:
    """What structlog was given; an event is in it where all that is asked for fits."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []

    def __call__(self, _logger: Any, method: str, event: dict[str, Any]) -> dict[str, Any]:
        import structlog

        self.entries.append({"log_level": event.get("level", method), **event})
        raise structlog.DropEvent

    @property
    def record_tuples(self) -> list[tuple[Any, int, Any]]:
        """Logger, level and event, as pytest's own has them."""
        levels = logging.getLevelNamesMapping()
        return [
            (entry.get("logger_name"), levels[entry["log_level"].upper()], entry["event"])
            for entry in self.entries
        ]

    @property
    def text(self) -> str:
        """All events."""
        return "\n".join(str(entry) for entry in self.entries)

    def __contains__(self, asked: dict[str, Any] | str) -> bool:
        wanted = asked if isinstance(asked, dict) else {"event": asked}
        return any(
            all(_fits(entry.get(key), value) for key, value in wanted.items()) for entry in self.entries
        )


def _fits(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, re.Pattern):
        return isinstance(value, str) and wanted.match(value) is not None
    return bool(value == wanted)


@pytest.fixture
def cap_structlog() -> Iterator[SeenEvents]:
    """All events of structlog, of which none goes any further."""
    import structlog

    seen = SeenEvents()
    processors = structlog.get_config()["processors"]
    before = processors.copy()
    processors[:] = [seen]
    yield seen
    processors[:] = before


@pytest.fixture
def caplog(cap_structlog: SeenEvents) -> SeenEvents:
    """The same: Airflow's own has structlog's events in the place of pytest's records."""
    return cap_structlog


@pytest.fixture
def mock_supervisor_comms() -> Iterator[Any]:
    """No supervisor to talk to."""
    with mock.patch("airflow.sdk.execution_time.task_runner.SUPERVISOR_COMMS", create=True) as comms:
        yield comms


@pytest.fixture
def mocked_parse() -> None:
    """Nothing is parsed where a task is made by `create_runtime_ti`."""


@pytest.fixture
def create_runtime_ti() -> Callable[..., Any]:
    """Make a task instance of a task, as the task runner has it."""
    return runtime_ti


def runtime_ti(dag_id: str, task: Any, conf: dict[str, Any]) -> Any:
    from airflow.sdk import DAG, timezone
    from airflow.sdk.api.datamodels._generated import DagRun, TIRunContext
    from airflow.sdk.execution_time import task_runner
    from uuid6 import uuid7

    if not hasattr(task_runner, "SUPERVISOR_COMMS"):  # a child that is no fork is without the mock
        task_runner.SUPERVISOR_COMMS = mock.MagicMock()
    moment = timezone.datetime(2024, 12, 1)
    task.dag = DAG(dag_id=dag_id, start_date=moment)
    moments = ("logical_date", "run_after", "start_date", "data_interval_start", "data_interval_end")
    known: dict[str, Any] = {"dag_id": dag_id, "run_id": "test_run", "run_type": "manual", "conf": conf}
    known |= {"clear_number": 0, "consumed_asset_events": [], **dict.fromkeys(moments, moment)}
    run = DagRun.model_construct(**{**dict.fromkeys(DagRun.model_fields), **known})
    return task_runner.RuntimeTaskInstance.model_construct(
        id=uuid7(),
        task_id=task.task_id,
        dag_id=dag_id,
        run_id="test_run",
        try_number=1,
        map_index=-1,
        dag_version_id=uuid7(),
        task=task,
        max_tries=0,
        start_date=moment,
        _ti_context_from_server=TIRunContext.model_construct(dag_run=run, max_tries=0, should_retry=False),
    )
