"""`envman doctor` on users and limits: a real process looks at this host, and leaves it as it was."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest

from envman.deployment.gathering import confined
from envman.errors import EnvmanError
from envman.resolver.table import Table, with_first_line
from envman.store.folder import Store
from envman.system.processes import Processes

ENV_A = f"env_a_{uuid.uuid4().hex}"
"""A name that no other process on this machine makes a cgroup for."""

RECORDS = f"""bundle\tbundle_a\t{ENV_A}\t
image\tenv_i\tregistry/image
limits\t{ENV_A}\tmemory=1073741824 cpu=1.5 pids=200
limits\tenv_i\tpids=5
user\t{ENV_A}\tnobody:daemon
user\tenv_b\tno-such-user:
"""


def test_the_doctor_is_told_what_this_host_would_hold(tmp_path: Path) -> None:
    table = Table(with_first_line(RECORDS))
    first, second = confined(Store(str(tmp_path)), table, {**os.environ, "PYTHONSAFEPATH": "1"}, Processes())
    assert (first.environment, first.user) == (ENV_A, ("nobody", "daemon"))
    assert first.limits == {"memory": 2**30, "cpu": 1.5, "pids": 200}
    assert first.mechanisms == dict.fromkeys(first.limits, "cgroup v1")
    assert (first.refusal, first.reasons) == ("", {})
    assert (second.environment, second.mechanisms) == ("env_b", {})
    assert "does not exist" in second.refusal
    assert list(Path("/sys/fs/cgroup").rglob(f"envman-{ENV_A}")) == []


def test_no_user_and_no_limit_asks_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    assert confined(Store(str(tmp_path)), Table(with_first_line("team\ta\tenv_a\n")), {}, Processes()) == ()
    with pytest.raises(EnvmanError, match="can't be run"):
        confined(Store(str(tmp_path)), Table(with_first_line(RECORDS)), {}, Processes())
