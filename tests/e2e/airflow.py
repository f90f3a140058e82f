"""A real Airflow deployment for a test: its components as processes, and its REST API."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from envman.resolver.table import with_first_line
from tests.fork_servers import statuses
from tests.ports import free_port
from tests.waiting import until

DROPPED = ("AIRFLOW", "ENVMAN", "PYTHON", "VIRTUAL_ENV")
SECRET = "a-secret-of-the-tests-that-is-long-enough-for-HS512-and-so-on-and-on-and-on"
API_LIMIT = 120
"""Seconds that an answer of the API server may take: Airflow 3.4 prepares the tasks' part of the API when it is
first asked, and answers nobody meanwhile; on a busy machine that is half a minute.
"""
PATIENCE = 400.0
"""Seconds after which nothing comes any more, on a machine that does much else: an import of Airflow may take
half a minute there. Nobody waits so long where it does come.
"""
FERNET = "Zm9yLXRoZS10ZXN0cy1vbmx5LTMyLWJ5dGVzLWxvbmc="


ROWS = """
import json, os, sys
import sqlalchemy
engine = sqlalchemy.create_engine(os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
with engine.connect() as connection:
    print(json.dumps([list(row) for row in connection.execute(sqlalchemy.text(sys.argv[1]))], default=str))
"""


class AirflowDeployment:
    """Components of one Airflow, started one by one and ended together.

    `stock` is the bin folder of the environment that the components run in; `variables` are added to the
    settings that make Airflow quick enough for a test.
    """

    def __init__(
        self, home: Path, stock: Path, bundles: Sequence[Mapping[str, object]], variables: Mapping[str, str]
    ) -> None:
        self.home = home
        self.stock = stock
        self.port = free_port()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._token = ""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(DROPPED)}
        self.environ = (
            kept
            | {
                "AIRFLOW_HOME": str(home),
                "ENVMAN_RUN": str(home / "run"),
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db?timeout=120",  # else 5 s
                "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
                "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
                "AIRFLOW__CORE__FERNET_KEY": FERNET,
                "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{self.port}/execution/",
                "AIRFLOW__API__PORT": str(self.port),
                "AIRFLOW__API__HOST": "127.0.0.1",
                "AIRFLOW__API__WORKERS": "1",
                "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{self.port}",
                "AIRFLOW__API__SECRET_KEY": SECRET,
                "AIRFLOW__API_AUTH__JWT_SECRET": SECRET,
                "AIRFLOW__CORE__PARALLELISM": "3",
                "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "200",
                "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "300",
                "AIRFLOW__CORE__KILLED_TASK_CLEANUP_TIME": "5",  # a minute, on Airflow 3.4: longer than its worker lives
                "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(list(bundles)),
                "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(home / "dag_bundles"),
                "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
                "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
                "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": str(API_LIMIT),
                "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
                "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
                **variables,
            }
        )
        home.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> AirflowDeployment:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop_all()

    def run(self, *command: str, timeout: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        """Run a command of the deployment to its end."""
        return subprocess.run(
            command,
            env=self.environ,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def migrate(self) -> None:
        finished = self.run(f"{self.stock}/airflow", "db", "migrate")
        assert finished.returncode == 0, finished.stdout + finished.stderr

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What a query of the deployment's database gives."""
        asked = self.run(f"{self.stock}/python", "-c", ROWS, query)
        assert asked.returncode == 0, asked.stderr
        return [tuple(row) for row in json.loads(asked.stdout)]

    def take_over(self, other: AirflowDeployment) -> None:
        """Begin with a copy of another deployment's home folder, whose configuration names its own place."""
        shutil.copytree(other.home, self.home, dirs_exist_ok=True)
        settings = self.home / "airflow.cfg"
        settings.write_text(settings.read_text().replace(str(other.home), str(self.home)))

    def start(self, name: str, *command: str, **variables: str) -> subprocess.Popen[bytes]:
        """Start a component; its output goes to NAME.out in the home folder."""
        with (self.home / f"{name}.out").open("ab") as out:
            process = subprocess.Popen(
                command,
                env=self.environ | variables,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self._running[name] = process
        return process

    def process(self, name: str) -> subprocess.Popen[bytes]:
        """A component that runs."""
        return self._running[name]

    def start_api_server(self) -> None:
        self.start("api-server", f"{self.stock}/airflow", "api-server")
        self.wait_for("the API server", self.is_healthy)

    def stop(self, name: str, how: int = signal.SIGTERM, patience: float = 30) -> int:
        """End a component and what it has started; returns its exit status."""
        process = self._running.pop(name)
        if process.poll() is None:
            process.send_signal(how)
        try:
            return process.wait(patience)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return process.wait()

    def stop_all(self) -> None:
        for process in self._running.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for name in list(self._running):
            group = self._running[name].pid
            self.stop(name, patience=15)
            with contextlib.suppress(ProcessLookupError):  # a scheduler that is told twice leaves its workers
                os.killpg(group, signal.SIGKILL)
        for server in self.fork_servers():
            os.kill(server["pid"], signal.SIGTERM)

    def fork_servers(self) -> list[dict[str, Any]]:
        """What each running fork server says of itself."""
        return statuses(self.home / "run")

    def output(self, name: str) -> str:
        return (self.home / f"{name}.out").read_text(errors="replace")

    def children(self, words: str) -> list[int]:
        """The processes of this deployment whose command line has these words."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if words in command and (self._is_ours(entry) or self._is_ours(_parent(entry))):
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def forks(self, name: str, words: str) -> list[int]:
        """The children of a component whose title has these words, such as supervisors."""
        pid = self._running[name].pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [int(one) for one in children if words in Path(f"/proc/{one}/cmdline").read_text()]

    def _is_ours(self, process: Path) -> bool:
        """A title may have taken the place of a process's variables: its parent has them, too."""
        return f"AIRFLOW_HOME={self.home}\0".encode() in (process / "environ").read_bytes()

    def workloads(self, what: str) -> list[int]:
        """The processes of workloads, such as `task bundle_a`, forked or started."""
        kind, bundle = what.split()
        return self.children(f"envman: {what}") + self.children(f"run.py child {kind} {bundle}")

    def check_alive(self) -> None:
        for name, process in self._running.items():
            assert process.poll() is None, (
                f"{name} has ended with {process.returncode}:\n{self.output(name)[-4000:]}"
            )

    def wait_for(self, what: str, answer: Callable[[], Any], timeout: float = PATIENCE) -> Any:
        """Ask until the answer is true; fails with the components' output."""

        def answered() -> Any:
            self.check_alive()
            return answer()

        def tails() -> str:
            return "\n".join(f"--- {name}\n{self.output(name)[-3000:]}" for name in self._running)

        return until(answered, lambda: f"there is no sign of {what}\n{tails()}", timeout)

    def is_healthy(self) -> bool:
        """Whether the API server answers."""
        try:
            return bool(self.api("GET", "/api/v2/version", authorized=False))
        except OSError:
            return False

    def api(self, method: str, path: str, body: object = None, authorized: bool = True) -> Any:
        """One call of the REST API; returns the decoded answer, raises HTTPError."""
        if authorized and not self._token:
            self._token = self.api("GET", "/auth/token", authorized=False)["access_token"]
        headers = {"Content-Type": "application/json"} | (
            {"Authorization": f"Bearer {self._token}"} if authorized else {}
        )
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=API_LIMIT) as answer:
            content = answer.read()
        return json.loads(content) if content else {}

    def dag_ids(self) -> set[str]:
        return {dag["dag_id"] for dag in self.api("GET", "/api/v2/dags?limit=500")["dags"]}

    def import_errors(self) -> dict[str, str]:
        listed = self.api("GET", "/api/v2/importErrors?limit=500")["import_errors"]
        return {f"{error['bundle_name']}/{error['filename']}": error["stack_trace"] for error in listed}

    def trigger(self, dag: str, conf: Mapping[str, object] | None = None) -> str:
        """Unpause and trigger a Dag; returns the run's identifier."""
        self._insistently("PATCH", f"/api/v2/dags/{dag}", {"is_paused": False})
        run = self._insistently(
            "POST", f"/api/v2/dags/{dag}/dagRuns", {"logical_date": None, "conf": dict(conf or {})}
        )
        return str(run["dag_run_id"])

    def _insistently(self, method: str, path: str, body: object) -> Any:
        """A call that is made again where SQLite was locked: the API server answers 500 then."""

        def answered() -> Any:
            try:
                return [self.api(method, path, body)]
            except urllib.error.HTTPError as error:
                if error.code != 500:
                    raise
                return []

        return until(answered, f"{method} {path} still answers 500")[0]

    def state(self, dag: str, run: str) -> str:
        return str(self.api("GET", f"/api/v2/dags/{dag}/dagRuns/{run}")["state"])

    def finished(self, dag: str, run: str, timeout: float = PATIENCE) -> str:
        """Wait for a run to end; returns its state."""
        ended = self.wait_for(
            f"the run of {dag}",
            lambda: (state := self.state(dag, run)) in {"success", "failed"} and state,
            timeout,
        )
        return str(ended)

    def tasks(self, dag: str, run: str) -> dict[str, dict[str, Any]]:
        """Task instances by task, mapped ones as `task[0]`."""
        listed = self.api("GET", f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances?limit=500")[
            "task_instances"
        ]
        return {ti["task_id"] + (f"[{ti['map_index']}]" if ti["map_index"] >= 0 else ""): ti for ti in listed}

    def xcom(self, dag: str, run: str, task: str, key: str = "return_value") -> Any:
        path = f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/{task}/xcomEntries/{key}?deserialize=false"
        return self.api("GET", path)["value"]

    def log(self, dag: str, run: str, task: str, attempt: int = 1) -> str:
        """A task's log as the UI shows it; of a mapped one as `task[0]`."""
        task, _, index = task.removesuffix("]").partition("[")
        path = f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/{task}/logs/{attempt}?full_content=true"
        path += f"&map_index={index}" if index else ""
        try:
            return json.dumps(self.api("GET", path))
        except urllib.error.HTTPError as error:
            return f"no log: {error}"


def reached_by_all(*folders: Path, pythons: Sequence[Path] = ()) -> list[str]:
    """The words that start a command where every user reaches these folders and interpreters.

    A home folder and pytest's are closed to others. In a mount namespace of the command's own an open folder
    stands in the place of each closed one, with what is needed in it. What is the command's own in the
    folders keeps its mode. Only root may do this.
    """
    needed = {folder.absolute(): None for folder in folders}
    for python in pythons:  # links on the way to an interpreter are looked at, too
        step = python
        while True:
            needed[step.parent.parent] = None
            if not step.is_symlink():
                break
            step = step.parent / step.readlink()
    lines = ["set -e", "mount -t tmpfs -o mode=0755 none /mnt"]
    stands: dict[Path, list[str]] = {}
    for number, folder in enumerate(needed):
        closed = [above for above in reversed(folder.parents) if not above.stat().st_mode & 0o001]
        if closed and not any(above in needed for above in folder.parents):
            lines += [f"mkdir /mnt/{number}", f"mount --bind '{folder.resolve()}' /mnt/{number}"]
            back = [f"mkdir -p '{folder}'", f"mount --bind /mnt/{number} '{folder}'"]
            stands.setdefault(closed[0], []).extend(back)
    for closed_one, back in stands.items():
        lines += [f"mount -t tmpfs -o mode=0755 none '{closed_one}'", *back]
    return ["unshare", "--mount", "sh", "-c", "\n".join([*lines, f"cd '{folders[0]}'", 'exec "$@"']), "sh"]


def another_root(root: Path, folder: Path, *records: str) -> Path:
    """A root folder with the same generations whose published table has further records."""
    (folder / ".state").mkdir(parents=True)
    for entry in root.iterdir():
        if entry.is_symlink():
            (folder / entry.name).symlink_to(entry.readlink())
    (folder / ".gen").symlink_to(root / ".gen")
    publish(folder, with_records((root / ".state/table").read_text(), *records))
    return folder


def with_records(table: str, *records: str) -> str:
    """A table with further records, each in its place."""
    _, *lines = table.splitlines()
    return with_first_line("\n".join([*sorted([*lines, *records]), ""]))


def publish(root: Path, table: str) -> None:
    """Put a table into the place of the published one, as `envman publish` does: whole."""
    new = root / ".state/table.new"
    new.write_text(table)
    new.replace(root / ".state/table")


def _parent(process: Path) -> Path:
    number = (process / "stat").read_text().rpartition(")")[2].split()[1]
    return process.parent / number
