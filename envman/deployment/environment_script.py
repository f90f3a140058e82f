"""Run a script of envman's in an environment's interpreter, and read its answer.

The interpreter has no envman; the script gets a request as JSON, and writes one JSON object to standard
output.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envman.confine.step import Identity, Refused, command, identity, variables_file
from envman.errors import EnvmanError, Problem
from envman.launch.airflow_configuration import (
    LOCAL_SETTINGS,
    AirflowConfiguration,
    remedy_of_local_settings,
)
from envman.launch.process import check_held, hold_generation
from envman.launch.purpose import Purpose, variables_for
from envman.resolver.inherited import NO_DATABASE
from envman.resolver.snapshot import Snapshot
from envman.resolver.variables import NO_THREADS
from envman.store import layout
from envman.system.processes import Processes

_REMEDY = "Look at what it printed; it needs Airflow 3.3 or 3.4 in that interpreter."
_INTERPRETER = {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
"""Output comes as it is written, and nothing is written into a generation."""


class InsideError(EnvmanError):
    """A script could not be run in an interpreter, or gave no answer."""


@dataclass(frozen=True)
class Inside:
    """An interpreter, the variables that a script gets in it, and whom it runs as (None: as this process)."""

    environment: str
    where: str
    python: str
    variables: Mapping[str, str]
    held: tuple[int, ...] = ()
    who: Identity | None = None

    def give(self, path: Path) -> None:
        """Let the script write to a file or folder of this process's."""
        if self.who:
            os.chown(path, self.who.uid, self.who.gid)

    def ask(
        self,
        processes: Processes,
        script: tuple[str, ...],
        request: Mapping[str, Any],
        *,
        timeout: float | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> Any:
        """Run a script, given by its path and first arguments, and return its answer; raises InsideError."""
        words = [self.python, *script, json.dumps(request)]
        variables = {**NO_THREADS, **self.variables, **_INTERPRETER}
        try:
            with ExitStack() as stack:
                held = self.held
                if self.who:  # the step has none of them: the loader would obey LD_PRELOAD there, as root
                    described = stack.enter_context(os.fdopen(variables_file(variables), "rb")).fileno()
                    who = str(self.who.uid), str(self.who.gid)
                    words = [*command(sys.executable, self.environment, who, (), {}, described), *words]
                    variables, held = {"PATH": os.defpath}, (*held, described)
                finished = processes.run(words, variables, str(Path.cwd()), held, on_line, timeout=timeout)
        except OSError as error:
            raise InsideError(Problem(self.where, f"{self.python} can't be run: {error}", _REMEDY)) from None
        try:
            return json.loads(finished.stdout)
        except (ValueError, RecursionError):
            lines = [line for line in finished.stderr.splitlines() if line.strip()] or ["it said nothing"]
            if LOCAL_SETTINGS in finished.stderr:
                what = (
                    lines[-1]
                    if LOCAL_SETTINGS in lines[-1]
                    else f"{LOCAL_SETTINGS} can't be imported: {lines[-1]}"
                )
                remedy = remedy_of_local_settings("this environment")
                raise InsideError(Problem(self.where, what, remedy)) from None
            what = f"{Path(script[-1]).name} gave no answer (exit status {finished.exit_code}): {lines[-1]}"
            raise InsideError(Problem(self.where, what, _REMEDY)) from None


@contextmanager
def inside_environment(
    snapshot: Snapshot, purpose: Purpose, environ: Mapping[str, str], home: str
) -> Iterator[Inside]:
    """An environment's current generation, held, with the variables and the configuration of its workloads.

    `environ` are those of the components. There is no database. Where this process is root, scripts run as
    the environment's user, whom `home` is given to. Raises ResolveError, InsideError where there is no such
    user, PolicyError where the policy refuses it.
    """
    where = f"environment '{purpose.environment}'"
    who = _user(snapshot, purpose.environment, where)
    generation, descriptor = hold_generation(snapshot, purpose.environment)
    try:
        check_held(snapshot.root, purpose.environment, generation, descriptor, with_files=True)
        folder = layout.generation_path(snapshot.root, generation)
        variables = variables_for(snapshot, purpose, f"{folder}/bin", environ)
        variables = without_database(variables, home)
        inside = Inside(purpose.environment, where, f"{folder}/bin/python", variables, (descriptor,), who)
        inside.give(Path(home))
        yield inside
    finally:
        os.close(descriptor)


def _user(snapshot: Snapshot, environment: str, where: str) -> Identity | None:
    """Whom root runs an environment's scripts as: whatever its packages bring runs with them."""
    who = snapshot.table.user(environment)
    if who is None or os.geteuid() != 0:
        return None
    try:
        return identity(*who)
    except Refused as refused:
        cause, _, remedy = str(refused).partition("; ")
        raise InsideError(Problem(where, cause, f"{remedy[:1].upper()}{remedy[1:]}.")) from None


def without_database(environ: Mapping[str, str], home: str) -> dict[str, str]:
    """Variables with which Airflow needs no database, and writes below `home` alone, an empty folder.

    What it reads of the deployment is there all the same: airflow.cfg, the folder `config`, the plugins.
    """
    configuration = AirflowConfiguration(environ)
    folder, plugins = configuration.module_folders()
    for target, name in ((configuration.path, "airflow.cfg"), (folder, "config")):
        if os.access(target, os.R_OK):
            Path(home, name).symlink_to(Path(target).absolute())
    kept = {
        name: value
        for name, value in environ.items()
        if name != "AIRFLOW_CONFIG" and not name.startswith("AIRFLOW__DATABASE__")
    }
    kept.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "WARNING")
    return (
        kept
        | NO_DATABASE
        | {"AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        | {"AIRFLOW__CORE__PLUGINS_FOLDER": plugins}
    )
