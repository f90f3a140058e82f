"""Parse a bundle's files as the Dag processor does, in the interpreter that runs this.

    python run.py parse_files '{"path": "/dags", "bundle": "bundle_a", "timeout": null, "dags": "/tmp/dags"}'

It needs neither an Airflow deployment nor a database nor a configuration; the caller sees to harmless ones.
Each file is parsed in a fork of this process, so that one that ends its interpreter, or hangs, is that file's
error alone. The request is a ParseRequest, the answer a ParseReport.
"""

from __future__ import annotations

import json
import os
import time
import traceback
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envman.inside import bundle_code, plugins, trial
from envman.inside.answer import answer
from envman.inside.dag_files import dag_files

if TYPE_CHECKING:
    from envman.inside.reports import (
        DagReport,
        FileReport,
        FoundReport,
        ParseReport,
        ParseRequest,
        SerializedReport,
    )

GRACE = 5.0
"""Seconds that a file has, after its import timed out, to say so itself."""


def main(words: list[str]) -> None:
    """Answer the request."""
    answer(report, words)


def report(request: ParseRequest) -> ParseReport:
    """Parse all files below a path, or the one that it is."""
    import airflow.dag_processing.processor  # noqa: F401  # once for all forks, as the manager does

    trial.end_with_forks()
    hidden = bundle_code.hidden(request["shared"])
    bundle_code.share(request["shared"])
    path = os.path.abspath(request["path"])
    folder = path if os.path.isdir(path) else os.path.dirname(path)
    listed = [path] if os.path.isfile(path) else dag_files(folder, request["bundle"])
    return {
        "airflow": _version(),
        "files": [_tried(folder, file, request) for file in listed],
        "plugins": plugins.look()["errors"],
        "hidden": hidden,
    }


def _version() -> str:
    from importlib.metadata import version

    return version("apache-airflow-core")


def limit(timeout: float | None) -> float:
    """Seconds after which the Dag processor would kill the parse of a file."""
    if timeout:
        return timeout + GRACE
    from airflow.configuration import conf

    return float(conf.getint("dag_processor", "dag_file_processor_timeout", fallback=50))


def _tried(folder: str, file: str, request: ParseRequest) -> FileReport:
    """Parse a file in a fork."""
    started = time.monotonic()
    work = partial(_parsed, folder, file, request)
    outcome = trial.attempt(work, limit(request["timeout"]))
    shown = os.path.relpath(file, folder)
    found: FoundReport = {"dags": [], "errors": {shown: problem(outcome)}, "warnings": []}
    if outcome.value is not None:
        found = outcome.value
    return {"file": shown, "seconds": round(time.monotonic() - started, 3), **found}


def problem(outcome: trial.Outcome) -> str:
    """Why a parse came to no end of its own."""
    if outcome.error:
        return f"Parsing it failed: {outcome.error}"
    if outcome.status is None:
        return "Parsing it took too long, and was killed"
    return f"Parsing it ended the interpreter{outcome.ending()}"


def _parsed(folder: str, file: str, request: ParseRequest) -> FoundReport:
    try:
        return _parse(folder, file, request)
    except BaseException:
        traceback.print_exc()
        raise


def _parse(folder: str, file: str, request: ParseRequest) -> FoundReport:
    """What Airflow would send to the Dag processor."""
    result = airflows_result(folder, file, request["bundle"])
    shown = os.path.relpath(file, folder)
    lines: list[SerializedReport] = [{"file": shown, "data": dag.data} for dag in result.serialized_dags]
    with open(request["dags"], "a", encoding="utf-8") as stream:
        stream.writelines(f"{json.dumps(line)}\n" for line in lines)
    dags: list[DagReport] = [
        {"dag": dag.dag_id, "tasks": len(dag.data.get("dag", {}).get("tasks", []))}
        for dag in result.serialized_dags
    ]
    warnings = [_message(warning) for warning in result.warnings or []]
    return {"dags": dags, "errors": result.import_errors or {}, "warnings": warnings}


def airflows_result(folder: str, file: str, bundle: str) -> Any:
    """Parse a file of a bundle by Airflow's own function; in a process that does nothing else after it."""
    import structlog
    from airflow.dag_processing.processor import DagFileParseRequest, _parse_file
    from airflow.sdk.execution_time.supervisor import block_orm_access

    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "client"
    block_orm_access()
    fields = {"file": file, "bundle_path": Path(folder), "callback_requests": []}
    fields["bundle_name"] = bundle
    known = {name: value for name, value in fields.items() if name in DagFileParseRequest.model_fields}
    result = _parse_file(DagFileParseRequest(**known), structlog.get_logger(logger_name="task"))
    if result is None:
        raise RuntimeError("Airflow gave no result")
    return result


def _message(warning: Any) -> str:
    return str(warning.get("message", warning)) if isinstance(warning, dict) else str(warning)
