"""Whatever plays a fork server is believed nothing: what it answers, and which process it names.

Here it is this process that listens where an environment's server would.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from envman.door.server_answer import MOST_PROCESSES
from tests.airflow.client_side import Component
from tests.stand_in import LIMIT, PYTHON, Watched
from tests.waiting import until

NONSENSE = [
    *(b"\n", b"no JSON\n", b"5\n", b"null\n", b"[]\n", b"{}\n", b"\xff\n", b"[" * 2000 + b"\n", b"NaN\n"),
    *(b'{"pid": "5"}\n', b'{"pid": null}\n', b'{"pid": true}\n', b'{"pid": 1.5}\n', b'{"pid": []}\n'),
    *(b'{"pid": 0}\n', b'{"pid": 1}\n', b'{"pid": -1}\n', b'{"pid": 99999999999}\n'),
    *(b'{"pid": 5, "status": 0}\n', b'{"refused": 5}\n', b'{"pid": ' + str(MOST_PROCESSES).encode() + b"}\n"),
]


@contextmanager
def playing(component: Component, server: Any, *answers: bytes) -> Iterator[list[socket.socket]]:
    """Listen in a server's place, and answer each request with one of these, and the last one ever after."""
    taken: list[socket.socket] = []
    component.run.mkdir(exist_ok=True, mode=0o700)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(component.file(server, "sock")))
    listener.listen()

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            taken.append(connection)
            connection.recv(65536)
            with contextlib.suppress(BrokenPipeError):  # it was longer than anybody reads
                connection.sendall(answers[min(len(taken), len(answers)) - 1])

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield taken
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        for one in (listener, *taken):
            one.close()


@pytest.fixture
def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


@pytest.mark.parametrize("answer", NONSENSE)
def test_nonsense_is_an_error_and_no_more(component: Component, answer: bytes, descriptors: int) -> None:
    server = component.server()
    with (
        playing(component, server, answer),
        pytest.raises(component.client.ServerError, match="not to be trusted"),
    ):
        component.fork(server)
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 3  # noqa: PTH208  # the generation, the requests


@pytest.mark.parametrize("answer", [b"x" * 1_000_000, b'{"status": 0}\n'])
def test_an_answer_without_an_end_or_a_child_is_none(component: Component, answer: bytes) -> None:
    server = component.server()
    with (
        playing(component, server, answer),
        pytest.raises(component.client.ServerError, match="ended as it was started"),
    ):
        component.fork(server)


@pytest.fixture
def foreign() -> Iterator[Watched]:
    """A process that is not this one's child: its own parent is."""
    code = "import subprocess, sys; child = subprocess.Popen(['sleep', '1000']); print(child.pid, flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [PYTHON, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        victim = Watched(int(parent.stdout.readline()))
        yield victim
        os.kill(victim.pid, signal.SIGKILL)
        victim.close()
        parent.kill()


def test_a_process_that_is_not_the_servers_child_gets_no_signal(
    component: Component, foreign: Watched
) -> None:
    server = component.server()
    with playing(component, server, json.dumps({"pid": foreign.pid}).encode() + b"\n"):
        for _ in range(3):
            with pytest.raises(
                component.client.ServerError, match=f"names a process {foreign.pid} that is not its child"
            ):
                component.fork(server)
    assert not foreign.has_ended(0)


def test_a_process_that_has_gone_is_named_in_vain(component: Component) -> None:
    with subprocess.Popen(["true"]) as gone:
        pass
    server = component.server()
    with (
        playing(component, server, json.dumps({"pid": gone.pid}).encode() + b"\n"),
        pytest.raises(component.client.ServerError, match="that is not there"),
    ):
        component.fork(server)


def test_another_users_answer_is_refused(component: Component, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(component.client.os, "geteuid", lambda: 4321)
    server = component.server()
    with (
        playing(component, server, json.dumps({"pid": os.getpid()}).encode() + b"\n"),
        pytest.raises(component.client.ServerError, match=r"the user \d+ answers, not 4321"),
    ):
        component.fork(server)


@pytest.mark.parametrize(
    "status", [b"no JSON\n", b'{"status": "0"}\n', b'{"status": 5000}\n', b'{"pid": 5}\n', b"[]\n"]
)
def test_a_status_that_is_none_ends_the_child(component: Component, status: bytes) -> None:
    server = component.server()
    with subprocess.Popen(["sleep", "1000"]) as own:
        with playing(component, server, json.dumps({"pid": own.pid}).encode() + b"\n") as taken:
            child, _ = component.fork(server)
            taken[0].sendall(status)
            assert child.wait(LIMIT) == -signal.SIGKILL
            assert child.lost
        assert own.wait(LIMIT) == -signal.SIGKILL


def test_a_server_that_never_leaves_is_not_waited_for(
    component: Component, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a package's `.pth` file can have it, which runs before anything of envman's does."""
    begun: Any = sys.modules["envman.airflow.begun"]
    monkeypatch.setattr(begun, "BEGIN_LIMIT", 0.0)
    (component.modules / "sitecustomize.py").write_text("import time\ntime.sleep(1000)\n")
    server = component.server()
    asked = server.ask("parse", "bundle_a", [0, 1, 2, 2], 0.2)
    with pytest.raises(component.client.ServerError, match="gives no answer"):
        asked.child(LIMIT)
    asked.close()
    (stuck,) = begun._begun
    watched = Watched(stuck)
    begun.look_after()
    assert watched.has_ended()
    watched.close()
    while begun._begun:
        begun.look_after()


IMPOSTOR = """
import json, os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1] + ".new")
listener.listen()
os.rename(sys.argv[1] + ".new", sys.argv[1])
while True:
    connection, _ = listener.accept()
    connection.recv(65536)
    child = os.fork() or os.execvp("sleep", ["sleep", "1000"])
    connection.sendall(json.dumps({"pid": child}).encode() + b"\\n")
"""


def test_a_workload_can_not_play_another_environments_server(component: Component) -> None:
    """With one user for all it can put a socket there; below a fork server it is a workload all the same."""
    own, other = component.server(), component.server(environment="env_b", generation="second")
    place = component.file(other, "sock")
    code = f"""
    import subprocess, sys
    playing = subprocess.Popen([sys.executable, "-c", {IMPOSTOR!r}, {str(place)!r}])
    tell(playing.pid)
    heard()
    """
    attacker, requests = component.fork(own, "task", code)
    assert json.loads(requests.recv(4096)) > 0
    until(place.exists, "the impostor does not listen")
    with pytest.raises(
        component.client.ServerError, match=r"is not to be trusted: .* it is a workload itself"
    ):
        component.fork(other)
    attacker.send_signal(signal.SIGKILL)
