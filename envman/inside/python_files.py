"""A script of its own: print which files make the Python that runs it what it is, as a JSON list.

    python -I -S python_files.py

They are its program, its libraries, and a part of its own modules. Python 3.8 and newer.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import sysconfig

LINKED = ("ctypes", "hashlib", "lzma", "sqlite3", "ssl", "zlib")
"""Modules that bring libraries of the system along."""


def files() -> list[str]:
    """Paths in order, links followed for the program alone."""
    for name in LINKED:
        with contextlib.suppress(ImportError):
            __import__(name)
    found = {os.path.realpath(sys.executable), os.__file__, sysconfig.__file__}
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as lines:
        mapped = (line.split(None, 5)[-1].strip() for line in lines)
        found.update(path for path in mapped if path.startswith("/") and ".so" in path)
    return sorted(found)


if __name__ == "__main__":
    print(json.dumps(files()))  # noqa: T201
