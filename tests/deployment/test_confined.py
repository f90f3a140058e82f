"""`envman doctor` on users and limits: a real process looks at this host, and leaves it as it was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from envman.errors import EnvmanError
from envman.processes import Processes
from envman.resolver.table import HEADER, Table
from envman.usecases.deployment_facts import confined

RECORDS = """bundle\tbundle_a\tenv_a\t
image\tenv_i\tregistry/image
limits\tenv_a\tmemory=1073741824 cpu=1.5 pids=200
limits\tenv_i\tpids=5
user\tenv_b\tno-such-user:
user\tenv_a\tnobody:daemon
"""


def test_the_doctor_is_told_what_this_host_would_hold(tmp_path: Path) -> None:
    table = Table(f"{HEADER}\n{RECORDS}")
    before = sorted(str(path) for path in Path("/sys/fs/cgroup").rglob("envman-env_*"))
    first, second = confined(str(tmp_path), table, {**os.environ, "PYTHONSAFEPATH": "1"}, Processes())
    assert (first.environment, first.user) == ("env_a", ("nobody", "daemon"))
    assert first.limits == {"memory": 2**30, "cpu": 1.5, "pids": 200}
    assert first.mechanisms == dict.fromkeys(first.limits, "cgroup v1")
    assert (first.refusal, first.reasons) == ("", {})
    assert (second.environment, second.mechanisms) == ("env_b", {})
    assert "does not exist" in second.refusal
    assert sorted(str(path) for path in Path("/sys/fs/cgroup").rglob("envman-env_*")) == before


def test_no_user_and_no_limit_asks_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    assert confined(str(tmp_path), Table(f"{HEADER}\nteam\ta\tenv_a\n"), {}, Processes()) == ()
    with pytest.raises(EnvmanError, match="can't be run"):
        confined(str(tmp_path), Table(f"{HEADER}\n{RECORDS}"), {}, Processes())
