"""Limits and users of environments, in a real deployment: who takes too much fails alone, and as whom it ran.

The user that an environment has here is a number that no machine knows. It can't enter a home folder or
pytest's, so the components run where these are open (see `reached_by_all`), which needs root.
"""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from envman.confine import cgroup_files
from envman.confine.cgroups import RLIMIT, explain
from tests.e2e.airflow import AirflowDeployment, another_root, reached_by_all
from tests.e2e.conftest import BOTH_WAYS, LOCAL_BUNDLE, SOURCE, Deploy, Estate
from tests.e2e.kinds import envman
from tests.waiting import until

pytestmark = [
    pytest.mark.registry,
    pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become other users and to mount"),
]

WAYS = BOTH_WAYS if os.environ.get("ENVMAN_E2E_ALL") else ["warm"]

USER = 23401
COMPONENTS_USER = 23400
DAGS = SOURCE / "hostile/limits"
MEMORY = 512 * 2**20
PIDS = 60
HELD = {"memory": MEMORY, "pids": PIDS}
RECORDS = (f"limits\tenv_a\tmemory={MEMORY} pids={PIDS}", f"user\tenv_c\t{USER}:{USER}")

mechanisms = explain(HELD).mechanisms


def bundles() -> list[dict[str, object]]:
    names = ("bundle_a", "bundle_b", "bundle_c")
    return [{"name": name, "classpath": LOCAL_BUNDLE, "kwargs": {"path": str(DAGS / name)}} for name in names]


def everywhere(estate: Estate, airflow: AirflowDeployment) -> list[str]:
    """The words before a command of the deployment that other users' processes are to be able to run."""
    pythons = [estate.python(name) for name in ("core", "env_a", "env_b", "env_c")]
    folders = (airflow.home, estate.folder, SOURCE.parents[2])
    return reached_by_all(*folders, pythons=[*pythons, Path(sys.executable)])


@pytest.fixture(scope="module")
def airflow(estate: Estate, deploy: Deploy) -> Iterator[AirflowDeployment]:
    """Environment a has limits, c has a user, b has nothing."""
    made = deploy(bundles())
    made.home.chmod(0o755)
    (made.home / "notes").chmod(0o1777)
    made.environ["ENVMAN_ROOT"] = str(another_root(estate.root, made.home / "root", *RECORDS))
    with own_cgroups() as confined:
        inside = [*confined, *everywhere(estate, made)]
        inside += ["setpriv", "--groups", "0,4"]  # which the user must not keep
        made.start_api_server()
        made.start("dag-processor", *inside, *envman("launch", "dag-processor"))
        made.start("scheduler", *inside, *envman("launch", "scheduler"))
        made.wait_for("all Dags", lambda: {"eats", "bombs", "modest", "neighbour", "who"} <= made.dag_ids())
        yield made
        made.stop_all()


@contextmanager
def own_cgroups() -> Iterator[list[str]]:
    """The words that start a component in cgroups of its own: the machine may have another `env_a`."""
    name = f"envman-test-{uuid.uuid4().hex}"
    held = [limit for limit in HELD if mechanisms[limit].startswith("cgroup")]
    made = {cgroup_files.make(cgroup_files.find(limit, "/proc/self"), limit, name) for limit in held}
    move = "".join(f"echo $$ > '{folder}/cgroup.procs'\n" for folder in made)
    yield ["sh", "-ec", f'{move}exec "$@"', "sh"]
    for folder in made:
        for one in sorted((path for path in Path(folder).rglob("*") if path.is_dir()), reverse=True):
            remove_cgroup(one)
        remove_cgroup(Path(folder))


def remove_cgroup(folder: Path) -> None:
    procs = folder / "cgroup.procs"
    until(lambda: not procs.read_text(), lambda: f"{procs} has {procs.read_text().split()}")
    folder.rmdir()


@contextmanager
def a_neighbour(airflow: AirflowDeployment, name: str) -> Iterator[None]:
    """A task of environment b that runs before, while and after something happens; it succeeds."""
    run = airflow.trigger("neighbour", {"name": name})
    airflow.wait_for("the neighbour", (airflow.home / f"notes/{name}_runs").exists)
    yield
    (airflow.home / f"notes/{name}_is_over").touch()
    assert airflow.finished("neighbour", run) == "success", airflow.log("neighbour", run, "wait")
    assert airflow.tasks("neighbour", run)["wait"]["try_number"] == 1


def failed(airflow: AirflowDeployment, dag: str, task: str) -> str:
    """Run a Dag whose task fails; returns the task's log."""
    run = airflow.trigger(dag)
    assert airflow.finished(dag, run) == "failed", airflow.log(dag, run, task)
    return airflow.log(dag, run, task)


def another_one_succeeds(airflow: AirflowDeployment) -> None:
    run = airflow.trigger("modest")
    assert airflow.finished("modest", run) == "success", airflow.log("modest", run, "one")


# limits


def test_a_file_that_takes_too_much_memory_is_an_import_error_that_says_so(
    airflow: AirflowDeployment,
) -> None:
    found = airflow.wait_for("the import error", airflow.import_errors)
    assert set(found) == {"bundle_a/eats.py"}
    text = found["bundle_a/eats.py"]
    if mechanisms["memory"] == RLIMIT:
        assert "MemoryError" in text
    else:
        assert "The environment 'env_a' has used up its memory" in text
        assert f"{MEMORY // 2**20} MiB together (limits.memory of its spec)" in text


def test_a_task_that_takes_too_much_memory_fails_alone_and_its_log_says_why(
    airflow: AirflowDeployment,
) -> None:
    with a_neighbour(airflow, "eating"):
        log = failed(airflow, "eats", "eat")
        another_one_succeeds(airflow)
    wanted = "MemoryError" if mechanisms["memory"] == RLIMIT else "'env_a' has used up its memory"
    assert wanted in log


@pytest.mark.skipif(
    not mechanisms["pids"].startswith("cgroup"), reason="no cgroup for pids, and no user whose to count"
)
def test_a_fork_bomb_fails_alone(airflow: AirflowDeployment) -> None:
    with a_neighbour(airflow, "bombing"):
        log = failed(airflow, "bombs", "bomb")
        another_one_succeeds(airflow)
    assert "BlockingIOError" in log
    children = int(log.partition("had ")[2].split()[0])
    assert 10 < children < PIDS, log


# a user


def is_confined(found: dict[str, Any], way: str) -> None:
    """Whether it ran as the environment's user, with nothing of root's left."""
    assert found == {
        "uids": [USER] * 4,
        "gids": [USER] * 4,
        "groups": [USER],  # its own group and no other
        "capabilities": [0, 0, 0],
        "user": str(USER),
        "home": "/",
        "changed": [],
        "served": way == "warm",
    }


def test_a_parse_runs_as_the_environments_user(airflow: AirflowDeployment, way: str) -> None:
    note = airflow.home / "notes/parse_identity"
    is_confined(json.loads(note.read_text()), way)
    assert note.stat().st_uid == USER


def test_a_task_runs_as_the_environments_user(airflow: AirflowDeployment, way: str) -> None:
    run = airflow.trigger("who")
    assert airflow.finished("who", run) == "success", airflow.log("who", run, "am_i")
    is_confined(airflow.xcom("who", run, "am_i"), way)


COMPONENTS = {
    "dag-processor": ("launch", "dag-processor", "--", "--num-runs", "1"),
    "scheduler": ("launch", "scheduler", "--", "--num-runs", "1"),
}
by_component = pytest.mark.parametrize("component", COMPONENTS)


def bare(estate: Estate, tmp_path: Path, user: str) -> AirflowDeployment:
    """A deployment whose environment c has a user; nothing of it gets as far as to need a database."""
    home = tmp_path / "airflow"
    root = another_root(estate.root, home / "root", f"user\tenv_c\t{user}")
    variables = {"ENVMAN_ROOT": str(root), "E2E_NOTES": str(home)}
    return AirflowDeployment(home, estate.root / "core/bin", bundles(), variables)


@by_component
def test_a_user_who_does_not_exist_is_refused_at_the_start(
    estate: Estate, tmp_path: Path, component: str
) -> None:
    airflow = bare(estate, tmp_path, "no-such-user:")
    finished = airflow.run(*envman(*COMPONENTS[component]))
    assert finished.returncode == 125, finished.stdout + finished.stderr
    assert "environment 'env_c': user: the user 'no-such-user' does not exist on this host" in finished.stderr
    assert "useradd" in finished.stderr
    assert "env_a" not in finished.stderr
    assert not (airflow.home / "parse_identity").exists()


@by_component
def test_a_component_without_the_right_to_become_the_user_is_refused_at_the_start(
    estate: Estate, tmp_path: Path, component: str
) -> None:
    airflow = bare(estate, tmp_path, f"{USER}:{USER}")
    mine = str(COMPONENTS_USER)
    os.chown(airflow.home, COMPONENTS_USER, COMPONENTS_USER)
    airflow.environ |= {"USER": "e2e", "LOGNAME": "e2e", "HOME": str(airflow.home)}  # no machine knows it
    as_user = ["setpriv", "--reuid", mine, "--regid", mine, "--clear-groups"]
    finished = airflow.run(*everywhere(estate, airflow), *as_user, *envman(*COMPONENTS[component]))
    assert finished.returncode == 125, finished.stdout + finished.stderr
    what = f"the component runs as uid {mine} and has no right to become the user '{USER}'"
    assert f"environment 'env_c': user: {what}" in finished.stderr
    assert "CAP_SETUID and CAP_SETGID" in finished.stderr
    assert not (airflow.home / "parse_identity").exists()
