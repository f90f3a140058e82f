"""A script of its own: print what kind of Python runs it, as one JSON object.

    python -I -S python_facts.py

It has to run in whatever stands in a base image as `python`: any Python 3 that knows `-I`, so 3.4 and newer.
"""

import json
import os
import platform
import sys
import sysconfig


def facts():  # type: () -> dict[str, str]  # noqa: ANN201  # in the way of all of these Pythons
    """The fields of a `BaseInterpreter`; its file is that of the interpreter itself, no environment's."""
    executable = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
    status = os.stat(executable)
    level, serial = sys.version_info[3:]
    suffix = "" if level == "final" else {"alpha": "a", "beta": "b"}.get(level, "rc") + str(serial)
    return {
        "implementation": platform.python_implementation(),
        "version": ".".join(str(number) for number in sys.version_info[:3]) + suffix,
        "platform": sysconfig.get_platform(),
        "executable": executable,
        "stamp": str(status.st_size) + "-" + str(status.st_mtime_ns),
    }


if __name__ == "__main__":
    print(json.dumps(facts()))  # noqa: T201
