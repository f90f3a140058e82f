"""Dags that try to get at secrets, processes, servers and files that are not theirs, and what comes of it.

Twice: with a user for each environment, where everything is closed, and with the components' user for all.
What is open there can't be closed without separate users: see OPEN, and "What stays open without a user of
its own" in docs/how-to/isolate-environments.md.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from envman.store import layout
from envman.store.locks import locked
from tests.e2e.airflow import AirflowDeployment, another_root, reached_by_all
from tests.e2e.conftest import BOTH_WAYS, LOCAL_BUNDLE, SOURCE, Deploy, Estate
from tests.e2e.kinds import envman

pytestmark = [
    pytest.mark.registry,
    pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become other users and to mount"),
]

DAGS = SOURCE / "hostile/secrets"
COMPONENTS_USER, USER_A, USER_B = 23410, 23411, 23412
OWN, SAME = "a user for each environment", "one user for all"
WAYS = BOTH_WAYS if os.environ.get("ENVMAN_E2E_ALL") else ["warm"]
ORIGINS = ("parse", "task")


def canary(name: str) -> str:
    return f"canary_{name}_{secrets.token_hex(16)}"


def secret_variables(folder: Path) -> dict[str, str]:
    """The secrets that the components have, each with a form that the Dags look for."""
    fernet = f"canary_fernet_{secrets.token_hex(15)[:29]}="  # 44 characters of base64
    return {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder}/{canary('database')}.db",
        "AIRFLOW__CORE__FERNET_KEY": fernet,
        "AIRFLOW__API_AUTH__JWT_SECRET": canary("jwt") + secrets.token_hex(32),
        "AIRFLOW__API__SECRET_KEY": canary("session") + secrets.token_hex(32),
        "AIRFLOW__CELERY__BROKER_URL": f"redis://:{canary('broker')}@nowhere:6379/0",
        "AIRFLOW__OTHER_TEAM___CELERY__BROKER_URL": f"redis://:{canary('teambroker')}@nowhere:6379/0",
        "AIRFLOW_CONN__OTHER_TEAM___X": f"http://user:{canary('connection')}@nowhere",
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps({"auth": {"apiKey": canary("lineage")}}),
        "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps({"token": canary("vault")}),
        "AIRFLOW__SENTRY__SENTRY_DSN": f"https://{canary('sentry')}@nowhere/1",
        "AIRFLOW__SMTP__SMTP_PASSWORD": canary("mail"),
        "AWS_SECRET_ACCESS_KEY": canary("unlisted"),
        "E2E_CONTROL": canary("control"),  # one that workloads do get, by `pass`: the search finds it
    }


PROCESSES = (
    *("api-server", "scheduler", "dag-processor-b"),
    *("victim", "above the victim", "its parent"),
)
"""Whom the Dags attack: components, a task of environment b, what has started it, and what has started them."""

EVERYTHING = [
    *("address", "broker", "configuration", "connection", "control", "database", "fernet", "jwt"),
    *("lineage", "mail", "sentry", "session", "teambroker", "unlisted", "vault"),
]

CLOSED: dict[str, Any] = {
    "own memory": ["control"],
    "own variables": ["control"],
    "own variables at the start": ["control"],
    "own descriptors": {
        **{"0": "socket", "1": "socket", "2": "socket"},
        "3": "as 2",  # Airflow keeps it for its last words
        "100": "envman.json",  # holds the generation
        "101": "socket",
    },
    "variables of others": {},
    "memory of others": {},
    "descriptors of others": {},
    "airflow.cfg": "EACCES",
    "database": "EACCES",
    "logs of others": "EACCES",
    "ptrace": dict.fromkeys(PROCESSES, "EPERM"),
    "signals": dict.fromkeys(PROCESSES, "EPERM") | {"its parent": "done"},  # its own fork server
    "root": "EPERM",
    "servers": dict.fromkeys(("env_a", "env_b"), "EACCES"),
    "servers from outside": dict.fromkeys(("env_a", "env_b"), "EACCES"),
    "run folder": "EACCES",
    "run folder's names": "EACCES",
    "table": "EACCES",
    "root folder": "EACCES",
    "generations": "EACCES",
    "own generation": "EACCES",
    "another's generation": "EACCES",
    "lock on a used generation": "EBADF",  # it needs the right to write
    "lock on an idle generation": "EBADF",
    "lock of builders": "EACCES",
}
"""What comes of each attempt in an environment that has a user of its own."""

OPEN: dict[str, Any] = {
    # A component's files. Secrets in airflow.cfg are in the workload's memory before any Dag runs.
    "own memory": ["configuration", "control"],
    "airflow.cfg": ["configuration"],
    "database": "done",
    "logs of others": "done",
    # Components that envman does not start.
    "variables of others": {"api-server": "done"},
    "memory of others": {"api-server": EVERYTHING},
    "descriptors of others": {"api-server": "done"},
    "ptrace": CLOSED["ptrace"] | {"api-server": "done"},
    # Signals, to components and to workloads of other environments.
    "signals": dict.fromkeys(PROCESSES, "done"),
    # The folder of the sockets. A server refuses whoever is below a fork server.
    "run folder": "done",
    "run folder's names": "done",
    "servers": dict.fromkeys(("env_a", "env_b"), "it is a workload itself"),
    "servers from outside": dict.fromkeys(("env_a", "env_b"), "it is a workload itself"),
}
"""What comes of those attempts of which something else comes where all have the components' user."""


COLD = {
    **{"servers": {}, "servers from outside": {}},
    **dict.fromkeys(("run folder", "run folder's names"), "ENOENT"),
}
"""Without fork servers there are no sockets, and no folder of theirs."""


def expected(case: str, way: str) -> dict[str, Any]:
    wanted = CLOSED | (OPEN if case == SAME else {}) | (COLD if way == "cold" else {})
    if case == OWN and way == "cold":
        wanted["signals"] = dict.fromkeys(PROCESSES, "EPERM")  # its parent is the component
    return wanted


@dataclass
class Attack:
    """What the Dags noted after the attack."""

    case: str
    way: str
    found: dict[str, dict[str, Any]]
    assassin: dict[str, str]


@pytest.fixture(scope="module", params=[OWN, SAME])
def attack(
    request: pytest.FixtureRequest,
    estate: Estate,
    deploy: Deploy,
    way: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Attack:
    """The components hold the secrets; environment b runs a task; then Dags of environment a attack."""
    case = request.param
    database = tmp_path_factory.mktemp("database")
    names = ("bundle_a", "bundle_b")
    bundles: list[dict[str, object]] = [
        {"name": name, "classpath": LOCAL_BUNDLE, "kwargs": {"path": str(DAGS / name)}} for name in names
    ]
    address = f"https://{canary('address')}@nowhere/{{subdir}}"  # of the bundle that does not attack
    bundles[1]["kwargs"] = {"path": str(DAGS / "bundle_b"), "view_url_template": address}
    variables = secret_variables(database)
    limits = ("DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT", "CORE__DAGBAG_IMPORT_TIMEOUT")
    airflow = deploy(bundles, **variables, **{f"AIRFLOW__{name}": "150" for name in limits})
    notes = airflow.home / "notes"
    with (airflow.home / "airflow.cfg").open("a") as stream:  # Airflow itself has made it with mode 0600
        stream.write(f"\n[e2e]\nsecret = {canary('configuration')}\n")
    records = [f"user\tenv_a\t{USER_A}:{USER_A}", f"user\tenv_b\t{USER_B}:{USER_B}"]
    root = another_root(estate.root, airflow.home / "root", *(records if case == OWN else []))
    airflow.environ["ENVMAN_ROOT"] = str(root)
    idle = root / "idle"  # nobody runs in it, whatever else uses the estate
    idle.mkdir()
    shutil.copy(estate.root / "env_c/envman.json", idle)
    with locked(layout.lock_path(str(root), "store")):  # as a build does
        pass
    inside = launcher(estate, airflow, database, case)
    (notes / "database").write_text(json.dumps(str(next(database.glob("*.db")))))

    airflow.start("api-server", *inside, f"{airflow.stock}/airflow", "api-server")
    airflow.wait_for("the API server", airflow.is_healthy, 120)
    airflow.start("scheduler", *inside, *envman("launch", "scheduler"))
    airflow.start("dag-processor-b", *inside, *envman("launch", "dag-processor", "--", "-B", "bundle_b"))
    airflow.wait_for("the victim's Dag", lambda: "victim" in airflow.dag_ids())
    victim = airflow.trigger("victim")
    airflow.wait_for("the victim", (notes / "victim").exists)

    processes = {name: process.pid for name, process in airflow._running.items()}
    (notes / "targets").write_text(json.dumps(processes | json.loads((notes / "victim").read_text())))
    airflow.start("dag-processor-a", *inside, *envman("launch", "dag-processor", "--", "-B", "bundle_a"))
    sockets = {} if way == "cold" else airflow.wait_for("both servers", lambda: sockets_of(airflow))
    (notes / "sockets.new").write_text(json.dumps(sockets))
    (notes / "sockets.new").replace(notes / "sockets")
    airflow.wait_for("the hostile Dag", lambda: "hostile" in airflow.dag_ids(), 200)
    run = airflow.trigger("hostile")
    assert airflow.finished("hostile", run) == "success", airflow.log("hostile", run, "attempt")
    airflow.finished("assassin", airflow.trigger("assassin"))
    airflow.wait_for("the assassin", (notes / "assassin").exists)
    (notes / "attack_is_over").touch()
    assert airflow.finished("victim", victim) == "success", airflow.log("victim", victim, "wait")
    airflow.check_alive()
    noted = {name: json.loads((notes / name).read_text()) for name in (*ORIGINS, "assassin")}
    return Attack(case, way, {origin: noted[origin] for origin in ORIGINS}, noted["assassin"])


def launcher(estate: Estate, airflow: AirflowDeployment, database: Path, case: str) -> list[str]:
    """The words before a component: where all can reach what they need, and as whom it runs."""
    pythons = [estate.python(name) for name in ("core", "env_a", "env_b", "env_c")]
    folders = (airflow.home, estate.folder, SOURCE.parents[2], database)
    airflow.home.chmod(0o755)
    (airflow.home / "notes").chmod(0o1777)
    (airflow.home / "logs").chmod(0o700)
    words = reached_by_all(*folders, pythons=[*pythons, Path(sys.executable)])
    if case == OWN:
        return words
    for path in (airflow.home, database):
        for one in (path, *path.rglob("*")):
            if not one.is_relative_to(airflow.home / "root"):  # it is published by another user
                os.chown(one, COMPONENTS_USER, COMPONENTS_USER)
    user = str(COMPONENTS_USER)
    airflow.environ |= {"USER": "e2e", "LOGNAME": "e2e", "HOME": str(airflow.home)}  # no machine knows it
    return [*words, "setpriv", "--reuid", user, "--regid", user, "--clear-groups"]


def sockets_of(airflow: AirflowDeployment) -> dict[str, str]:
    """The fork servers' sockets by environment, once there are both; each answers when it is ready."""
    found = {}
    for path in (airflow.home / "run").glob("*.sock"):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(60)
            connection.connect(str(path))
            connection.sendall(b'{"ask": "status"}\n')
            found[json.loads(connection.makefile().readline())["environment"]] = str(path)
    return found if len(found) == 2 else {}


def test_the_environments_have_the_users_that_the_case_is_about(attack: Attack) -> None:
    found = {origin: attack.found[origin]["user"] for origin in ORIGINS}
    assert found == dict.fromkeys(ORIGINS, USER_A if attack.case == OWN else COMPONENTS_USER)


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("attempt", CLOSED)
def test_an_attempt_comes_to_nothing_unless_it_is_listed_as_open(
    attack: Attack, attempt: str, origin: str
) -> None:
    wanted = expected(attack.case, attack.way)[attempt]
    found = attack.found[origin][attempt]
    if attempt == "own variables at the start":  # where a process has given itself a title they are gone
        assert found in ([], wanted)
    else:
        assert found == wanted


@pytest.mark.parametrize("origin", ORIGINS)
def test_all_attempts_were_made(attack: Attack, origin: str) -> None:
    assert {*attack.found[origin]} == {"user", *CLOSED}


def test_who_kills_its_own_server_can_ask_others_with_the_same_user_alone(attack: Attack) -> None:
    """Nothing tells an orphan that the components' user owns from a component."""
    if attack.way == "cold":
        assert attack.assassin == {}
    else:
        assert attack.assassin["env_b"] == ("done" if attack.case == SAME else "EACCES")
