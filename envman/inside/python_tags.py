"""A script of its own: print what decides which wheels this Python takes, as one JSON object.

    python -I -S python_tags.py

It runs in whatever an environment is made from, as `python_facts.py` does.
"""

import json
import os
import sysconfig


def tags():  # type: () -> dict[str, str]  # noqa: ANN201  # in the way of all of these Pythons
    """The tag of its binary interface, its C library with the version, its platform."""
    interface = str(sysconfig.get_config_var("SOABI") or "").split("-")
    try:
        libc = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        libc = ""
    return {
        "abi": "cp" + interface[1] if interface[0] == "cpython" and len(interface) > 1 else "",
        "libc": libc or "musl 1.2",
        "platform": sysconfig.get_platform(),
    }


if __name__ == "__main__":
    print(json.dumps(tags()))  # noqa: T201
