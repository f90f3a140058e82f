"""Requests of a child, between its supervisor's reader and what answers them."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse

from envman.door.requests import SECRETS, ForeignError, HiddenError, OwnTask, check

if TYPE_CHECKING:
    from envman.airflow.runtime import Runtime

NOT_FOUND = {
    "GetConnection": ErrorType.CONNECTION_NOT_FOUND,
    "GetVariable": ErrorType.VARIABLE_NOT_FOUND,
}


class CheckedRequests:
    """Stands before a supervisor's class, and refuses requests that its child may not make."""

    answers_itself = False
    """Whether the component answers from its own variables and database: else the API server does."""

    runtime: Runtime | None
    send_msg: Any

    def own_tasks(self) -> Collection[OwnTask]:
        """The task instances that the child is there for."""
        return ()

    def _handle_request(self, msg: Any, log: Any, req_id: int) -> None:
        try:
            check(msg, self.own_tasks, self._is_hidden)
        except HiddenError as hidden:
            kind = type(msg).__name__
            not_there = {SECRETS[kind][0]: str(hidden)}
            self.send_msg(
                None, request_id=req_id, error=ErrorResponse(error=NOT_FOUND[kind], detail=not_there)
            )
        except ForeignError as foreign:
            detail = {"status_code": 403, "message": f"This workload may not ask for that: {foreign}"}
            error = ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail=detail)
            self.send_msg(None, request_id=req_id, error=error)
        else:
            super()._handle_request(msg, log, req_id)  # type: ignore[misc]  # the supervisor's class has it

    def _is_hidden(self, variable: str) -> bool:
        """Whether it is a variable of the component that the child does not get, or has another value of."""
        if not self.answers_itself or self.runtime is None or variable not in os.environ:
            return False
        return self.runtime.variables.get(variable) != os.environ[variable]
