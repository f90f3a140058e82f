"""`envman doctor` on users and limits: a real process looks at this host, and leaves it as it was."""

from __future__ import annotations

import os
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from envman.confine.step import identity
from envman.deployment.environment_script import InsideError, inside_environment
from envman.deployment.gathering import confined
from envman.errors import EnvmanError
from envman.launch.purpose import Purpose
from envman.resolver.snapshot import AirflowBundles, Snapshot
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


@pytest.fixture
def world() -> Iterator[Path]:
    """A folder that every user may enter, with the generation of two environments."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / ".gen/g/bin").mkdir(parents=True)
        (folder / ".gen/g/envman.json").touch()
        (folder / ".gen/g/bin/python").symlink_to("/usr/bin/python3")
        (folder / "home").mkdir(mode=0o700)
        told = "{'uid': os.getuid(), 'groups': os.getgroups(), 'writes': os.access(sys.argv[1], os.W_OK)}"
        (folder / "script.py").write_text(f"import json, os, sys\nprint(json.dumps({told}))\n")
        yield folder


def asked(world: Path, record: str, variables: str = "") -> dict[str, object]:
    table = Table(with_first_line(f"environment\tenv_a\t{variables}\n{record}"))
    snapshot = Snapshot(str(world), table, lambda: AirflowBundles("", {}), lambda _: "g")
    home = world / "home"
    with inside_environment(snapshot, Purpose("env_a"), {"PATH": os.defpath}, str(home)) as inside:
        answer: dict[str, object] = inside.ask(Processes(), (str(world / "script.py"), str(home)), {})
    return answer


def test_roots_doctor_runs_what_packages_bring_as_the_environments_user(world: Path) -> None:
    """A `.pth` runs whenever its interpreter starts, and `sudo envman doctor` starts all of them."""
    nobody, daemon = identity("nobody"), identity("nobody", "daemon").gid
    told = asked(world, "user\tenv_a\tnobody:daemon\n")
    assert told == {
        "uid": nobody.uid,
        "groups": sorted({daemon, *identity("nobody", "daemon").groups}),
        "writes": True,
    }


def test_without_a_user_of_its_own_it_has_this_ones(world: Path) -> None:
    assert asked(world, "")["uid"] == 0


def test_a_user_that_is_not_there_is_never_replaced_by_root(world: Path) -> None:
    with pytest.raises(InsideError, match="environment 'env_a': the user 'no-such-user' does not exist"):
        asked(world, "user\tenv_a\tno-such-user:\n")


def test_what_a_spec_preloads_is_not_loaded_before_the_user_is_given_up(world: Path) -> None:
    """A loader obeys LD_PRELOAD, with the rights of whoever it starts."""
    closed = world / "closed"
    closed.mkdir(mode=0o700)
    library = world / "evil.so"
    mark = f'open("{closed}/ran", O_CREAT | O_WRONLY, 0666)'
    source = f"__attribute__((constructor)) static void run(void) {{ {mark}; }}"
    words = ["gcc", "-shared", "-fPIC", "-include", "fcntl.h", "-x", "c", "-", "-o", str(library)]
    subprocess.run(words, input=source, text=True, check=True)
    asked(world, "user\tenv_a\tnobody:daemon\n", f"+LD_PRELOAD={library}")
    assert not (closed / "ran").exists()
    asked(world, "", f"+LD_PRELOAD={library}")  # root's own, which shows that the library does it
    assert (closed / "ran").exists()
