"""Commands that wait for somebody: a child, a server, a lock, an interpreter. A signal ends each of them.

Whoever is waited for announces itself, and goes on only when it is ended.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from envman.store import layout
from tests import waiting
from tests.conftest import Deployment
from tests.moments import held_locks, private, processes_of, server

NEVER = "10000"


@dataclass
class Blocked:
    """A command that waits; `reached` returns once it does. `lock` is one that the test holds."""

    deployment: Deployment
    command: tuple[str, ...]
    reached: Callable[[subprocess.Popen[str]], object]
    lock: int | None = None


@pytest.fixture
def project(deployment: Deployment) -> Deployment:
    deployment.write("envman.toml", 'root = "venv"\n[bundles]\nbundle_a = { environment = "env_a" }\n')
    deployment.spec("env_a", ["frame>=2"])
    return private(deployment)


@pytest.fixture
def announced(project: Deployment) -> Path:
    path = project.folder.parent / "announced"
    os.mkfifo(path)
    return path


def heard(announced: Path) -> None:
    """Wait until somebody has written to the pipe, and has closed it."""
    descriptor = os.open(announced, os.O_RDONLY | os.O_NONBLOCK)  # nobody may ever come
    try:
        waiting.until(lambda: _read(descriptor), "nobody has announced itself")
        waiting.until(lambda: _read(descriptor) == b"", "the pipe is not closed")
    finally:
        os.close(descriptor)


def _read(descriptor: int) -> bytes | None:
    try:
        return os.read(descriptor, 100)
    except BlockingIOError:  # somebody has opened it, and not written yet
        return None


def checking(project: Deployment, _announced: Path) -> Blocked:
    """A build whose check does not end. A check can write nothing; it is known by its arguments."""
    words = ["sh", "-c", f": {project.folder}/; sleep {NEVER}; :"]
    project.spec("env_a", ["frame>=2"], f"[checks]\ncommands = [{json.dumps(words)}]\n")
    project.ok("lock")
    return Blocked(project, ("build",), lambda _: waiting.until(lambda: checks(project), "no check runs"))


def checks(project: Deployment) -> bool:
    """Whether the check itself runs, and not only what starts it."""
    words = re.compile(rf"[0-9]+ \S*/sh -c : {re.escape(str(project.folder))}/")
    return any(words.match(line) for line in processes_of(project.folder, ()))


DEAF = """\
import signal
def tell(*_):
    with open({path!r}, "w") as stream:
        stream.write("here")
signal.signal(signal.SIGTERM, tell)
tell()
while True:
    signal.pause()
"""


def deaf(project: Deployment, announced: Path) -> Blocked:
    """A command whose child tells of SIGTERM, but does not end by it."""
    project.ok("lock")
    project.ok("build")
    packages = next((project.root / "env_a").glob("lib/*/site-packages"))
    (packages / "sitecustomize.py").write_text(DEAF.format(path=str(announced)))
    return Blocked(project, ("preload", "env_a"), lambda _: heard(announced))


def looking_for_interpreters(project: Deployment, announced: Path) -> Blocked:
    """A build that asks an interpreter which does not answer; virtualenv's discovery has started that."""
    project.ok("lock")
    program = project.write("programs/python3.9", f"#!/bin/sh\necho > {announced}\nexec sleep {NEVER}\n")
    program.chmod(0o755)
    project.environment["PATH"] = f"{program.parent}:{project.environment['PATH']}"
    return Blocked(project, ("build",), lambda _: heard(announced))


def waiting_for_a_lock(project: Deployment, _announced: Path) -> Blocked:
    """A build of what somebody else builds."""
    project.ok("lock")
    project.ok("build")
    generation = project.current("env_a")
    shutil.rmtree(project.root / ".gen" / generation)
    lock = os.open(layout.lock_path(str(project.root), generation), os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return Blocked(project, ("build",), lambda process: until(process, "waiting"), lock)


def until(process: subprocess.Popen[str], words: str) -> None:
    assert process.stderr
    while words not in (line := process.stderr.readline()):
        assert line, "it ended"


STARTS = {
    "check": checking,
    "deaf": deaf,
    "interpreter": looking_for_interpreters,
    "lock": waiting_for_a_lock,
}
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def ends(blocked: Blocked, *signals: int) -> None:
    scope = blocked.deployment.folder.parent
    process = blocked.deployment.start(*blocked.command)
    blocked.reached(process)
    process.send_signal(signals[0])
    for signum in signals[1:]:
        blocked.reached(process)
        process.send_signal(signum)
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 128 + signals[0], stderr
    assert "Interrupted." in stderr
    assert "Traceback" not in stderr
    assert processes_of(scope, {os.getpid()}) == []
    assert list(Path(blocked.deployment.environment["TMPDIR"]).iterdir()) == []
    assert not list(blocked.deployment.root.glob(".gen/*")) or blocked.command[0] != "build"


@pytest.mark.parametrize("signum", SIGNALS)
@pytest.mark.parametrize("start", STARTS)
def test_it_ends(project: Deployment, announced: Path, start: str, signum: signal.Signals) -> None:
    blocked = STARTS[start](project, announced)
    if start == "deaf":  # the second one is for those who can't wait five seconds
        ends(blocked, signum, signal.SIGINT)
    else:
        ends(blocked, signum)
    if blocked.lock is not None:
        os.close(blocked.lock)
    assert list(held_locks(project.folder.parent)) == []


@pytest.mark.parametrize("signum", SIGNALS)
@pytest.mark.parametrize("command", ["lock", "wheelhouse", "export", "audit", "constraints"])
def test_it_ends_while_a_server_does_not_answer(
    project: Deployment, command: str, signum: signal.Signals
) -> None:
    project.ok("lock")
    before = (project.folder / "environments/env_a.lock").read_text()
    with server() as (address, asked):
        words: tuple[str, ...] = (command, "env_a")
        if command == "audit":
            words = ("audit", "--url", address)
        elif command == "constraints":
            project.spec("env_a", ["frame>=2"], f'constraints = ["{address}/constraints.txt"]\n')
            words = ("lock", "env_a")
        else:
            project.write("uv.toml", f'[[index]]\nname = "slow"\nurl = "{address}/simple"\ndefault = true\n')
        words = {"lock": (*words, "--upgrade"), "wheelhouse": (*words, "filled")}.get(command, words)
        ends(Blocked(project, words, asked), signum)
    assert (project.folder / "environments/env_a.lock").read_text() == before
    assert list(held_locks(project.folder.parent)) == []


@pytest.mark.parametrize(
    "command", [("check", "--bundle", "bundle_a", "dags"), ("doctor",), ("preload", "env_a")]
)
def test_it_ends_while_an_environments_interpreter_runs(
    project: Deployment, announced: Path, command: tuple[str, ...]
) -> None:
    project.ok("lock")
    project.ok("build")
    packages = next((project.root / "env_a").glob("lib/*/site-packages"))
    (packages / "sitecustomize.py").write_text(
        f"import time\nwith open({str(announced)!r}, 'w') as stream:\n    stream.write('here')\ntime.sleep({NEVER})\n"
    )
    project.write("dags/first.py", "")
    for signum in SIGNALS:
        ends(Blocked(project, command, lambda _: heard(announced)), signum)


def test_under_nohup_and_in_the_background_it_goes_on(project: Deployment, announced: Path) -> None:
    blocked = checking(project, announced)
    script = "trap '' INT HUP; exec \"$@\""
    process = subprocess.Popen(
        ["/bin/sh", "-c", script, "sh", *project.command(*blocked.command)],
        cwd=project.folder,
        env=project.environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    waiting.until(lambda: checks(project), "no check runs")
    for signum in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):  # the last one is heard, and first
        process.send_signal(signum)
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 128 + signal.SIGTERM, stderr


def test_a_terminal_that_is_closed_ends_it(project: Deployment, announced: Path) -> None:
    blocked = checking(project, announced)
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(project.folder)
        os.execve(project.command()[0], project.command(*blocked.command), project.environment)
    waiting.until(lambda: checks(project), "no check runs")
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGHUP
    assert processes_of(project.folder.parent, {os.getpid()}) == []
    assert list(project.root.glob(".gen/*")) == []


def test_a_pipe_that_nobody_reads_ends_it_quietly(two_teams: Deployment) -> None:
    for words in (("list",), ("list", "--json"), ("schema", "environment"), ("doctor", "--json")):
        reading, writing = os.pipe()
        os.close(reading)
        finished = subprocess.run(
            two_teams.command(*words),
            cwd=two_teams.folder,
            env=two_teams.environment,
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        os.close(writing)
        assert (finished.returncode, finished.stderr) == (1, ""), words


def test_a_file_that_is_not_of_the_root_has_another_code(two_teams: Deployment) -> None:
    """Exit code 8 is for the root folder."""
    result = two_teams.run("export", "env_a", "--output", "/proc/envman/pylock.toml")
    assert result.exit_code == 1
    assert "/proc/envman" in result.stderr
    result = two_teams.run("publish", "--root", "/proc/envman")
    assert result.exit_code == 8
    assert "/proc/envman" in result.stderr
    result = two_teams.run("lock", variables={"TMPDIR": "/proc/envman"})
    assert result.exit_code == 0  # tempfile looks for another folder
