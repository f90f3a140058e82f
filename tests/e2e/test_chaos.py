"""Everything is killed at random while tasks run; in the end each has ended or says why not, and nothing is left.

ENVMAN_CHAOS_SECONDS makes it longer than in CI, ENVMAN_CHAOS_SEED repeats one. No task is deferred: stock
Airflow fails one whose trigger fires before the scheduler has seen that it was deferred.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from tests.e2e.airflow import AirflowDeployment
from tests.e2e.conftest import LOCAL_BUNDLE, SOURCE, Deploy
from tests.e2e.kinds import envman
from tests.waiting import until

pytestmark = pytest.mark.registry

CHAOS_SECONDS = float(os.environ.get("ENVMAN_CHAOS_SECONDS", "60"))
SEED = int(os.environ.get("ENVMAN_CHAOS_SEED") or time.time())
LETTERS = ("a", "b", "c")
END_LIMIT = 240
"""Seconds within which everything that was triggered has to end, once the killing is over."""

AT_ONCE = 8
SETTINGS = {
    "CORE__PARALLELISM": "6",
    "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "2",
    "DAG_PROCESSOR__PARSING_PROCESSES": "3",
    # How Airflow itself finds out that a process has gone which it counted on, quicker than usual.
    "SCHEDULER__JOB_HEARTBEAT_SEC": "2",
    "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "12",
    "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "3",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    "SCHEDULER__TASK_QUEUED_TIMEOUT": "40",
    "SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "10",
}
COMMANDS = {
    "dag-processor": ("launch", "dag-processor"),
    "scheduler": ("launch", "scheduler"),
}
ENDS = (signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM)


SLOW = """\
import time
from airflow.sdk import DAG
dag = DAG('more_{letter}')
time.sleep(1)  # long enough to be found by the killer
"""

ENDED = ("SIGKILL", "SIGSEGV", "SIGTERM")
"""One is in the log of each task that was ended while its supervisor lived."""

SERVER_ENDED = "The fork server ended, and this workload with it"
LOST = ("Detected a task instance without a heartbeat", "reported that the task instance")


class Chaos:
    """The deployment, who is killed in it, and what was running."""

    def __init__(self, airflow: AirflowDeployment) -> None:
        self.airflow = airflow
        self.random = random.Random(SEED)
        self.dags = random.Random(SEED)  # of another thread
        self.killed: Counter[str] = Counter()
        self.runs: list[tuple[str, str]] = []
        self.baseline: dict[str, int] = {}

    # what there is

    def processes(self) -> dict[int, str]:
        """All processes of the deployment: their folder is its home, whatever became of their variables."""
        found = {}
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and (entry / "cwd").readlink() == self.airflow.home:
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    def servers(self) -> list[dict[str, Any]]:
        """Those that answer; one that has just been killed may break off."""
        for _ in range(20):
            with contextlib.suppress(OSError, ValueError):
                return self.airflow.fork_servers()
        return []

    def victims(self) -> dict[str, list[int]]:
        """Who may be killed, by what it is. A server that is starting counts, though it answers nobody yet."""
        words = self.processes()
        servers = [pid for pid in words if is_server(words[pid])]
        children = [child for pid in servers for child in children_of(pid)]
        return {
            "server": servers,
            "parse": [pid for pid in children if words.get(pid, "").startswith("envman: parse")],
            "task": [pid for pid in children if is_task(words.get(pid, ""))],
            # Stock Airflow: an idle one may hold a lock for all others.
            "worker": [pid for pid in words if is_worker(words[pid]) and "<idle>" not in words[pid]],
        }

    def descriptors(self) -> dict[str, int]:
        """How many each environment's server has open while it has no child: the fewest that are seen."""
        found: dict[str, int] = {}
        end = time.monotonic() + 6

        def looked() -> bool:
            for server in self.servers():
                count = len(list(Path(f"/proc/{server['pid']}/fd").iterdir()))
                if not server["children"] and not children_of(server["pid"]):
                    found[server["environment"]] = min(count, found.get(server["environment"], count))
            return time.monotonic() > end

        until(looked, "the looking has no end")
        return found

    def report(self) -> str:
        """The processes that are there, for whoever reads a failure."""
        lines = []
        for pid, words in self.processes().items():
            with contextlib.suppress(OSError):
                stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                wchan = Path(f"/proc/{pid}/wchan").read_text()
                opened = sorted(str(one.readlink()) for one in Path(f"/proc/{pid}/fd").iterdir())
                lines.append(f"{pid} below {stat[1]}: {stat[0]} in {wchan}: {words}\n    {opened}")
        return "\n".join(lines)

    def unended(self) -> str:
        """The tasks that have not ended, as the API tells them."""
        return "\n".join(
            f"{dag} {run} {name}: {task}"
            for dag, run in self.runs
            for name, task in self.airflow.tasks(dag, run).items()
            if task["state"] not in {"success", "failed"}
        )

    # what happens

    def start(self, component: str) -> None:
        self.airflow.start(component, *envman(*COMMANDS[component]))

    def restart(self, component: str) -> None:
        """Kill a component and start it anew, as a service manager does: with what stock Airflow left behind.

        A LocalExecutor's workers and its log server are forks of the scheduler. They outlive it with its
        database connections, and with the locks of a transaction that it was in: no other scheduler could
        queue a task.
        """
        self.airflow.stop(component, signal.SIGKILL)
        if component == "scheduler":
            for pid in self.forks_of_schedulers():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.start(component)

    def forks_of_schedulers(self) -> list[int]:
        """What stock Airflow leaves when a scheduler is killed."""
        words = self.processes()
        return [pid for pid in words if is_worker(words[pid]) or "serve-logs" in words[pid]]

    def kill_one(self) -> None:
        """Pick somebody and end it."""
        what = self.random.choice(
            ["server"] * 3 + ["task"] * 4 + ["parse"] * 3 + ["worker"] * 3 + ["dag-processor", "scheduler"]
        )
        if what in COMMANDS:
            self.restart(what)
        else:
            found = self.victims()[what]
            if not found:
                return
            how = self.random.choice(ENDS) if what in {"task", "parse"} else signal.SIGKILL
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.random.choice(sorted(found)), how)
        self.killed[what] += 1

    def trigger_some(self) -> None:
        """Keep some runs going; the API server is left alone."""
        open_runs = [run for run in self.runs if self.airflow.state(*run) not in {"success", "failed"}]
        if len(open_runs) < AT_ONCE:
            dag = f"chaos_{self.dags.choice(LETTERS)}"
            try:
                self.runs.append((dag, self.airflow.trigger(dag)))
            except HTTPError as error:  # a parse that was killed is an error of its file until the next one
                if error.code not in {400, 404}:
                    raise

    def rage(self) -> None:
        """Kill at the seed's pace, however long it takes to trigger a run meanwhile."""
        end = time.monotonic() + CHAOS_SECONDS
        with ThreadPoolExecutor(1) as pool:
            killing = pool.submit(self.keep_killing, end)
            while not wait([killing], timeout=0.5).done:
                self.trigger_some()
            killing.result()
        until(self.has_killed_a_server_at_work, "no server that was killed had a child")

    def has_killed_a_server_at_work(self) -> bool:
        """Whom chance kills may have no child just then; so it goes on until one had."""
        if SERVER_ENDED in self.output():
            return True
        self.trigger_some()
        for pid in self.victims()["server"]:
            if any(is_task(self.processes().get(child, "")) for child in children_of(pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                self.killed["server"] += 1
        return False

    def output(self) -> str:
        """What the components have said."""
        return "".join(map(self.airflow.output, COMMANDS))

    def keep_killing(self, end: float) -> None:
        pace = threading.Event()  # nobody sets it
        pace.wait(3)
        while time.monotonic() < end:
            self.kill_one()
            pace.wait(self.random.uniform(0.5, 2))

    def calm(self) -> None:
        """Start what may hold a lock of a killed process anew, a last time, and wait for all to end."""
        self.restart("scheduler")
        end = time.monotonic() + END_LIMIT
        for run in self.runs:
            try:
                self.airflow.finished(*run, timeout=max(1.0, end - time.monotonic()))
            except AssertionError as error:
                raise AssertionError(f"{error}\n{self.unended()}\n{self.report()}") from None


def is_worker(words: str) -> bool:
    return "airflow worker -- LocalExecutor" in words


def is_server(words: str) -> bool:
    return "/run.py fork_server " in words


def is_task(words: str) -> bool:
    """Whether it is a server's child with a task; it is called as its server until it knows what it is."""
    return bool(words) and not is_server(words) and not words.startswith("envman: parse")


def children_of(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


@pytest.fixture(scope="module")
def chaos(deploy: Deploy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chaos]:
    """After the rage, with everything running again."""
    folder = tmp_path_factory.mktemp("bundles")
    bundles: list[dict[str, object]] = []
    for letter in LETTERS:
        bundle = folder / f"bundle_{letter}"
        bundle.mkdir()
        shutil.copy(SOURCE / "hostile/chaos/chaos.py", bundle)
        (bundle / "more.py").write_text(SLOW.format(letter=letter))
        bundles.append({"name": bundle.name, "classpath": LOCAL_BUNDLE, "kwargs": {"path": str(bundle)}})
    airflow = deploy(bundles, **{f"AIRFLOW__{name}": text for name, text in SETTINGS.items()})
    airflow.start_api_server()
    made = Chaos(airflow)
    for component in COMMANDS:
        made.start(component)
    airflow.wait_for("all Dags", lambda: {f"chaos_{letter}" for letter in LETTERS} <= airflow.dag_ids())
    made.baseline = made.descriptors()
    assert set(made.baseline) == {f"env_{letter}" for letter in LETTERS}
    print(f"ENVMAN_CHAOS_SEED={SEED}")
    try:
        made.rage()
        made.calm()
        yield made
    finally:
        print(f"ENVMAN_CHAOS_SEED={SEED} ENVMAN_CHAOS_SECONDS={CHAOS_SECONDS:g}: killed {dict(made.killed)}")
        airflow.stop_all()
        for pid in made.processes():  # after a failure; else there are none
            os.kill(pid, signal.SIGKILL)


def test_it_was_chaos(chaos: Chaos) -> None:
    """Else the other tests would show nothing."""
    assert sum(chaos.killed.values()) > CHAOS_SECONDS / 6
    assert {"server", "task", "worker"} <= set(chaos.killed)
    assert len(chaos.runs) >= AT_ONCE


def test_every_run_ends_in_a_result(chaos: Chaos) -> None:
    states = Counter(chaos.airflow.state(*run) for run in chaos.runs)
    assert set(states) <= {"success", "failed"}
    assert states["success"] > 0


def test_every_failure_says_why(chaos: Chaos) -> None:
    """The task's log does, or the scheduler, for a task whose worker process was killed with its log."""
    said = chaos.airflow.output("scheduler").splitlines()
    lost = [line for line in said if any(word in line for word in LOST)]
    silent = []
    for dag, run in chaos.runs:
        for name, task in chaos.airflow.tasks(dag, run).items():
            assert task["state"] in {"success", "failed"}, (dag, run, task)
            if task["state"] == "failed":
                log = chaos.airflow.log(dag, run, name, task["try_number"])
                if not any(word in log for word in ENDED) and not any(task["id"] in line for line in lost):
                    silent.append((dag, run, name, log[-2000:]))
    assert silent == []


def test_the_output_says_which_servers_ended(chaos: Chaos) -> None:
    """With each server that had a child its component says so; one had, at least."""
    assert SERVER_ENDED in chaos.output()
    assert "defect of envman's" not in chaos.output()


def test_new_runs_are_warm_again(chaos: Chaos) -> None:
    """Once the last pause is over, after which a server that was killed so often is started again."""
    airflow = chaos.airflow
    for letter in LETTERS:
        dag = f"chaos_{letter}"

        def is_warm(dag: str = dag, environment: str = f"env_{letter}") -> bool:
            run = airflow.trigger(dag)
            assert airflow.finished(dag, run) == "success"
            mine = {server["pid"] for server in chaos.servers() if server["environment"] == environment}
            return {airflow.xcom(dag, run, name) for name in ("work", "work__1", "work__2")} <= mine

        airflow.wait_for(f"{dag} to run warm", is_warm, 150)
    assert not airflow.import_errors()


def test_nothing_is_left_when_the_components_have_ended(chaos: Chaos) -> None:
    airflow = chaos.airflow
    for component in COMMANDS:
        airflow.stop(component)
    for pid in chaos.forks_of_schedulers():
        os.kill(pid, signal.SIGKILL)
    servers = {server["pid"] for server in chaos.servers()}
    api_server = airflow._running["api-server"].pid
    until(lambda: not {*chaos.processes()} - servers - {api_server}, chaos.report)
    until(lambda: not any(children_of(pid) for pid in servers), chaos.report)
    assert chaos.descriptors() == chaos.baseline
    airflow.stop_all()
    until(lambda: not chaos.processes(), chaos.report)
