"""Run a script of `envman/airflow` by its path, in an environment's interpreter, and read its answer.

The interpreter has no envman; the script gets a request as JSON, and writes one JSON object to standard
output.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import envman
from envman.errors import EnvmanError, Problem
from envman.launch.process import hold_current_generation
from envman.processes import Processes
from envman.resolver.table import Table
from envman.resolver.variables import child_environment
from envman.store import layout

_REMEDY = "Look at what it printed; it needs Airflow 3.3 in that interpreter."
_INTERPRETER = {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
"""Output comes as it is written, and nothing is written into a generation."""

_CONNECTION = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"


class InsideError(EnvmanError):
    """A script could not be run in an interpreter, or gave no answer."""


@dataclass(frozen=True)
class Inside:
    """An interpreter with the variables that a script gets in it."""

    where: str
    python: str
    variables: Mapping[str, str]
    held: tuple[int, ...] = ()

    def ask(
        self,
        processes: Processes,
        script: str,
        request: Mapping[str, Any],
        *,
        timeout: float | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> Any:
        """Run a script, and return its answer; raises InsideError."""
        path = str(Path(envman.__file__).parent / "airflow" / script)
        command = [self.python, path, json.dumps(request)]
        try:
            finished = processes.run(
                command,
                {**self.variables, **_INTERPRETER},
                str(Path.cwd()),
                self.held,
                on_line,
                timeout=timeout,
            )
        except OSError as error:
            raise InsideError(Problem(self.where, f"{self.python} can't be run: {error}", _REMEDY)) from None
        try:
            return json.loads(finished.stdout)
        except ValueError:
            lines = [line for line in finished.stderr.splitlines() if line.strip()] or ["it said nothing"]
            what = f"{script} gave no answer (exit status {finished.exit_code}): {lines[-1]}"
            raise InsideError(Problem(self.where, what, _REMEDY)) from None


@contextmanager
def inside_environment(
    root: str, table: Table, environment: str, environ: Mapping[str, str], home: str
) -> Iterator[Inside]:
    """An environment's current generation, held, with an Airflow that has no database and no configuration.

    What the caller set as AIRFLOW__SECTION__KEY stays, but for the database. Raises ResolveError.
    """
    generation, descriptor = hold_current_generation(root, environment)
    try:
        folder = layout.generation_path(root, generation)
        declared = table.environment(environment) or ([], {})
        variables = child_environment(environ, f"{folder}/bin", *declared)
        yield Inside(
            f"environment '{environment}'",
            f"{folder}/bin/python",
            without_database(variables, home),
            (descriptor,),
        )
    finally:
        os.close(descriptor)


def without_database(environ: Mapping[str, str], home: str) -> dict[str, str]:
    """Variables with which Airflow needs neither a database nor a configuration."""
    kept = {
        name: value
        for name, value in environ.items()
        if name != "AIRFLOW_CONFIG" and not name.startswith("AIRFLOW__DATABASE__")
    }
    kept.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "WARNING")
    return kept | {
        "AIRFLOW_HOME": home,
        _CONNECTION: "sqlite://",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
