"""Ports are given to one test process only."""

from __future__ import annotations

import random
import socket
import subprocess
import sys

import pytest

from tests import ports


def test_no_port_is_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    first = ports.free_port()
    monkeypatch.setattr(random, "sample", lambda *_: [first, first + 1, first + 2])
    assert ports.free_port() != first
    code = f"from tests import ports; print(ports._mark({first}))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"


def test_a_port_that_somebody_listens_on_is_not_given() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not ports._is_unused(server.getsockname()[1])
