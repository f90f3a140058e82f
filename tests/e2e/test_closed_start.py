"""No secret of a component is in /proc while it starts, for those who run as the component's user.

The user is a number that no machine knows; see test_isolation for how it reaches what it needs.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.airflow import AirflowDeployment, reached_by_all
from tests.e2e.conftest import Deploy, Estate
from tests.e2e.services import redis

pytestmark = [
    pytest.mark.registry,
    pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become another user and to mount"),
]

WAYS = ["warm"]
STARTS = int(os.environ.get("ENVMAN_CLOSED_STARTS") or 2)
"""Starts of each component."""

USER = 23402
AS_USER = ["chroot", f"--userspec={USER}:{USER}", "--groups=", "--skip-chdir", "/"]
"""As systemd and container engines do, and setpriv does not, it gives up its capabilities before it executes."""

ROOT = Path(__file__).parents[2]
COMPONENTS = {
    "scheduler": (["scheduler"], "Adopting or resetting"),
    "dag-processor": (["dag-processor"], "Not time to refresh|Found 0|Number of|DAG File Processing Stats"),
    "triggerer": (["triggerer"], "Starting the triggerer"),
    "worker": (["worker"], "ready[.]"),
    "api-server": (["api-server"], "Application startup complete"),
}


def secrets(mark: str, airflow: AirflowDeployment, broker: str) -> dict[str, str]:
    """Sixteen variables of a component with a secret each: Airflow's, and what no list knows."""
    environ = airflow.environ
    with_password = {
        name: environ[name].replace("airflow@", f"airflow:{mark}-{number:02}@")
        for number, name in enumerate(
            (
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC",
                "AIRFLOW__CELERY__RESULT_BACKEND",
            )
        )
    }
    others = (
        "AIRFLOW__API_AUTH__JWT_SECRET",
        "AIRFLOW__API__SECRET_KEY",
        "AIRFLOW__WEBSERVER__SECRET_KEY",
        "AIRFLOW__CORE__INTERNAL_API_SECRET_KEY",
        "AIRFLOW__FAB__OAUTH_SECRET",
        "_AIRFLOW_WWW_USER_PASSWORD",
        "AWS_SECRET_ACCESS_KEY",
        "PGPASSWORD",
        "VAULT_TOKEN",
        "SENTRY_DSN",
        "WHATEVER",
    )
    long = "-that-is-long-enough-for-HS512-and-so-on-and-on-and-on-and-on"
    return {
        **with_password,
        "AIRFLOW__CORE__FERNET_KEY": f"{mark}-03".ljust(43, "0") + "=",
        "AIRFLOW__CELERY__BROKER_URL": broker.replace("//", f"//default:{mark}-04@"),
        **{name: f"{mark}-{number:02}{long}" for number, name in enumerate(others, 5)},
    }


class Strangers:
    """A process that looks for secrets while components start."""

    def __init__(self, mark: str) -> None:
        script = str(Path(__file__).with_name("proc_thief.py"))
        command = [
            *reached_by_all(ROOT, pythons=[Path(sys.executable)]),
            *AS_USER,
            sys.executable,
            script,
            mark,
        ]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._line() == "looking\n"

    def read_memory(self) -> None:
        """Have the memory read that they could open before."""
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        assert self._line() == "read\n"

    def end(self) -> dict[str, Any]:
        """What they have found."""
        told, _ = self.process.communicate(timeout=60)
        answer: dict[str, Any] = json.loads(told)
        return answer

    def _line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline()


@contextlib.contextmanager
def strangers(mark: str) -> Iterator[Strangers]:
    started = Strangers(mark)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.process.kill()
            started.process.communicate()


@pytest.fixture(scope="module")
def unreadable_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with this envman that its user may execute and not read, as the how-to has it."""
    folder = tmp_path_factory.mktemp("closed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--copies", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python3*/site-packages")
    (site / "envman.pth").write_text(f"{ROOT}\n")
    for python in folder.glob("bin/python*"):
        python.chmod(0o711)
    return folder / "bin/python"


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    with redis() as url:
        yield url


@pytest.fixture(scope="module")
def airflow(deploy: Deploy) -> AirflowDeployment:
    """A deployment whose components are started and ended here, one by one."""
    made = deploy(AIRFLOW__CORE__EXECUTOR="LocalExecutor", USER="e2e", LOGNAME="e2e")
    made.environ["HOME"] = str(made.home)
    for path in (made.home, *made.home.rglob("*")):
        os.chown(path, USER, USER)
    return made


def everywhere(estate: Estate, airflow: AirflowDeployment, *more: Path) -> list[str]:
    """The words before a command that the user is to be able to run."""
    pythons = [estate.python(name) for name in ("core", "env_a", "env_b", "env_c")]
    return reached_by_all(airflow.home, estate.folder, ROOT, *more, pythons=[*pythons, Path(sys.executable)])


def start(
    airflow: AirflowDeployment, name: str, up: str, command: list[str], variables: dict[str, str]
) -> int:
    """Start a component, and wait until it says that it is up; returns its process ID."""
    output = airflow.home / f"{name}.out"
    output.unlink(missing_ok=True)
    started = airflow.start(name, *command, **variables)
    airflow.wait_for(f"the {name}", lambda: re.search(up, output.read_text(errors="replace")))
    return started.pid


@pytest.mark.parametrize("component", COMPONENTS)
def test_nobody_of_the_same_user_finds_a_secret_while_a_component_starts(
    estate: Estate, airflow: AirflowDeployment, broker: str, unreadable_python: Path, component: str
) -> None:
    mark = uuid.uuid4().hex
    words, up = COMPONENTS[component]
    variables = secrets(mark, airflow, broker)
    assert len(variables) == len({value[value.index(mark) :][:35] for value in variables.values()}) == 16
    inside = everywhere(estate, airflow, unreadable_python.parents[1])
    command = [*inside, *AS_USER, str(unreadable_python), "-m", "envman", "launch", *words]
    with strangers(mark) as watching:
        pids = set()
        for _ in range(STARTS):
            pids.add(start(airflow, component, up, command, variables))
            watching.read_memory()
            airflow.stop(component)
        told = watching.end()
    assert told["found"] == {}
    assert not pids & {*told["let_in"]}
    assert told["looks"] > STARTS * 10


def test_a_worker_that_starts_itself_again_is_what_it_was(
    estate: Estate, airflow: AirflowDeployment, broker: str, unreadable_python: Path
) -> None:
    """Celery does so on SIGHUP, which whoever runs as its user may send: as a stock worker, left to itself."""
    mark = uuid.uuid4().hex
    inside = everywhere(estate, airflow, unreadable_python.parents[1])
    command = [*inside, *AS_USER, str(unreadable_python), "-m", "envman", "launch", "worker"]
    with strangers(mark) as watching:
        pid = start(airflow, "worker", "ready[.]", command, secrets(mark, airflow, broker))
        os.kill(pid, signal.SIGHUP)
        started = re.compile(".*".join(["envman launch: worker, Airflow", "ready[.]"] * 2), re.DOTALL)
        airflow.wait_for("the second start", lambda: started.search(airflow.output("worker")))
        watching.read_memory()
        airflow.stop("worker")
        told = watching.end()
    assert told["found"] == {}
    assert pid not in told["let_in"]
