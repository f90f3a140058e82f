"""Asking fork servers: real ones, and sockets behind which something else is."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from envman.servers.figures import Status, Unanswered
from envman.servers.status import ask_all, look_at, understood
from tests.servers.running import running

ANSWER: dict[str, Any] = {
    "version": 2,
    "environment": "env_a",
    "generation": "4f1d5ab06a92",
    "root": "/venv",
    "pid": 12,
    "started": 1000.5,
    "preload": ["numpy"],
    "budget": 0,
    "workloads": 5,
    "last_minute": 2,
    "crashes": 0,
    "idle": 12.5,
    "idle_limit": 600.0,
    "children": [{"pid": 13, "kind": "task", "name": "bundle_a", "started": 1001.5}],
}


@contextmanager
def listener(path: Path, answer: bytes | None, first_read: bool = True) -> Iterator[None]:
    """Somebody who answers, or never does, at a socket."""

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            if first_read:
                connection.recv(100)
            connection.sendall(answer or b"")

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        thread = threading.Thread(target=serve, daemon=True)
        if answer is not None:
            thread.start()
        yield
        if answer is not None:
            thread.join(5)


def test_real_servers_say_what_they_do_and_their_processes_are_found(run_folder: Path, airflow: Path) -> None:
    with (
        running(run_folder, airflow, "env_b", "env_a") as servers,
        servers[0].child("task", "bundle_b") as pid,
    ):
        first, second = ask_all(run_folder)
        assert isinstance(first, Status)
        assert isinstance(second, Status)
        assert (first.environment, first.preload, first.children) == ("env_a", ("json",), ())
        assert (second.environment, second.workloads, second.last_minute) == ("env_b", 1, 1)
        assert [(child.pid, child.kind, child.name) for child in second.children] == [
            (pid, "task", "bundle_b")
        ]
        assert abs(second.children[0].started - time.time()) < 60
        looked = look_at([first.pid, second.pid])
        assert looked.parents[pid] == second.pid == servers[0].pid
        assert set(looked.usage) == {first.pid, second.pid, pid}
        assert looked.usage[pid].rss > 1_000_000
        together = looked.tree(second.pid)
        if os.getuid() == 0:
            assert together.pss is not None
            assert together.pss < together.rss
    own = os.getpid()  # the servers may have used less than a tick of a processor; this process has not
    assert look_at([own]).tree(own).processor > 0


def test_a_socket_that_was_left_behind_is_no_server(run_folder: Path, airflow: Path) -> None:
    with running(run_folder, airflow, "env_a") as (server,):
        server.end()
        assert server.path.exists()
        assert ask_all(run_folder) == []


def test_one_that_is_busy_does_not_keep_the_others_from_being_shown(run_folder: Path) -> None:
    good = json.dumps(ANSWER).encode() + b"\n"
    with listener(run_folder / "busy.sock", None), listener(run_folder / "good.sock", good):
        started = time.monotonic()
        answers = ask_all(run_folder, 0.5)
        assert time.monotonic() - started < 60
    unanswered, status = answers
    assert isinstance(status, Status)
    assert unanswered == Unanswered(str(run_folder / "busy.sock"), "does not answer")


@pytest.mark.parametrize("first_read", [True, False])
def test_one_that_refuses_is_shown_with_its_reason(run_folder: Path, first_read: bool) -> None:
    with listener(run_folder / "a.sock", b'{"refused": "the user 7 is not\\u001b the one"}\n', first_read):
        assert ask_all(run_folder) == [
            Unanswered(str(run_folder / "a.sock"), "refuses: the user 7 is not? the one")
        ]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"no json\n", "does not understand"),
        (b"[]\n", "does not understand"),
        (b"{}\n", "does not understand"),
        (json.dumps({**ANSWER, "children": [3]}).encode() + b"\n", "does not understand"),
        (json.dumps({**ANSWER, "idle": float("nan")}).encode() + b"\n", "does not understand"),
        (json.dumps({**ANSWER, "version": 3}).encode() + b"\n", "speaks version 3"),
    ],
)
def test_what_is_no_status_is_said_to_be_none(answer: bytes, why: str) -> None:
    found = understood("/run/a.sock", answer)
    assert isinstance(found, Unanswered)
    assert why in found.why


def test_one_that_hangs_up_says_so_and_what_is_no_socket_is_passed_over(run_folder: Path) -> None:
    (run_folder / "a.log").write_text("ended: idle\n")
    with listener(run_folder / "b.sock", b'{"version": 1'):
        assert ask_all(run_folder) == [Unanswered(str(run_folder / "b.sock"), "hung up")]
