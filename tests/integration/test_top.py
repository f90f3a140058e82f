"""`envman top` as a process, over real fork servers with a stand-in for Airflow."""

from __future__ import annotations

import os
import pty
import select
import signal
import socket
import struct
import subprocess
import tempfile
import termios
import time
from collections.abc import Iterator
from fcntl import ioctl
from pathlib import Path

import pytest

from tests.conftest import Deployment
from tests.servers.running import Running, running, write_airflow

LEAVES_THE_SCREEN = b"\x1b[?1049l"


@pytest.fixture
def run_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="envman-") as folder:
        yield Path(folder)


@pytest.fixture
def servers(run_folder: Path, tmp_path: Path) -> Iterator[list[Running]]:
    with running(run_folder, write_airflow(tmp_path / "airflow"), "env_b", "env_a") as started:
        yield started


def test_the_table_has_a_line_for_each_server_and_a_total(
    deployment: Deployment, run_folder: Path, servers: list[Running]
) -> None:
    with servers[0].child("task", "bundle_b"):
        shown = deployment.ok("top", variables={"ENVMAN_RUN": str(run_folder)})
    header, first, second, total = (line.split() for line in shown.stdout.splitlines())
    assert header[:3] == ["environment", "generation", "pid"]
    assert first[:4] == ["env_a", "4f1d5ab06a92", str(servers[1].pid), "0"]
    assert second[:4] == ["env_b", "4f1d5ab06a92", str(servers[0].pid), "1"]
    assert total[:2] == ["total", "1"]
    assert "T" in first[-1]
    assert first[-1].endswith("+00:00")


def test_json_has_each_child_with_its_memory(
    deployment: Deployment, run_folder: Path, servers: list[Running]
) -> None:
    with servers[0].child("task", "bundle_b") as pid:
        document = deployment.ok("top", "--json", "--run-folder", str(run_folder)).json
    assert document["schema_version"] == 1
    result = document["result"]
    assert [row["environment"] for row in result["servers"]] == ["env_a", "env_b"]
    row = result["servers"][1]
    assert (row["workloads"], row["last_minute"], row["crashes"], row["preload"]) == (1, 1, 0, ["json"])
    assert row["cpu"] >= 0
    (child,) = row["children"]
    assert (child["pid"], child["kind"], child["name"]) == (pid, "task", "bundle_b")
    assert child["rss"] > 1_000_000
    assert row["rss"] > child["rss"]
    assert result["total"]["children"] == 1
    assert result["total"]["rss"] == sum(row["rss"] for row in result["servers"])


def test_no_server_is_a_sentence_and_an_empty_list(deployment: Deployment, run_folder: Path) -> None:
    variables = {"ENVMAN_RUN": str(run_folder)}
    shown = deployment.ok("top", variables=variables)
    assert shown.stdout == f"No fork server runs here: no socket in {run_folder} answers.\n"
    result = deployment.ok("top", "--json", variables=variables).json["result"]
    assert result["servers"] == []
    assert result["total"]["workloads"] == 0


def test_a_folder_that_is_not_there_or_open_to_others_is_an_error(
    deployment: Deployment, run_folder: Path
) -> None:
    assert deployment.run("top", "--run-folder", str(run_folder / "none")).exit_code == 2
    run_folder.chmod(0o755)
    refused = deployment.run("top", variables={"ENVMAN_RUN": str(run_folder)})
    assert refused.exit_code == 7
    assert "mode 0755" in refused.stderr
    assert deployment.run("top", "--run-folder", str(run_folder)).exit_code == 0


def test_a_server_that_says_nothing_has_a_line_that_says_so(
    deployment: Deployment, run_folder: Path, servers: list[Running]
) -> None:
    servers[0].end()
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(str(run_folder / "0a1b.sock"))
        busy.listen()
        shown = deployment.ok("top", "--run-folder", str(run_folder)).stdout.splitlines()
    assert [line.split()[0] for line in shown] == ["environment", "env_a", "?", "total"]
    assert shown[2].endswith("does not answer (0a1b.sock)")


class Terminal:
    """envman at a terminal of its own."""

    def __init__(self, deployment: Deployment, *arguments: str) -> None:
        self.master, self.slave = pty.openpty()
        ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        self.seen = b""
        self.process = subprocess.Popen(
            deployment.command(*arguments),
            cwd=deployment.folder,
            env={**deployment.environment, "TERM": "xterm"},
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            start_new_session=True,
            preexec_fn=lambda: ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509  # Ctrl-C needs it
        )

    def until(self, text: bytes) -> None:
        end = time.monotonic() + 30
        while text not in self.seen:
            assert time.monotonic() < end, self.seen
            self.read(0.1)

    def read(self, seconds: float) -> bool:
        ready = bool(select.select([self.master], [], [], seconds)[0])
        if ready:
            self.seen += os.read(self.master, 65536)
        return ready

    def finished(self, screen: bool = True) -> int:
        end = time.monotonic() + 30
        while self.process.poll() is None:
            assert time.monotonic() < end, self.seen
            self.read(0.1)
        while self.read(0.2):
            pass
        code = self.process.wait()
        assert (LEAVES_THE_SCREEN in self.seen) is screen
        assert termios.tcgetattr(self.slave) == self.before
        os.close(self.master)
        os.close(self.slave)
        return code


@pytest.mark.parametrize(("key", "seconds"), [(b"q", "30"), (b"\x03", "30"), (b"q", "0.5")])
def test_at_a_terminal_it_goes_on_until_somebody_leaves(
    deployment: Deployment, run_folder: Path, servers: list[Running], key: bytes, seconds: str
) -> None:
    terminal = Terminal(deployment, "top", "--interval", seconds, "--run-folder", str(run_folder))
    terminal.until(b"env_b")
    if seconds == "0.5":
        with servers[0].child("task", "bundle_b"):
            terminal.seen = b""
            terminal.until(b"env_b")
    os.write(terminal.master, b"x")  # no key of ours
    os.write(terminal.master, key)
    assert terminal.finished() == 0
    assert b"Traceback" not in terminal.seen


def test_it_ends_by_a_signal_with_the_terminal_as_it_was(deployment: Deployment, run_folder: Path) -> None:
    terminal = Terminal(deployment, "top", "--run-folder", str(run_folder))
    terminal.until(b"No fork server runs here")
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.finished() == 128 + signal.SIGTERM
    assert b"Interrupted." in terminal.seen


def test_once_at_a_terminal_is_one_table(deployment: Deployment, run_folder: Path) -> None:
    terminal = Terminal(deployment, "top", "--once", "--run-folder", str(run_folder))
    terminal.until(b"answers.")
    assert terminal.finished(screen=False) == 0
