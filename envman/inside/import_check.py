"""Import modules, all in one process, and say on standard error which of them can't be imported, and why.

    python run.py import_check pandas numpy

The exit status is 1 where there is one. Python 3.8 and newer.
"""

from __future__ import annotations

import sys


def main(modules: list[str]) -> int:
    """Try each of them; returns the exit status."""
    failed = 0
    for name in modules:
        try:
            __import__(name)
        except BaseException as error:  # noqa: BLE001  # a module may raise anything as it is imported
            failed = 1
            sys.stderr.write(f"{name}: {type(error).__name__}: {error}\n")
    return failed
