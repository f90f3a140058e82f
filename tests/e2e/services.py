"""A real PostgreSQL and a real Redis on loopback, of this run alone."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.ports import free_port
from tests.waiting import until

DEBIAN = Path("/usr/lib/postgresql")


def _program(name: str) -> str:
    """A server's program: on PATH, or where Debian puts PostgreSQL's."""
    found = sorted(DEBIAN.glob(f"*/bin/{name}"))
    program = str(found[-1]) if found else shutil.which(name)
    assert program, f"{name} is not installed; apt-get install postgresql redis-server"
    return program


def _unprivileged() -> tuple[int, int] | None:
    """PostgreSQL does not run as root."""
    if os.getuid() != 0:
        return None
    entry = pwd.getpwnam("postgres")
    return entry.pw_uid, entry.pw_gid


@dataclass(frozen=True)
class Postgres:
    """A running server, to which everybody on this machine may connect as `airflow`."""

    port: int

    def create(self, name: str, template: str) -> None:
        """Make the database `name` as a copy of another, to which nobody is connected."""
        command = [_program("createdb"), "-h", "127.0.0.1", "-p", str(self.port), "-U", "airflow"]
        subprocess.run([*command, "-T", template, name], check=True, capture_output=True)

    def settings(self, name: str) -> dict[str, str]:
        """Airflow's settings for the database `name`."""
        place = f"airflow@127.0.0.1:{self.port}/{name}"
        return {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{place}",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": f"postgresql+asyncpg://{place}",
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+postgresql+psycopg2://{place}",
        }


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A fresh cluster."""
    owner = _unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="envman-pg-", dir="/tmp"))
    who: dict[str, int] = {}
    if owner:
        os.chown(folder, *owner)
        who = {"user": owner[0], "group": owner[1]}
    port = free_port()
    data = folder / "data"
    initdb = [_program("initdb"), "-D", str(data), "-U", "airflow", "-A", "trust", "--no-sync", "-E", "UTF8"]
    subprocess.run(initdb, check=True, capture_output=True, cwd=folder, **who)  # type: ignore[call-overload]
    settings = {
        "port": port,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": folder,
        "fsync": "off",
        "max_connections": 500,
    }
    command = [_program("postgres"), "-D", str(data)]
    command += [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, **who)  # type: ignore[call-overload]
    try:
        ready = [_program("pg_isready"), "-h", "127.0.0.1", "-p", str(port)]
        until(
            lambda: subprocess.run(ready, capture_output=True, check=False).returncode == 0,
            "PostgreSQL does not answer",
        )
        yield Postgres(port)
    finally:
        server.terminate()
        server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def redis() -> Iterator[str]:
    """A Redis without persistence; gives its URL."""
    port = free_port()
    command = [
        _program("redis-server"),
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
    ]
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=folder)
        try:
            ping = ["redis-cli", "-p", str(port), "ping"]
            until(
                lambda: subprocess.run(ping, capture_output=True, check=False).stdout == b"PONG\n",
                "Redis does not answer",
            )
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()
            server.wait(30)
