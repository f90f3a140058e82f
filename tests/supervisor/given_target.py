"""In a team's environment: the function that came along with a child runs in the place of Airflow's own.

Of a wheel that is made at test time, whose .pth file calls `install` as an interpreter starts. It changes one
function of Airflow as its module is imported, and nothing else; without a function along, Airflow's own runs.
"""

from __future__ import annotations

import os
import stat
import sys
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

GIVEN = 102
"""CALL_DESCRIPTOR of envman/inside/protocol.py: the file that goes along with a child."""

PLACES = {
    # module: its function that envman's child calls
    "airflow.sdk.execution_time.task_runner": "main",
    "airflow.dag_processing.processor": "_parse_file_entrypoint",
}


def install() -> None:
    """Have the functions replaced as their modules are imported."""
    sys.meta_path.insert(0, Finder)


class Finder:
    """Finds the modules of PLACES where everybody else would, and replaces their functions."""

    @staticmethod
    def find_spec(name: str, path: Any = None, _target: Any = None) -> ModuleSpec | None:
        if name not in PLACES:
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            replace(module, PLACES[name])

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def replace(module: ModuleType, name: str) -> None:
    own = getattr(module, name)

    def run() -> None:
        if is_given():
            load()()
        else:
            own()

    setattr(module, name, run)


def is_given() -> bool:
    try:
        return stat.S_ISREG(os.fstat(GIVEN).st_mode)
    except OSError:
        return False


def load() -> Any:
    import cloudpickle

    with os.fdopen(GIVEN, "rb") as stream:
        return cloudpickle.load(stream)
