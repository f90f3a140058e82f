"""Limits and users by cgroup v2, below a real systemd that has delegated a cgroup, or has not."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.machine.airflow_project import LIMIT, PROJECT, SPEC, dags_script, query_script
from tests.machine.disk import ENVMAN
from tests.machine.documented import documented_block, documented_units
from tests.machine.guest import Guest
from tests.machine.systemd import Service

MEBIBYTE = 2**20
BYTES = int(LIMIT.removesuffix("M")) * MEBIBYTE

EATS = """# a Dag
import airflow.sdk
taken = []
while len(taken) < 2000:
    taken.append(bytearray(b"x" * 2**20))
"""
BOMBS = """# a Dag
import airflow.sdk, os, time
children = []
try:
    while len(children) < 500:
        pid = os.fork()
        if not pid:
            time.sleep(600)
            os._exit(0)
        children.append(pid)
finally:
    for pid in children:
        os.kill(pid, 9)
"""
WHO = """# a Dag
import airflow.sdk, os
try:
    open("/var/lib/airflow/airflow.cfg").close()
    secret = "can be read"
except PermissionError:
    secret = "can not be read"
raise RuntimeError(f"uid {os.getuid()}, airflow.cfg {secret}")
"""
DELEGATE, CAPABILITIES = documented_block("how-to/isolate-environments.md", "ini", "Delegate").splitlines()
ERRORS = "SELECT bundle_name, filename, stacktrace FROM import_error"


@pytest.fixture(scope="module")
def processor(guest: Guest) -> Iterator[Service]:
    """The Dag processor of the docs, with what they say to add for limits and users."""
    made = Service(guest, documented_units()["airflow-dag-processor.service"])
    guest.write("/dags/bundle_a/eats.py", EATS)
    guest.write("/dags/bundle_a/bombs.py", BOMBS)
    guest.write("/dags/bundle_c/who.py", WHO)
    guest.write(f"{PROJECT}/environments/env_c.toml", f'user = "team_a"\n{SPEC}')
    guest.ok(f"chmod 600 /var/lib/airflow/airflow.cfg && cd {PROJECT} && envman publish")
    made.install(DELEGATE, CAPABILITIES)
    made.control("start")
    made.wait_for("Dags", dags_script("dag_a", "dag_b"))
    yield made
    made.control("stop")
    guest.write(f"{PROJECT}/environments/env_c.toml", SPEC)
    guest.ok(
        f"rm /dags/bundle_a/eats.py /dags/bundle_a/bombs.py /dags/bundle_c/who.py; cd {PROJECT} && envman publish"
    )


def import_error(processor: Service, file: str) -> str:
    """What is told of a file that could not be parsed, once it is."""
    return processor.wait_for(f"the import error of {file}", f"{query_script(ERRORS)} | grep {file}")


def test_the_limits_are_written_into_a_cgroup_below_the_unit(guest: Guest, processor: Service) -> None:
    cgroup = f"{processor.cgroup}/envman-env_a"
    found = guest.ok(f"cd {cgroup} && cat memory.max pids.max cpu.max").split()
    assert found == [str(BYTES), "100", "90000", "100000"]
    server = guest.ok("pgrep -f '[f]ork_server env_a'").split()
    assert set(server) <= set(guest.ok(f"cat {cgroup}/cgroup.procs").split())


def test_who_takes_too_much_memory_is_killed_and_its_neighbour_is_not(
    guest: Guest, processor: Service
) -> None:
    neighbour = guest.ok("pgrep -f '[f]ork_server env_b'")
    text = import_error(processor, "eats.py")
    assert "The environment 'env_a' has used up its memory" in text
    assert f"{BYTES // MEBIBYTE} MiB together" in text
    events = guest.ok(f"cat {processor.cgroup}/envman-env_a/memory.events")
    (kills,) = re.findall(r"^oom_kill (\d+)$", events, re.MULTILINE)
    assert int(kills) > 0
    assert guest.ok("pgrep -f '[f]ork_server env_b'") == neighbour
    assert "dag_b" in guest.ok(dags_script("dag_b"))


def test_a_fork_bomb_gets_no_further_than_its_limit(processor: Service) -> None:
    assert "BlockingIOError" in import_error(processor, "bombs.py")


def test_an_environments_user_is_not_the_components(guest: Guest, processor: Service) -> None:
    uid = guest.ok("id -u team_a").strip()
    assert f"uid {uid}, airflow.cfg can not be read" in import_error(processor, "who.py")


def doctor(guest: Guest, *properties: str) -> str:
    """What the doctor finds in a unit such as a component's, one finding a line."""
    words = ["User=airflow", "EnvironmentFile=/etc/airflow/airflow.env", *properties]
    options = " ".join(f"-p '{word}'" for word in words)
    unit = f"systemd-run -q --pipe --wait --same-dir {options}"
    finished = guest.run(f"cd {PROJECT} && {unit} {ENVMAN} doctor --json")
    return "\n".join(f"{one['level']}: {one['what']}" for one in finished.json["result"]["findings"])


def test_the_doctor_tells_the_truth_where_the_unit_is_delegated(guest: Guest, processor: Service) -> None:
    found = doctor(guest, DELEGATE, CAPABILITIES)
    assert "memory 300 MiB by cgroup v2, cpu 0.9 by cgroup v2, pids 100 by cgroup v2" in found
    assert "warning: " not in found
    assert processor.shown("Delegate") == "yes"


def test_the_doctor_tells_the_truth_where_the_unit_is_not_delegated(guest: Guest, processor: Service) -> None:
    found = doctor(guest, CAPABILITIES)
    assert "warning: its limit of memory holds each process on its own, not the environment" in found
    assert "warning: nothing here holds its limit of cpu" in found
    processor.install(CAPABILITIES)
    processor.control("restart")
    # the step before the interpreter has its words, too, and not yet its limits
    limited = f"grep -E '^Max address space +{BYTES} ' /proc/$p/limits && exit 0"
    servers = "$(pgrep -f '[f]ork_server env_a')"
    processor.wait_for("limited fork server", f"for p in {servers}; do {limited}; done; exit 1")
    assert guest.run(f"test -d {processor.cgroup}/envman-env_a").exit_code == 1
