"""The components' side of the fork servers: how one is found or started, what becomes of it and its children.

Airflow, psutil and structlog are stand-ins; the servers are real, and so is whoever starts them.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from envman.errors import ResolveError
from envman.inside.protocol import FORK_SERVER, LISTEN_DESCRIPTOR, RUN
from envman.launch.run_folder import run_folder
from tests.airflow.client_side import Component, forked, reap, server_of
from tests.stand_in import (
    LIMIT,
    PYTHON,
    Watched,
    children_of,
    descriptors_of,
)
from tests.waiting import until

# a child, as Airflow's supervisors see it


def test_a_child_is_forked_with_what_the_component_has(
    component: Component, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
    import os, sys
    tell([target, os.getcwd(), os.umask(0), "PYTHONHASHSEED" in os.environ, hash("a word"), sys.argv])
    """
    old = os.umask(0o027)
    monkeypatch.setattr(sys, "argv", ["component.py", "scheduler", "--num-runs", "1"])
    try:
        told = []
        for _ in range(2):
            child, requests = component.fork(component.server(), "task", code)
            assert isinstance(
                child, importlib.import_module("airflow.sdk.execution_time.supervisor").ProcessTracker
            )
            told.append(json.loads(requests.recv(4096)))
            assert child.wait(LIMIT) == 0
    finally:
        os.umask(old)
    alone = [PYTHON, "-c", "print(hash('a word'))"]
    seeded = subprocess.check_output(alone, env={"PYTHONHASHSEED": "7"}, text=True)
    words = [str(Path(PYTHON).with_name("airflow")), "scheduler", "--num-runs", "1"]
    assert told == [["task", str(Path.cwd()), 0o027, False, int(seeded), words]] * 2


@pytest.mark.parametrize("leads", [True, False])
def test_an_interpreter_leads_its_process_group_from_the_start(component: Component, leads: bool) -> None:
    """Airflow signals a task's whole group, and may do so before the task's interpreter has run a line."""
    interpreter = component.interpreter()
    reading, writing = os.pipe()
    try:
        pid = interpreter.spawn(["-c", "input()"], [(reading, 0)], seeded=False, leads=leads)
        assert os.getpgid(pid) == (pid if leads else os.getpgid(0))
    finally:
        os.close(reading)
        os.close(writing)
    reap(pid)


def test_the_end_is_seen_with_the_end_of_all_sockets(
    component: Component, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing would wake the component afterwards: here the server tells it late."""
    child_start: Any = importlib.import_module("envman.airflow.child_start")
    monkeypatch.setattr(child_start, "END_LIMIT", LIMIT)
    child, requests = component.fork(warm := component.server())
    supervisor = child_start.BundleProcess(child)
    supervisor._open_sockets = {requests: "requests"}
    assert supervisor._check_subprocess_exit() is None  # without waiting for it
    server = server_of(child)
    component.status(warm)  # it has let go of the child's sockets by now
    os.kill(server, signal.SIGSTOP)
    requests.sendall(b'"pass"\n')
    assert requests.recv(1) == b""
    supervisor._open_sockets = {}
    threading.Timer(0.05, os.kill, (server, signal.SIGCONT)).start()
    assert supervisor._check_subprocess_exit() == 0


@pytest.mark.parametrize(
    ("code", "status", "name"),
    [
        ("pass", 0, ""),
        ("raise SystemExit(3)", 3, ""),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9, "SIGKILL"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", -11, "SIGSEGV"),
        ("import os; os.kill(os.getpid(), 40)", -40, ""),
    ],
)
def test_the_status_is_as_psutil_gives_it(component: Component, code: str, status: int, name: str) -> None:
    child, _ = component.fork(component.server(), code=code)
    assert child.wait(LIMIT) == status
    assert child.wait(0) == status
    assert getattr(child.wait(None), "name", "") == name
    with pytest.raises(component.psutil.NoSuchProcess):
        child.send_signal(signal.SIGTERM)


def test_a_wait_may_run_out(component: Component) -> None:
    child, _ = component.fork(component.server(), code="import time; time.sleep(1000)")
    for seconds in (0, 0.01, -1):
        with pytest.raises(component.psutil.TimeoutExpired):
            child.wait(seconds)
    child.send_signal(signal.SIGTERM)
    assert child.wait(LIMIT) == -signal.SIGTERM


def test_a_signal_to_a_child_that_has_just_ended_does_no_harm(component: Component) -> None:
    """Nobody has waited for it: its number is not another process's yet."""
    child, requests = component.fork(component.server(), code="pass")
    assert requests.recv(1) == b""
    child.send_signal(signal.SIGTERM)
    assert child.wait(LIMIT) in {0, -signal.SIGTERM}


def test_a_child_that_ends_before_its_component_has_looked_is_served(
    component: Component, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both answers are there at once then."""
    server = component.server()
    send = socket.send_fds

    def send_and_be_slow(connection: socket.socket, *arguments: Any) -> int:
        sent = send(connection, *arguments)
        requests.close()  # the child reads, finds nothing, and ends
        until(lambda: connection.recv(4096, socket.MSG_PEEK).count(b"\n") == 2, "no status comes")
        return sent

    requests, theirs = socket.socketpair()
    monkeypatch.setattr(socket, "send_fds", send_and_be_slow)
    with theirs, Path(os.devnull).open("r+b") as nothing:
        others = [socket.socketpair() for _ in range(2)]
        descriptors = [theirs.fileno(), *(pair[1].fileno() for pair in others), nothing.fileno()]
        child = forked(server, "parse", descriptors)
        for one in (one for pair in others for one in pair):
            one.close()
        theirs.close()
        assert child.wait(LIMIT) in {99, 0}


def test_a_server_that_is_killed_gives_its_childrens_end(component: Component) -> None:
    child, _ = component.fork(component.server(), code="import time; time.sleep(1000)")
    watched = Watched(child.pid)
    server = server_of(child)
    os.kill(server, signal.SIGKILL)
    assert child.wait(LIMIT) == -signal.SIGKILL
    assert child.wait(None).name == "SIGKILL"
    assert child.lost
    assert watched.has_ended()
    watched.close()
    assert reap(server) == -signal.SIGKILL


# a child of a server that is just starting


class Waiting:
    """What a component has meanwhile: a tracker, its ends of the sockets, and what became of the rest."""

    def __init__(self, component: Component, server: Any, **ask: float) -> None:
        pending_child: Any = importlib.import_module("envman.airflow.pending_child")
        self.nobody = pending_child.NO_PROCESS
        self.events: list[str] = []
        self.reasons: list[str] = []
        self.cold: Callable[[list[int]], Any] = lambda _: pytest.fail("it is started cold")
        self.requests, theirs = socket.socketpair()
        held = contextlib.ExitStack()
        held.callback(self.events.append, "let go")
        ours, output = socket.socketpair()
        component.ends.append(ours)
        with theirs, output:
            descriptors = [theirs.fileno(), *[output.fileno()] * 3]
            self.asked = server.ask("parse", "bundle_a", descriptors, **ask)
        self.tracker = pending_child.PendingChild(
            self.asked, self._start, held, lambda: self.events.append("warm")
        )
        component.ends.append(self.requests)
        self.requests.settimeout(LIMIT)

    def _start(self, descriptors: list[int], reason: str) -> Any:
        self.reasons.append(reason)
        return self.cold(descriptors)


def test_a_keyword_that_airflows_class_does_not_have_is_an_error_before_anything_starts(
    component: Component,
) -> None:
    """A newer Airflow's would otherwise be lost on its way to the child, or leave one behind."""
    child_start: Any = importlib.import_module("envman.airflow.child_start")
    asked = []
    start = child_start.Start("task", "bundle_a", asked.append)
    with pytest.raises(TypeError, match="of_a_newer_airflow"):
        child_start.BundleProcess.start(start=start, target=print, use_exec=True, of_a_newer_airflow=1)
    assert asked == []


@pytest.fixture
def slow(component: Component) -> Iterator[Callable[[], int]]:
    """A server that is there, and answers nobody until the function is called, which gives its process ID."""
    child, _ = component.fork(component.server(), code="heard()")
    server = server_of(child)
    os.kill(server, signal.SIGSTOP)

    def go_on() -> int:
        os.kill(server, signal.SIGCONT)
        return server

    yield go_on
    with contextlib.suppress(ProcessLookupError):
        go_on()


def test_nobody_waits_for_a_server_that_starts(component: Component, slow: Callable[[], int]) -> None:
    server = component.server()
    before = descriptors_of(os.getpid())
    waiting = Waiting(component, server)
    with pytest.raises(component.psutil.TimeoutExpired):
        waiting.tracker.wait(0)
    assert waiting.tracker.pid == waiting.nobody
    assert waiting.events == []
    slow()
    waiting.requests.sendall(b'"tell(1)"\n')
    assert waiting.requests.recv(1) == b"1"
    assert waiting.tracker.wait(LIMIT) == 0
    assert waiting.tracker.pid != waiting.nobody
    assert (waiting.events, waiting.reasons) == (["let go", "warm"], [])
    for one in component.ends[-2:]:
        one.close()
    assert descriptors_of(os.getpid()) == before


def test_a_signal_that_ended_it_keeps_its_name(component: Component, slow: Callable[[], int]) -> None:
    """Airflow prints it in the task's log."""
    waiting = Waiting(component, component.server())
    slow()
    waiting.tracker.look(LIMIT)
    waiting.tracker.send_signal(signal.SIGKILL)
    assert waiting.tracker.wait(LIMIT).name == "SIGKILL"


def test_a_child_that_nobody_wants_any_more_is_not_left(
    component: Component, slow: Callable[[], int]
) -> None:
    waiting = Waiting(component, component.server())
    waiting.tracker.send_signal(signal.SIGTERM)
    assert waiting.tracker.wait(0) == -signal.SIGTERM
    assert waiting.events == ["let go"]
    slow()
    assert waiting.requests.recv(1) == b""
    assert component.status(component.server())["workloads"] == 1  # the fixture's


def test_one_that_waits_for_too_long_is_started_cold(component: Component, slow: Callable[[], int]) -> None:
    """With the descriptors that it would have had."""
    waiting = Waiting(component, component.server(), patience=0.1)

    def cold(descriptors: list[int]) -> Any:
        os.write(descriptors[0], b"cold")
        return component.psutil.Process()

    waiting.cold = cold
    waiting.tracker.look(LIMIT)
    assert waiting.requests.recv(10) == b"cold"
    slow()
    assert waiting.requests.recv(10) == b""  # nobody has the other end any more
    assert component.status(component.server())["workloads"] == 1  # the fixture's
    assert waiting.tracker.pid == os.getpid()
    assert "gives no answer within 0 s" in waiting.reasons[0]
    assert waiting.events == ["let go"]


def test_one_that_can_not_be_started_at_all_says_why(component: Component, slow: Callable[[], int]) -> None:
    waiting = Waiting(component, component.server(), patience=0.1)

    def cold(_: list[int]) -> Any:
        raise PermissionError("no luck")

    waiting.cold = cold
    assert waiting.tracker.wait(LIMIT) == 1
    assert waiting.tracker.reason == "no luck"
    slow()
    assert waiting.requests.recv(1) == b""


def test_a_server_that_breaks_while_it_starts(component: Component) -> None:
    """Once it was asked, that is: else whoever starts it is told."""
    asked = f"import select\nselect.select([{LISTEN_DESCRIPTOR}], [], [])\n"
    component.break_it(asked)
    waiting = Waiting(component, component.server())
    waiting.cold = lambda _: component.psutil.Process()
    waiting.tracker.look(LIMIT)
    assert "no luck" in waiting.reasons[0]


def test_a_component_keeps_no_descriptor(component: Component) -> None:
    server = component.server()
    before = None
    for _ in range(20):
        child, requests = component.fork(server, code="pass")
        assert child.wait(LIMIT) == 0
        requests.close()
        before = before or descriptors_of(os.getpid())
        assert descriptors_of(os.getpid()) == before


# which server


def test_the_same_interpreter_has_the_same_server_and_another_another(component: Component) -> None:
    first = component.fork(component.server(), code="heard()")[0]
    again = component.fork(component.server(), code="heard()")[0]
    assert server_of(first) == server_of(again)
    changes: list[dict[str, Any]] = [
        {"generation": "second"},
        {"preload": ("json",)},
        {"variables": {**component.interpreter().runtime.variables, "MORE": "1"}},
    ]
    others = {server_of(component.fork(component.server(**one), code="heard()")[0]) for one in changes}
    assert len(others | {server_of(first)}) == 4


def test_each_thing_that_matters_is_part_of_the_name(component: Component) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"root": "/another"},
        {"environment": "env_b"},
        {"generation": "second"},
        {"variables": {}},
        {"preload": ("json",)},
        {"preload": ("json", "csv")},
        {"user": ("team_a", "")},
        {"limits": {"pids": 5}},
    ]
    keys = [component.server(**one).key for one in changes]
    assert len({*keys}) == len(changes)
    assert component.server().key == keys[0]


START = """
import importlib, os, sys
sys.path[:0] = [sys.argv[1], sys.argv[2]]
from pathlib import Path
from tests.airflow.client_side import bare_interpreter
from envman.airflow import server_client
server = server_client.ServerClient(bare_interpreter(Path(sys.argv[3]), Path(sys.argv[2])))
print("ready", flush=True)
sys.stdin.readline()
server.start()
"""


def test_two_components_that_start_the_same_server_at_once_make_one(component: Component) -> None:
    server = component.server()
    project = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", START, project, str(component.modules), str(component.root)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.communicate("now\n", timeout=LIMIT)
        assert process.returncode == 0
    child, _ = component.fork(server, code="heard()")
    started, own = f"\0{RUN}\0{FORK_SERVER}\0", str(component.root)  # one of an earlier test may be ending
    words = {pid: Path(f"/proc/{pid}/cmdline").read_text() for pid in children_of(os.getpid())}
    mine = {pid for pid, text in words.items() if started in text and own in text}
    assert mine == {server_of(child)}


def test_a_start_waits_for_the_lock_of_another(component: Component, monkeypatch: pytest.MonkeyPatch) -> None:
    server = component.server()
    with component.file(server, "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        thread = threading.Thread(target=server.start)
        tried = threading.Event()
        monkeypatch.setattr(component.client, "LOCK_LIMIT", LIMIT)
        monkeypatch.setattr(component.client.time, "sleep", lambda _: tried.set())
        thread.start()
        assert tried.wait(LIMIT)
        assert not component.file(server, "sock").exists()
    thread.join()
    child, _ = component.fork(server, code="pass")
    assert child.wait(LIMIT) == 0


def test_a_lock_that_somebody_keeps_is_not_waited_for_for_ever(
    component: Component, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = component.server()
    monkeypatch.setattr(component.client, "LOCK_LIMIT", 0.0)
    with component.file(server, "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(
            component.client.ServerError, match=rf"\.lock has been locked for 0 s by process {os.getpid()} \("
        ):
            component.fork(server)
    child, _ = component.fork(server, code="pass")
    assert child.wait(LIMIT) == 0


def test_threads_of_a_component_share_a_server(component: Component) -> None:
    server = component.server()
    found: list[int] = []

    def run() -> None:
        child, _ = component.fork(server, code="heard()")
        found.append(server_of(child))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len({*found}) == 1


# one that ends or fails


def test_a_server_that_has_crashed_is_started_again(component: Component) -> None:
    server = component.server()
    child, _ = component.fork(server, code="heard()")
    os.kill(server_of(child), signal.SIGKILL)
    assert child.wait(LIMIT) == -signal.SIGKILL
    another, _ = component.fork(server, code="pass")
    assert another.wait(LIMIT) == 0
    assert component.file(server, "failures").read_text() == "1"


@pytest.mark.parametrize("why", ["idle", "another generation is published"])
def test_a_server_that_has_ended_by_itself_has_not_failed(
    component: Component, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    monkeypatch.setattr(component.client, "IDLE_LIMIT", 0.05 if why == "idle" else 600.0)
    server = component.server()
    child, _ = component.fork(server, code="heard()")
    process = server_of(child)
    if why != "idle":
        (component.root / "env_a").unlink()
        (component.root / "env_a").symlink_to(".gen/second")
    child.send_signal(signal.SIGTERM)
    child.wait(LIMIT)
    assert reap(process) == 0
    assert component.file(server, "log").read_text().splitlines()[-1] == f"ended: {why}"
    another, _ = component.fork(server, code="pass")
    assert another.wait(LIMIT) == 0
    assert not component.file(server, "failures").exists()


def test_an_environment_may_have_an_idle_time_of_its_own(component: Component) -> None:
    patient, hasty = component.server(environment="env_p"), component.server(server_idle=1)
    for server in (patient, hasty):
        child, _ = component.fork(server, code="pass")
        assert child.wait(LIMIT) == 0
    limits = [component.status(server)["idle_limit"] for server in (patient, hasty)]
    assert limits == [component.client.IDLE_LIMIT, 1]
    until(lambda: hasty.last_words() == "ended: idle", "it goes on")
    assert component.status(patient)["idle"] >= 1


def test_who_connects_as_a_server_ends_is_given_a_new_one(
    component: Component, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits in the queue of the old one, which never looks there again."""
    server = component.server()
    child, _ = component.fork(server, code="heard()")
    process = server_of(child)
    send = socket.send_fds

    def kill_and_send(*arguments: Any) -> int:
        if not killed:
            killed.append(process)
            os.kill(process, signal.SIGSTOP)
            sent = send(*arguments)
            os.kill(process, signal.SIGKILL)
            return sent
        return send(*arguments)

    killed: list[int] = []
    monkeypatch.setattr(socket, "send_fds", kill_and_send)
    another, _ = component.fork(server, code="pass")
    assert another.wait(LIMIT) == 0
    assert killed == [process]
    assert reap(process) == -signal.SIGKILL


def error_of(component: Component, server: Any) -> str:
    with pytest.raises(component.client.ServerError) as caught:
        component.fork(server)
    return str(caught.value)


def test_a_server_that_fails_says_why_and_is_given_a_rest(component: Component) -> None:
    component.break_it()
    server = component.server()
    words = error_of(component, server)
    cause = "preload: airflow.dag_processing.processor can't be imported: RuntimeError: no luck"
    assert f"environment 'env_a': its fork server {cause}" in words.replace(": preload", " preload")
    assert str(component.file(server, "log")) in words
    resting = error_of(component, server)
    assert "failed 2 times and rests for" in resting
    assert cause in resting


def test_the_rest_grows_to_a_minute_and_failures_are_forgotten(component: Component) -> None:
    pauses = [component.client.pause_after(count) for count in range(10)]
    assert pauses == [0, 0, 1, 2, 4, 8, 16, 32, 60, 60]
    assert component.client.pause_after(5000) == 60
    server = component.server()
    component.run.joinpath(f"{server.key}.sock").touch()
    component.failures(server, 6, seconds_ago=5)
    assert "failed 7 times and rests for" in error_of(component, server)
    component.failures(server, 7, seconds_ago=20)
    assert "failed 7 times and rests for 1" in error_of(component, server)
    component.failures(server, 7, seconds_ago=40)  # the rest is over
    child, _ = component.fork(server, code="pass")
    assert child.wait(LIMIT) == 0


def test_an_old_failure_does_not_count(component: Component) -> None:
    server = component.server()
    component.run.joinpath(f"{server.key}.sock").touch()
    component.failures(server, 9, seconds_ago=component.client.FORGOTTEN_AFTER + 1)
    child, _ = component.fork(server, code="pass")
    assert child.wait(LIMIT) == 0
    assert component.file(server, "failures").read_text() == "1"


def test_a_server_that_is_mended_serves_after_its_rest(component: Component) -> None:
    component.break_it()
    server = component.server()
    error_of(component, server)
    error_of(component, server)
    component.mend_it()
    component.failures(server, 2, seconds_ago=2)
    child, _ = component.fork(server, code="pass")
    assert child.wait(LIMIT) == 0


def test_an_interpreter_that_is_not_there_is_a_server_error(component: Component) -> None:
    assert "/gone/python: can't be started: No such file" in error_of(
        component, component.server(python="/gone/python")
    )


def test_a_refusal_is_told(component: Component, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is there before the request is sent."""
    monkeypatch.setattr(component.client, "ANSWER_LIMIT", 5)
    server = component.server()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(component.file(server, "sock")))
        listener.listen()

        def refuse() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b'{"refused": "it is a workload itself"}\n')
            closed.set()

        closed = threading.Event()
        send = socket.send_fds

        def send_late(*arguments: Any) -> int:
            assert closed.wait(LIMIT)
            return send(*arguments)

        monkeypatch.setattr(socket, "send_fds", send_late)
        thread = threading.Thread(target=refuse)
        thread.start()
        words = error_of(component, server)
        thread.join()
    assert "refuses this process: it is a workload itself" in words


def test_a_server_that_does_not_answer_is_not_waited_for(
    component: Component, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(component.client, "ANSWER_LIMIT", 1)
    server = component.server()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(component.file(server, "sock")))
        listener.listen()
        assert "gives no answer within 1 s" in error_of(component, server)


# where it all stands


def test_the_run_folder_is_made_for_this_user_alone(component: Component) -> None:
    server = component.server()
    child, _ = component.fork(server, code="pass")
    assert child.wait(LIMIT) == 0
    assert stat.S_IMODE(component.run.stat().st_mode) == 0o700
    assert stat.S_IMODE(component.file(server, "log").stat().st_mode) == 0o600
    assert all(len(os.fsencode(entry.name)) <= 25 for entry in component.run.iterdir())


def test_a_path_that_is_too_long_for_a_socket_is_a_server_error(
    component: Component, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The workload starts an interpreter of its own then, and is not refused."""
    folder = tmp_path / ("long" * 30)
    monkeypatch.setenv("ENVMAN_RUN", str(folder))
    assert "too long" in error_of(component, component.server())


def test_a_run_folder_that_cant_be_written_is_a_server_error(
    component: Component, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = component.server()
    component.file(server, "lock").mkdir()
    assert "Is a directory" in error_of(component, server)


def make_folder(mode: int, path: Path) -> None:
    path.mkdir()
    path.chmod(mode)


Arrange = Callable[[Path], object]
REFUSED: Mapping[str, tuple[Arrange, str]] = {
    "others may enter": (partial(make_folder, 0o710), "may be entered by others (mode 0710)"),
    "others may read": (partial(make_folder, 0o704), "may be entered by others (mode 0704)"),
    "a link": (lambda path: path.symlink_to(path.parent), "is no folder"),
    "a dangling link": (lambda path: path.symlink_to("gone"), "is no folder"),
    "a file": (lambda path: path.touch(), "is no folder"),
    "no parent": (lambda path: path.parent.rmdir(), "can't be made: No such file or directory"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_run_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    arrange, words = REFUSED[what]
    folder = tmp_path / "parent/run"
    folder.parent.mkdir()
    arrange(folder)
    monkeypatch.setenv("ENVMAN_RUN", str(folder))
    with pytest.raises(ResolveError) as caught:
        run_folder()
    assert f"{folder}: {words}" in str(caught.value)
    assert "ENVMAN_RUN" in str(caught.value)


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_another_users_run_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, 65534)
    monkeypatch.setenv("ENVMAN_RUN", str(folder))
    with pytest.raises(ResolveError, match=r"belongs to another user \(65534\)"):
        run_folder()


def test_where_the_run_folder_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENVMAN_RUN", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert run_folder() == f"{tmp_path}/envman"
    assert run_folder() == f"{tmp_path}/envman"
    monkeypatch.setenv("ENVMAN_RUN", str(tmp_path / "mine"))
    assert run_folder() == f"{tmp_path}/mine"
