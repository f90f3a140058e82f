"""`airflow standalone`: its components are started as `envman launch` starts each, with hooks and closed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from airflow.cli.commands import standalone_command

from envman.airflow.own_variables import operators_variables
from envman.launch.closed_process import closed_program
from envman.launch.components import component_script


def start_component(words: list[str], env: Mapping[str, str], **streams: Any) -> subprocess.Popen[bytes]:
    """In the place of `subprocess.Popen` there: `words` are those of the `airflow` command."""
    command = [component_script(), *words[1:]]
    variables = _variables(env)
    if loader := closed_program(sys.executable):
        try:
            return subprocess.Popen(
                ["envman", sys.executable, *command],
                executable=f"/proc/self/fd/{loader}",
                pass_fds=(loader,),
                env=variables,
                **streams,
            )
        except OSError:  # a policy is against it: then it is open for a moment, and says so
            pass
        finally:
            os.close(loader)
    return subprocess.Popen([sys.executable, *command], env=variables, **streams)


def _variables(wanted: Mapping[str, str]) -> dict[str, str]:
    """What standalone gives its components: its operator's variables, and what it has set itself."""
    own = {name: value for name, value in wanted.items() if os.environ.get(name) != value}
    return {**operators_variables(), **own}


def install() -> None:
    """Have Airflow's standalone command start its components so."""
    standalone_command.subprocess = SimpleNamespace(
        Popen=start_component, PIPE=subprocess.PIPE, STDOUT=subprocess.STDOUT
    )
