"""Run a module as `python -m` would, in a process that finds a bundle's shared folders.

    python run.py module_with_shared --shared=../common airflow.sdk.execution_time.execute_workload ...

It is for containers that run one workload: Airflow forks the task from this process.
"""

from __future__ import annotations

import importlib
import os
import runpy
import sys

from envman.inside.bundle_code import share, taken_from


def main(words: list[str]) -> None:
    """Become the module that stands behind the folders."""
    shared, (module, *arguments) = taken_from(words)
    if not getattr(sys.flags, "safe_path", False):  # since Python 3.11
        sys.path.insert(0, os.getcwd())
    sys.argv = [module, *arguments]
    if "." in module:  # as runpy does; what Airflow puts onto the path as it is imported is no bundle's
        importlib.import_module(module.partition(".")[0])
    share(shared)
    runpy.run_module(module, run_name="__main__", alter_sys=True)
