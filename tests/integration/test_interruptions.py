"""Ctrl-C, SIGTERM, kill -9, two builders, a full disk: what was published goes on working."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import Deployment, in_python

VERSION = in_python("import frame; print(frame.__version__)")


def works(deployment: Deployment) -> None:
    """What was published is whole and runs."""
    assert deployment.ok("exec", "--bundle", "bundle_a", "--", *VERSION).stdout.startswith("2.2")
    assert deployment.ok("exec", "--bundle", "bundle_b", "--", *VERSION).stdout.startswith("1.5")


def next_version(deployment: Deployment, number: int) -> None:
    """Both environments want generations that aren't there yet, with many files."""
    check = f'[checks]\nimports = ["frame"]\ncommands = [["true", "{number}"]]\n'
    deployment.spec("env_a", ["frame>=2", "heavy"], check)
    deployment.spec("env_b", ["frame<2", "heavy"], check)
    deployment.ok("lock")


def whole(deployment: Deployment) -> None:
    """After a build nothing half-built is left, and every generation has its manifest."""
    for generation in deployment.generations():
        assert (deployment.root / ".gen" / generation / "envman.json").is_file(), generation
    assert not list(deployment.root.glob(".*.new"))


def processes_below(folder: Path) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(folder).encode() in command:
                found.append(command.replace(b"\0", b" ").decode())
    return found


def test_kill_9_at_random_moments(two_teams: Deployment) -> None:
    next_version(two_teams, 0)
    started = time.monotonic()
    two_teams.ok("build")
    duration = time.monotonic() - started
    chance = random.Random(20261122)
    killed = 0
    for number in range(1, 13):
        next_version(two_teams, number)
        process = two_teams.start("build")
        time.sleep(chance.uniform(0.1, duration))
        killed += process.poll() is None
        process.kill()
        process.communicate()
        works(two_teams)
    assert killed >= 6, "the builds ended before they were killed: nothing was tried"
    two_teams.ok("build")
    works(two_teams)
    whole(two_teams)
    two_teams.ok("verify")
    two_teams.ok("gc", "--keep", "1")
    whole(two_teams)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_cleans_up_and_ends_with_the_signals_code(
    two_teams: Deployment, signum: int
) -> None:
    before = two_teams.generations()
    next_version(two_teams, 1)
    two_teams.spec("env_a", ["frame>=2"], '[checks]\ncommands = [["sleep", "30"]]\n')
    two_teams.ok("lock")
    process = two_teams.start("build", "env_a")
    assert process.stderr is not None
    while "checking" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signum)
    started = time.monotonic()
    _, stderr = process.communicate(timeout=60)
    assert time.monotonic() - started < 10
    assert process.returncode == 128 + signum
    assert "Interrupted" in stderr
    assert "Traceback" not in stderr
    assert two_teams.generations() == before
    assert processes_below(two_teams.root) == []
    works(two_teams)


def test_an_interrupted_lock_leaves_the_old_lock(two_teams: Deployment) -> None:
    lock = (two_teams.folder / "environments/env_a.lock").read_text()
    two_teams.write("uv.toml", '[[index]]\nname = "slow"\nurl = "http://127.0.0.1:9/x"\ndefault = true\n')
    two_teams.spec("env_a", ["frame>=2", "tool"])
    process = two_teams.start("lock", "env_a")
    assert process.stderr is not None
    assert "resolving" in process.stderr.readline()
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert (two_teams.folder / "environments/env_a.lock").read_text() == lock
    assert (
        sorted(p.name for p in (two_teams.folder / "environments").iterdir() if p.name.startswith(".")) == []
    )


def test_two_builders_at_once_make_one_generation_each(deployment: Deployment) -> None:
    deployment.write(
        "envman.toml",
        'root = "venv"\n[bundles]\nbundle_a = { environment = "env_a" }\nbundle_b = { environment = "env_b" }\n',
    )
    next_version(deployment, 1)
    builders = [deployment.start("build") for _ in range(4)]
    for builder in builders:
        _, stderr = builder.communicate(timeout=200)
        assert builder.returncode == 0, stderr
    works(deployment)
    whole(deployment)
    assert len(deployment.generations()) == 2
    deployment.ok("verify")
    rows = deployment.ok("history", "env_a", "--json").json["result"]
    assert len(rows) == 1


def test_builds_collections_and_launches_at_once(two_teams: Deployment) -> None:
    """Launches never fail while generations come and go under them."""
    script = (
        "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do "
        f'"$@" exec --bundle bundle_a -- {" ".join(VERSION[:2])} "import frame" || exit 1; done'
    )
    launcher = subprocess.Popen(
        ["sh", "-c", script, "sh", *two_teams.command()],
        cwd=two_teams.folder,
        env=two_teams.environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    for number in range(3):
        next_version(two_teams, number)
        two_teams.ok("build")
        two_teams.ok("gc", "--keep", "0")
    _, stderr = launcher.communicate(timeout=120)
    assert launcher.returncode == 0, stderr


def test_a_full_disk_is_a_clear_error_and_loses_nothing(two_teams: Deployment) -> None:
    """The root stands on a file system of three megabytes, in a mount namespace of the test's own."""
    next_version(two_teams, 1)
    script = """
        set -e
        mount -t tmpfs -o size=3m tmpfs "$1"
        mkdir "$1/.x"; rmdir "$1/.x"
        cp -a "$2/." "$1/"
        shift 2
        "$@" build && exit 99
        code=$?
        "$@" exec --bundle bundle_a -- python -c 'import frame; print("still", frame.__version__)'
        "$@" exec --bundle bundle_b -- python -c 'import frame; print("still", frame.__version__)'
        ls venv/.gen | wc -l
        exit $code
    """
    published = two_teams.folder / "published"
    two_teams.root.rename(published)
    two_teams.root.mkdir()
    finished = subprocess.run(
        [
            "unshare",
            "-rm",
            "sh",
            "-c",
            script,
            "sh",
            str(two_teams.root),
            str(published),
            *two_teams.command(),
        ],
        cwd=two_teams.folder,
        env={**two_teams.environment, "UV_LINK_MODE": "copy"},
        text=True,
        capture_output=True,
        check=False,
        timeout=200,
    )
    assert finished.returncode in {6, 8}, finished.stdout + finished.stderr
    assert "No space left on device" in finished.stderr
    assert "ree space" in finished.stderr
    assert "Traceback" not in finished.stderr
    assert finished.stdout.split() == ["still", "2.2", "still", "1.5", "2"]


def test_a_root_that_can_not_be_written_is_a_clear_error(two_teams: Deployment) -> None:
    two_teams.write("envman.toml", 'root = "/proc/envman"\n')
    result = two_teams.run("build")
    assert result.exit_code in {6, 8}
    assert "/proc/envman" in result.stderr
    assert "Traceback" not in result.stderr
