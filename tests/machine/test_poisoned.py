"""A poisoned package, and users by a real systemd, all of it set up as the docs tell it: what it reaches, and what not.

It attacks from what a build runs of it, and from what a component runs of its environment (see poison.py).
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from tests.machine.airflow_project import PROJECT, SPEC, WHEELS, dags_script, query_script
from tests.machine.documented import documented_block, documented_units
from tests.machine.guest import Finished, Guest
from tests.machine.poison import ATTEMPTS, PORT, SECRET
from tests.machine.systemd import Service

HOW_TO = "how-to/isolate-environments.md"
USER = documented_block(HOW_TO, "toml", 'user = "team_a"')
SANDBOX = "\n".join(documented_block(HOW_TO, "toml", "# envman.toml\nsandbox").splitlines()[1:])
UNIT_LINES = documented_block(HOW_TO, "ini", "Delegate").splitlines()

POISONED = 'platforms = ["linux-x86_64"]\n' + SPEC.replace("[", '["poison", ', 1)
"""As all of SPEC, of the wheels that the guest has."""
TELLS = '[checks]\ncommands = [["python", "-m", "poison"]]\n'
OPEN = {"the network": str(PORT)}
"""What a workload reaches, and what its package doesn't at a build."""

DAG = """# a Dag
import airflow.sdk, json, poison
raise RuntimeError("reached: " + json.dumps(poison.FOUND | poison.attack()))
"""
WATCHES = """# a Dag
import airflow.sdk, json, os, pathlib, poison
os.nice(10)  # the guest has one processor
raise RuntimeError("reached: " + json.dumps(poison.watch(pathlib.Path("/tmp/begun"), pathlib.Path("/tmp/enough"))))
"""
STARTS = 1
"""Starts of a component while the package looks at /proc."""


@pytest.fixture(scope="module")
def project(guest: Guest) -> Iterator[Guest]:
    """A project whose env_c has the package, in a guest that is put back afterwards."""
    places = f"{PROJECT} /etc/airflow /dags"
    guest.ok(f"mkdir /kept && cp -a --parents {places} /kept")
    settings = guest.ok(f"cat {PROJECT}/envman.toml")
    guest.write(f"{PROJECT}/envman.toml", f"{SANDBOX}\n{settings}")
    guest.write(f"{PROJECT}/uv.toml", f'no-index = true\nfind-links = ["{WHEELS}"]\n')
    guest.write(f"{PROJECT}/environments/env_b.toml", USER.replace("team_a", "team_b") + SPEC)
    guest.write(f"{PROJECT}/environments/env_c.toml", f"{USER}{POISONED}{TELLS}")
    guest.ok(f"echo AIRFLOW__CORE__FERNET_KEY={SECRET.decode()} >> /etc/airflow/airflow.env")
    guest.ok("chmod 600 /etc/airflow/airflow.env /var/lib/airflow/airflow.cfg")
    guest.ok("mkdir -p /var/lib/airflow/logs && chown airflow: /var/lib/airflow/logs")
    guest.ok("chmod 700 /var/lib/airflow/logs")
    guest.ok(f"systemd-run -q --unit=open-port python3 -m http.server {PORT} --bind 127.0.0.1")
    guest.wait_for(
        "open port", f"python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {PORT}))'"
    )
    envman(guest, "lock env_c")
    yield guest
    guest.ok("systemctl stop open-port")
    guest.ok(f"rm -rf {places} /tmp/begun /tmp/enough && cp -a /kept/. / && rm -r /kept")
    envman(guest, "publish")


def envman(guest: Guest, words: str) -> str:
    return guest.ok(f"cd {PROJECT} && envman {words}")


STATE = """
import hashlib, json, os, sys
found = {}
for folder in sys.argv[1:]:
    for above, folders, files in os.walk(folder):
        for path in (os.path.join(above, name) for name in (*folders, *files)):
            status = os.lstat(path)
            if os.path.islink(path):
                found[path] = [path, os.readlink(path)]
            elif not os.path.isfile(path):
                continue
            elif str(status.st_ino) not in found:
                with open(path, "rb") as stream:
                    content = hashlib.md5(stream.read()).hexdigest()
                found[str(status.st_ino)] = [path, f"{status.st_mode:o} {status.st_uid} {content}"]
print(json.dumps(found))
"""


def state(guest: Guest) -> dict[str, list[str]]:
    """All that a package could reach by a build, each inode once: generations, names, caches, specs, Dags."""
    folders = f"/venv /root/.cache {PROJECT} /dags"
    return dict(json.loads(guest.ok(f"python3 -c {shlex.quote(STATE)} {folders}")))


@pytest.fixture(scope="module")
def refused(project: Guest) -> Finished:
    """A build in which the package says what it has reached, and so fails."""
    return project.run(f"cd {PROJECT} && TOKEN={SECRET.decode()} envman build env_c")


def told(text: str) -> dict[str, Any]:
    """What the package says that it has reached."""
    (found,) = re.findall(r"\{.*\}", text)
    return dict(json.loads(found))


def test_at_a_build_it_reaches_nothing(project: Guest, refused: Finished) -> None:
    assert "in a sandbox" in refused.stderr
    assert refused.exit_code == 6, refused
    assert told(refused.stderr) == {}


@pytest.fixture(scope="module")
def built(project: Guest, refused: Finished) -> dict[str, list[str]]:
    """The state before a build that succeeds, with the package among what its import check imports."""
    assert refused.exit_code
    before = state(project)
    checks = '[checks]\nimports = ["poison"]\n'
    project.write(f"{PROJECT}/environments/env_c.toml", f"{USER}{POISONED}{checks}")
    envman(project, "build env_c")
    return before


def test_a_build_that_succeeds_changes_nothing_but_its_own(
    project: Guest, built: dict[str, list[str]]
) -> None:
    """Whatever the package says: what was there is as it was, but for what builds keep of their own."""
    own = (
        "/venv/.state/",
        f"{PROJECT}/environments/env_c.toml",
        "/venv/env_c",
        "/root/.cache/uv/interpreter-",
    )
    now = state(project)
    changed = [
        before for key, before in built.items() if now.get(key, before)[1] != before[1] or key not in now
    ]
    assert [path for path, _ in changed if not path.startswith(own)] == []
    envman(project, "verify")


@pytest.fixture(scope="module")
def processor(project: Guest, built: dict[str, list[str]]) -> Iterator[Service]:
    """The Dag processor of the docs, as they say for users, at work for the package's environment and another."""
    assert built
    made = Service(project, documented_units()["airflow-dag-processor.service"]).install(*UNIT_LINES)
    project.write("/dags/bundle_c/poisoned.py", DAG)
    made.control("start")
    made.wait_for("Dags", dags_script("dag_b", "dag_c"))
    yield made
    made.control("stop")


def import_error(processor: Service, file: str) -> dict[str, Any]:
    """What the package says in a file's import error, once it is there."""
    query = f"SELECT stacktrace FROM import_error WHERE filename = '{file}'"
    return told(processor.wait_for(f"the import error of {file}", f"{query_script(query)} | grep reached"))


def test_a_workload_reaches_nothing_of_others(project: Guest, processor: Service) -> None:
    assert import_error(processor, "poisoned.py") == OPEN
    assert project.ok("pgrep -u team_b -f '[f]ork_server env_b'")
    assert project.ok("pgrep -u team_a -f '[f]ork_server env_c'")


def test_each_attempt_is_a_real_one(project: Guest, processor: Service) -> None:
    """With all rights, all of it is reached."""
    assert processor.processes()
    finished = project.run("/venv/env_c/bin/python -m poison")
    assert finished.exit_code == 3, finished
    assert set(told(finished.stderr)) == set(ATTEMPTS)


def test_a_workload_sees_no_secret_while_a_component_starts(project: Guest, processor: Service) -> None:
    project.write("/dags/bundle_c/watches.py", WATCHES)
    processor.control("restart")  # it looks for new files every five minutes
    processor.wait_for("the package's look at /proc", "test -e /tmp/begun")
    triggerer = Service(project, documented_units()["airflow-triggerer.service"]).install(*UNIT_LINES)
    for _ in range(STARTS):
        triggerer.control("start")
        triggerer.wait_for("its work to begin", triggerer.journal("Starting the triggerer"))
        pid = triggerer.shown("MainPID")
        assert SECRET.decode() in project.ok(f"tr '\\0' '\\n' < /proc/{pid}/environ")
        triggerer.control("stop")
    project.ok("touch /tmp/enough")
    found = import_error(processor, "watches.py")
    assert found["found"] == []
    assert found["looks"] > 10 * STARTS
