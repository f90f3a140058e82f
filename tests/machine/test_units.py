"""The systemd units of the docs, as they stand there, on a real systemd: start, stop, crash, restart, reboot."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.machine.airflow_project import DAG, dags_script
from tests.machine.documented import documented_units
from tests.machine.guest import Guest
from tests.machine.systemd import Service, alive

UNITS = documented_units()
PROCESSOR = "airflow-dag-processor.service"
COMPONENTS = {
    # unit: what it says once it works
    PROCESSOR: "Processing files using",
    "airflow-scheduler.service": "Adopting or resetting orphaned tasks",
    "airflow-triggerer.service": "Starting the triggerer",
    "airflow-api-server.service": "Application startup complete",
    "dag-processor-of-bundle_a.service": "Processing files using",
}
ENABLED = (PROCESSOR, "airflow-triggerer.service")
WITHOUT_AIRFLOW = (
    "airflow-celery-worker.service",
    "airflow-edge-worker.service",
    "airflow-scheduler-with-the-kubernetesexecutor.service",
)
"""They need a broker, an API server or a cluster, so that a stand-in takes the component's place."""

STAND_IN = '''
import os, signal, subprocess, sys
from pathlib import Path

child = subprocess.Popen([sys.executable, "-c", """
import os, signal, time
from pathlib import Path
signal.signal(signal.SIGTERM, lambda *_: Path("/tmp/task.signalled").touch())
Path("/tmp/task.runs").write_text(str(os.getpid()))
while not Path("/tmp/task.may-end").exists():
    time.sleep(0.1)
Path("/tmp/task.ended").touch()
"""])
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: Path("/tmp/component.stops").touch())
while child.poll() is None:
    signal.sigtimedwait([signal.SIGCHLD], 0.2)
'''


def service(guest: Guest, name: str) -> Service:
    return Service(guest, UNITS[name]).install()


@pytest.fixture
def processor(guest: Guest) -> Iterator[Service]:
    """The Dag processor of the docs, at work."""
    made = service(guest, PROCESSOR)
    made.control("start")
    made.wait_for("Dags", dags_script("dag_a", "dag_b"))
    yield made
    made.control("stop")


def test_every_unit_of_the_docs_is_known_here() -> None:
    assert set(UNITS) == {*COMPONENTS, *WITHOUT_AIRFLOW}


def test_systemd_finds_no_fault_with_them(guest: Guest) -> None:
    for name in UNITS:
        service(guest, name)
    finished = guest.run(f"systemd-analyze verify {' '.join(UNITS)}")
    assert (finished.exit_code, finished.stderr) == (0, ""), finished


def test_a_component_that_crashes_comes_back_and_a_stopped_one_leaves_nothing(
    guest: Guest, processor: Service
) -> None:
    before, main = processor.processes(), processor.shown("MainPID")
    assert len(before) > 1  # the fork servers, too
    processor.control("kill --kill-who=main --signal=KILL")
    guest.write("/dags/bundle_a/late.py", DAG.format(name="dag_late"))
    processor.wait_for("the Dag of a new file", dags_script("dag_late"))
    assert processor.shown("MainPID") != main
    assert not alive(guest, before)

    working = processor.processes()
    processor.control("restart")
    assert not alive(guest, working)
    processor.wait_for("its words", processor.journal("envman launch: dag-processor"))

    last = processor.processes()
    processor.control("stop")
    assert processor.shown("Result") == "success"
    assert not alive(guest, last)
    assert not guest.run("pgrep -u airflow").stdout
    # what should survive does
    assert "OK" in guest.ok("cd /srv/airflow && envman verify && echo OK")
    assert "dag_late" in guest.ok(dags_script("dag_late"))


@pytest.mark.parametrize("name", WITHOUT_AIRFLOW)
def test_a_component_that_is_stopped_waits_for_its_tasks(guest: Guest, name: str) -> None:
    made = service(guest, name)
    guest.ok("rm -f /tmp/task.* /tmp/component.*")
    guest.write("/srv/stand_in.py", STAND_IN)
    start = "ExecStart=/opt/envman/bin/envman exec --environment core -- python /srv/stand_in.py"
    made.install("ExecStart=", start)
    made.control("start")
    made.wait_for("the task", "test -s /tmp/task.runs")
    made.control("stop --no-block")
    made.wait_for("the component to be told", "test -e /tmp/component.stops")
    assert made.shown("ActiveState") == "deactivating"
    assert guest.run("test -e /tmp/task.signalled").exit_code == 1  # KillMode=mixed
    guest.ok("touch /tmp/task.may-end")
    made.wait_for("the unit to end", f"systemctl show -p ActiveState {name} | grep inactive")
    assert guest.run("test -e /tmp/task.ended").exit_code == 0
    assert made.shown("Result") == "success"
    assert not made.processes()


@pytest.mark.parametrize("name", [name for name in COMPONENTS if name not in ENABLED])
def test_a_component_starts_and_leaves_nothing_when_it_is_stopped(guest: Guest, name: str) -> None:
    made = service(guest, name)
    made.control("start")
    made.wait_for("its work to begin", made.journal(COMPONENTS[name]))
    assert made.shown("NRestarts") == "0"
    working = made.processes()
    made.control("stop")
    assert not alive(guest, working)
    assert not guest.run("pgrep -u airflow").stdout


def test_after_a_reboot_the_enabled_components_are_there_again(guest: Guest) -> None:
    services = [service(guest, name) for name in ENABLED]
    for made in services:
        made.control("enable")
    guest.write("/dags/bundle_b/new.py", DAG.format(name="dag_new"))
    guest.reboot()
    for made in services:
        made.wait_for("its work to begin", made.journal(COMPONENTS[made.name]))
    services[0].wait_for("the Dag of a new file", dags_script("dag_new"))
    working = set().union(*(made.processes() for made in services))
    for made in services:
        made.control("disable --now")
    assert not alive(guest, working)
    assert not guest.run("pgrep -u airflow").stdout
