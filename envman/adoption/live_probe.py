"""Ask a live interpreter what it consists of, by a script that runs nothing of what is installed there."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import envman
from envman.adoption.found_airflow import FoundAirflow, WrongAnswerError, read_answer
from envman.errors import EnvmanError, Problem, UsageError
from envman.system.processes import Processes

RUN = str(Path(envman.__file__).parent / "inside/run.py")
PATIENCE = 60.0
"""Seconds that the interpreter has for its answer."""

OPTIONS = (
    *(("core", name) for name in ("dags_folder", "executor", "load_examples", "multi_team")),
    *(("core", name) for name in ("auth_manager", "plugins_folder", "xcom_backend", "lazy_load_plugins")),
    *(("logging", name) for name in ("logging_config_class", "remote_logging", "base_log_folder")),
    ("dag_processor", "refresh_interval"),
    ("operators", "default_queue"),
    ("scheduler", "standalone_dag_processor"),
    ("secrets", "backend"),
    ("triggerer", "queues_enabled"),
)
"""The options of Airflow's that leave the probe; none of them is sensitive, held by a test."""

_TOLD = 300
"""Characters of what an interpreter said that are told."""


class LiveAirflowError(EnvmanError):
    """An interpreter that gives no answer, or one that can't be used."""


def ask_live_airflow(
    processes: Processes,
    python: Path,
    variables: Mapping[str, str],
    beside: Sequence[Path],
    patience: float = PATIENCE,
) -> FoundAirflow:
    """What a live Airflow consists of. Nothing is written there, and nothing of it is imported.

    `variables` are its components', `beside` folders to look for requirements files in. Raises UsageError for
    a path that is no interpreter, LiveAirflowError for an answer that is none.
    """
    where = f"--airflow {python}"
    _look_at(python, where)
    request = {"options": [list(one) for one in OPTIONS], "beside": [str(folder) for folder in beside]}
    words = [str(python), "-I", "-B", "-X", "utf8", RUN, "adoption_probe", json.dumps(request)]
    try:
        finished = processes.run(words, variables, os.sep, timeout=patience)
    except OSError as error:
        raise UsageError(Problem(where, f"can't be run: {error.strerror or error}", _INTERPRETER)) from None
    try:
        return read_answer(finished.stdout)
    except WrongAnswerError as error:
        lines = [line.strip() for line in finished.stderr.splitlines() if line.strip()]
        if finished.exit_code and not finished.stdout.strip():
            what = f"gave no answer (exit status {finished.exit_code})"
            what += f": {lines[-1][:_TOLD]}" if lines else f" and said nothing; it has {patience:g} s"
        else:
            what = f"gave an answer that can't be used: {str(error)[:_TOLD]}"
        raise LiveAirflowError(Problem(where, what, _INTERPRETER)) from None


_INTERPRETER = "Pass the Python 3.8 or newer that Airflow runs in, such as /opt/airflow/bin/python."


def _look_at(python: Path, where: str) -> None:
    """Raise UsageError for a path that is no program, or one that is known to be another."""
    if python.is_dir():
        raise UsageError(
            Problem(where, "is a folder", f"Pass the interpreter in it: {python / 'bin/python'}")
        )
    if not python.is_file():
        raise UsageError(Problem(where, "there is no such file", _INTERPRETER))
    if not os.access(python, os.X_OK):
        raise UsageError(Problem(where, "this user may not run it", _INTERPRETER))
    if not python.name.lower().startswith(("python", "pypy")):
        beside = python.parent / "python"
        remedy = f"Pass the interpreter: {beside}" if beside.is_file() else _INTERPRETER
        raise UsageError(Problem(where, "has not the name of a Python interpreter", remedy))
