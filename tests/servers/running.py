"""Real fork servers, with a stand-in for Airflow: their children wait until their component hangs up."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from envman.inside.protocol import FORK_SERVER, LISTEN_DESCRIPTOR, RUN
from tests.stand_in import MODULES, write_modules
from tests.waiting import until

LIMIT = 30.0

SUPERVISOR = """\
import os


def _make_process_nondumpable():
    pass


def _fork_main(requests, stdout, stderr, log_descriptor, target):
    requests.sendall(b"here")
    os._exit(len(requests.recv(1)))
"""


def write_airflow(folder: Path) -> Path:
    """The modules of Airflow that a fork server and its children import."""
    write_modules(folder, {**MODULES, "airflow.sdk.execution_time.supervisor": SUPERVISOR})
    return folder


class Running:
    """A fork server that listens in a folder."""

    def __init__(self, folder: Path, airflow: Path, environment: str) -> None:
        self.path = folder / f"{environment}.sock"
        settings = {
            "root": "/venv",
            "link": f"/venv/{environment}",
            "preload": ["json"],
            "owner": os.getuid(),
            "idle": 600,
            "budget": 0,
        }
        command = [sys.executable, RUN, FORK_SERVER, environment, "4f1d5ab06a92", json.dumps(settings)]
        with socket.socket(socket.AF_UNIX) as listener, Path(os.devnull).open("rb") as nothing:
            listener.bind(str(self.path))
            listener.listen()
            places = [(nothing.fileno(), 0), (listener.fileno(), LISTEN_DESCRIPTOR)]
            pid = os.posix_spawn(
                sys.executable,
                command,
                {"PATH": os.environ["PATH"], "PYTHONPATH": str(airflow)},
                file_actions=[(os.POSIX_SPAWN_DUP2, *place) for place in places],
            )
        os.waitpid(pid, 0)
        self.pid = int(self.ask()["pid"])

    def ask(self) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(LIMIT)
            connection.connect(str(self.path))
            connection.sendall(b'{"ask": "status"}\n')
            with connection.makefile("rb") as stream:
                return dict(json.loads(stream.readline()))

    @contextmanager
    def child(self, kind: str, name: str) -> Iterator[int]:
        """A workload that waits; its process ID."""
        request = {
            "entry": kind,
            "name": name,
            "umask": 0o022,
            "folder": "/",
            "added": [],
            "component": [],
            "credentials": False,
            "shared": [],
        }
        ours, theirs = zip(*(socket.socketpair() for _ in range(4)), strict=True)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(LIMIT)
            connection.connect(str(self.path))
            line = json.dumps(request).encode() + b"\n"
            socket.send_fds(connection, [line], [one.fileno() for one in theirs])
            pid = int(json.loads(connection.recv(4096))["pid"])
            for one in theirs:
                one.close()
            assert ours[0].recv(4) == b"here"
            try:
                yield pid
            finally:
                for one in ours:
                    one.close()
        until(lambda: not self.ask()["children"], f"{name} is still there")

    def end(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        until(self._is_gone, f"{self.pid} is still there")

    def _is_gone(self) -> bool:
        with suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)
        return not Path(f"/proc/{self.pid}").exists()


@contextmanager
def running(folder: Path, airflow: Path, *environments: str) -> Iterator[list[Running]]:
    servers: list[Running] = []
    try:
        for environment in environments:
            servers.append(Running(folder, airflow, environment))
        yield servers
    finally:
        for server in servers:
            server.end()
