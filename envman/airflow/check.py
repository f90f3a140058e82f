"""A script: parse a bundle's files as the Dag processor does, in the interpreter that runs this.

    python check.py '{"path": "/dags", "bundle": "bundle_a", "timeout": null}'

It needs neither an Airflow deployment nor a database nor a configuration; the caller sees to harmless ones.
Each file is parsed in a fork of this process, so that one that ends its interpreter, or hangs, is that file's
error alone. What the files print goes to standard error; on standard output there is one JSON object. It is
one file of its own, so that nothing of envman becomes importable in a team's interpreter.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

GRACE = 5.0
"""Seconds that a file has, after its import timed out, to say so itself."""

POLL = 0.01


def main(request: dict[str, Any]) -> dict[str, Any]:
    """Parse all files below a path, or the one that it is."""
    import airflow.dag_processing.processor  # noqa: F401  # once for all forks, as the manager does
    from airflow.utils.file import list_py_file_paths

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # by way of `_wait`'s clean-up
    path = os.path.abspath(request["path"])
    folder = path if os.path.isdir(path) else os.path.dirname(path)
    listed = [path] if os.path.isfile(path) else sorted(list_py_file_paths(folder))
    results = [_in_a_fork(folder, file, request) for file in listed]
    return {"airflow": _version(), "files": results}


def _version() -> str:
    from importlib.metadata import version

    return version("apache-airflow-core")


def _limit(timeout: float | None) -> float:
    """Seconds after which the Dag processor would kill the parse of a file."""
    if timeout:
        return timeout + GRACE
    from airflow.configuration import conf

    return float(conf.getint("dag_processor", "dag_file_processor_timeout", fallback=50))


def _in_a_fork(folder: str, file: str, request: dict[str, Any]) -> dict[str, Any]:
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as notes:
        note = os.path.join(notes, "result.json")
        sys.stderr.flush()
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            _parse_and_end(folder, file, request["bundle"], note)
        end = _wait(child, started + _limit(request["timeout"]))
        found = _read(note) or {"dags": [], "errors": {_relative(folder, file): end}, "warnings": []}
    seconds = round(time.monotonic() - started, 3)
    return {"file": _relative(folder, file), "seconds": seconds, **found}


def _relative(folder: str, file: str) -> str:
    return os.path.relpath(file, folder)


def _read(note: str) -> Any:
    try:
        with open(note, encoding="utf-8") as stream:
            return json.load(stream)
    except (FileNotFoundError, ValueError):  # it has not come that far
        return None


def _wait(child: int, until: float) -> str:
    """Wait for a child, and say how it ended; what is left of it and of its own children is killed."""
    try:
        while time.monotonic() < until:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
                if code < 0:
                    return f"Parsing it ended the interpreter: {signal.Signals(-code).name}"
                return f"Parsing it ended the interpreter with exit status {code}"
            time.sleep(POLL)
        return "Parsing it took too long, and was killed"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)


def _parse_and_end(folder: str, file: str, bundle: str, note: str) -> None:
    """The fork's part: parse, write down what was found, and end without cleaning up after the parent."""
    code = 1
    try:
        found = _parse(folder, file, bundle)
        with open(f"{note}.new", "w", encoding="utf-8") as stream:
            json.dump(found, stream, default=str)
        os.replace(f"{note}.new", note)
        code = 0
    except BaseException:  # noqa: BLE001  # whatever it is, it must not get into the parent's loop
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _parse(folder: str, file: str, bundle: str) -> dict[str, Any]:
    """Ask Airflow's own function for what it would send to the Dag processor."""
    import structlog
    from airflow.dag_processing.processor import DagFileParseRequest, _parse_file
    from airflow.sdk.execution_time.supervisor import block_orm_access

    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "client"
    block_orm_access()
    fields = {"file": file, "bundle_path": Path(folder), "bundle_name": bundle, "callback_requests": []}
    known = {name: value for name, value in fields.items() if name in DagFileParseRequest.model_fields}
    result = _parse_file(DagFileParseRequest(**known), structlog.get_logger(logger_name="task"))
    if result is None:
        raise RuntimeError("Airflow gave no result")
    dags = [
        {"dag": dag.dag_id, "tasks": len(dag.data.get("dag", {}).get("tasks", []))}
        for dag in result.serialized_dags
    ]
    warnings = [_message(warning) for warning in result.warnings or []]
    return {"dags": dags, "errors": result.import_errors or {}, "warnings": warnings}


def _message(warning: Any) -> str:
    return str(warning.get("message", warning)) if isinstance(warning, dict) else str(warning)


if __name__ == "__main__":
    if sys.path[0] == __file__.rpartition("/")[0]:  # with PYTHONSAFEPATH it is not there
        del sys.path[0]  # its modules are not the team's business
    answer = os.dup(1)
    os.dup2(2, 1)
    outcome = main(json.loads(sys.argv[1]))
    with os.fdopen(answer, "w", encoding="utf-8") as stream_out:
        json.dump(outcome, stream_out)
