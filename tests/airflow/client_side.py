"""A component as tests are one: its run folder, interpreters and children; Airflow, psutil and structlog are
stand-ins, the servers real.
"""

from __future__ import annotations

import fcntl
import importlib
import json
import os
import socket
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from envman.airflow.bundle_interpreter import BundleInterpreter
from envman.airflow.runtime import Runtime
from tests.stand_in import LIMIT, PYTHON, write_modules

LIBRARIES = {
    "structlog": """
        class Log:
            def __getattr__(self, name): return lambda *words, **values: None
        def get_logger(**_): return Log()
        """,
    "airflow.sdk.log": "",
    "airflow.sdk._shared.secrets_masker.secrets_masker": """
        SECRETS_TO_SKIP_MASKING = set()
        class SecretsMasker: pass
        """,
}
FRESH = tuple(
    f"envman.airflow.{name}"
    for name in (
        *("server_child", "server_client", "pending_child", "child_start", "memory", "own_masks"),
        *("handed_credentials", "server_budget", "server_starts"),
    )
)


def bare_interpreter(folder: Path, modules: Path, **changed: Any) -> BundleInterpreter:
    """An environment's interpreter without an environment."""
    runtime = Runtime(
        root=str(folder),
        environment="env_a",
        generation="first",
        python=PYTHON,
        variables={"PATH": os.environ["PATH"], "PYTHONPATH": str(modules)},
        added={"PYTHONHASHSEED": "7"},
        warm=True,
        preload=(),
        server_idle=0,
        server_memory="",
        user=None,
        limits={},
    )
    held = os.open(folder / "manifest", os.O_RDONLY | os.O_CREAT)
    fcntl.flock(held, fcntl.LOCK_SH)
    return BundleInterpreter(replace(runtime, **changed), held)


class Component:
    """A component: its root and run folder, the modules that stand in, and what it has open."""

    def __init__(self, folder: Path, client: Any, tracker: Any, psutil: Any) -> None:
        self.root = folder / "root"
        self.root.mkdir()
        (self.root / "env_a").symlink_to(".gen/first")
        self.run = folder / "run"
        self.modules = folder / "modules"
        self.client, self.tracker, self.psutil = client, tracker, psutil
        self.interpreters: list[BundleInterpreter] = []
        self.ends: list[socket.socket] = []
        self.children: list[Any] = []

    def interpreter(self, **changed: Any) -> BundleInterpreter:
        self.interpreters.append(bare_interpreter(self.root, self.modules, **changed))
        return self.interpreters[-1]

    def server(self, **changed: Any) -> Any:
        return self.client.ServerClient(self.interpreter(**changed))

    def fork(self, server: Any, entry: str = "parse", code: str | None = None) -> tuple[Any, socket.socket]:
        """A child as the supervisor has it, and the socket of its requests."""
        pairs = [socket.socketpair() for _ in range(4)]
        try:
            child = forked(server, entry, [pair[1].fileno() for pair in pairs])
        finally:
            for pair in pairs:
                pair[1].close()
            for pair in pairs[1:]:
                pair[0].close()
            requests = pairs[0][0]
            self.ends.append(requests)
        requests.settimeout(LIMIT)
        self.children.append(child)
        if code is not None:
            requests.sendall(json.dumps(textwrap.dedent(code)).encode() + b"\n")
        return child, requests

    def break_it(self, before: str = "") -> None:
        """From now on, a server that starts fails, after it has run some code."""
        text = f"{before}raise RuntimeError('no luck')\n"
        write_modules(self.modules, {"airflow.dag_processing.processor": text})

    def mend_it(self) -> None:
        write_modules(self.modules, {"airflow.dag_processing.processor": "mended = True\n"})

    def file(self, server: Any, ending: str) -> Path:
        return self.run / f"{server.key}.{ending}"

    def status(self, server: Any) -> Any:
        """What the server says of itself, once it has done what it was asked for before."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(LIMIT)
            connection.connect(str(self.file(server, "sock")))
            connection.sendall(b'{"ask": "status"}\n')
            return json.loads(connection.makefile().readline())

    def failures(self, server: Any, count: int, seconds_ago: float) -> None:
        path = self.file(server, "failures")
        path.write_text(str(count))
        os.utime(path, (time.time() - seconds_ago,) * 2)


def forget(names: tuple[str, ...]) -> None:
    for name in list(sys.modules):
        if name in names or name.split(".")[0] in {"airflow", *LIBRARIES}:
            del sys.modules[name]
    package = importlib.import_module("envman.airflow")
    for name in names:
        vars(package).pop(name.rpartition(".")[2], None)


def forked(server: Any, entry: str, descriptors: list[int]) -> Any:
    """A child, as a component gets it that waits for the answer."""
    asked = server.ask(entry, "bundle_a", descriptors)
    try:
        return asked.child(LIMIT)
    except Exception:
        asked.close()
        raise


def server_of(child: Any) -> int:
    return int(Path(f"/proc/{child.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[1])


def reap(pid: int) -> int:
    """Wait for a server's end, as whatever has the number 1 would: its exit code."""
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)
