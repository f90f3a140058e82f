"""A script: say how this host would confine environments; changes nothing.

    python explain.py '{"env_a": {"user": ["team_a", ""], "limits": {"memory": 1073741824}}}'

`envman doctor` runs it by path, in its own interpreter. The answer is one JSON object on standard output:
for each environment what holds each limit, why no cgroup does, and why its user can't be taken. It counts for
components that are started as the doctor is: as its user, in its cgroup.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def main(request: dict[str, Any]) -> dict[str, Any]:
    """What was asked for, as values that JSON has."""
    from envman.confine.cgroups import explain
    from envman.confine.step import refusal

    environments = {}
    for name, wanted in request.items():
        held = explain(wanted["limits"], own_user=bool(wanted["user"]))
        environments[name] = {
            "mechanisms": held.mechanisms,
            "reasons": held.reasons,
            "refusal": refusal(*wanted["user"]) if wanted["user"] else "",
        }
    return {"environments": environments}


if __name__ == "__main__":
    folder = __file__.rpartition("/confine/")[0]
    if sys.path[0] == f"{folder}/confine":  # with PYTHONSAFEPATH it is not there
        del sys.path[0]  # its modules are no neighbours of the standard library's
    sys.path.insert(0, folder.rpartition("/")[0])
    sys.stdout.write(json.dumps(main(json.loads(sys.argv[1]))))
