"""A component that executes itself again is started as the first time: with envman's hooks, and closed.

Celery's worker does so on SIGHUP, which every process of its user may send. It executes the words that it was
called with, which are those of the stock worker.
"""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

from envman.airflow.own_variables import operators_variables
from envman.launch.components import component_script
from envman.launch.process import Addition, become


def install() -> None:
    """Have `os.execv` of this process's own words start the component again."""
    execv = os.execv
    module: Any = os

    def execute(program: str, words: list[str]) -> NoReturn:
        if [*words[:2]] == [sys.executable, sys.argv[0]]:
            command = [sys.executable, component_script(), *words[2:]]
            addition = Addition("launch", {}, is_component=True)
            os._exit(become(sys.executable, command, operators_variables(), addition))
        execv(program, words)

    module.execv = execute
