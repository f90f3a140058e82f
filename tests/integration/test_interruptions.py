"""kill -9, two builders, a full disk: what was published goes on working."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import interrupter
from tests.conftest import Deployment, Result, in_python
from tests.waiting import until

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


def files_below(folder: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(folder))


def kill_after_lines(process: subprocess.Popen[str], lines: int) -> bool:
    """Kill a build when it has said so many lines; whether it was still at work."""
    assert process.stderr is not None
    for _ in range(lines):
        process.stderr.readline()
    return ended_by_kill(process)


def kill_after_files(process: subprocess.Popen[str], folder: Path, files: int) -> bool:
    """Kill a build when there are so many files in a folder; whether it was still at work."""
    until(lambda: process.poll() is not None or files_below(folder) >= files, "it writes no file")
    return ended_by_kill(process)


def ended_by_kill(process: subprocess.Popen[str]) -> bool:
    process.kill()
    process.communicate()
    return process.returncode == -signal.SIGKILL


def test_kill_9_at_random_moments(two_teams: Deployment) -> None:
    """Moments of a build's progress, however long that takes: a line that it says, a file that it writes."""
    generations = two_teams.root / ".gen"
    next_version(two_teams, 0)
    before = files_below(generations)
    said = two_teams.ok("build").stderr.splitlines()
    written = files_below(generations) - before
    chance = random.Random(20261122)
    killed = 0
    for number in range(1, 13):
        next_version(two_teams, number)
        before = files_below(generations)
        process = two_teams.start("build")
        if number % 2:
            killed += kill_after_lines(process, chance.randrange(len(said)))
        else:
            killed += kill_after_files(process, generations, before + chance.randrange(1, written))
        works(two_teams)
    assert killed >= 6, "the builds ended before they were killed: nothing was tried"
    two_teams.ok("build")
    works(two_teams)
    whole(two_teams)
    two_teams.ok("verify")
    two_teams.ok("gc", "--keep", "1")
    whole(two_teams)


def test_two_builders_at_once_make_one_generation_each(deployment: Deployment) -> None:
    deployment.write(
        "envman.toml",
        'root = "venv"\n[bundles]\nbundle_a = { environment = "env_a" }\nbundle_b = { environment = "env_b" }\n',
    )
    next_version(deployment, 1)
    builders = [deployment.start("build") for _ in range(4)]
    for builder in builders:
        _, stderr = builder.communicate(timeout=300)
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
    _, stderr = launcher.communicate(timeout=300)
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


def interrupted_at(deployment: Deployment, number: int, *command: str) -> tuple[Result, list[str]]:
    """A run that gets SIGTERM at its n-th event, 0 for none; what it gave, and its events."""
    notes = deployment.folder.parent / "notes"
    served = subprocess.run(
        [sys.executable, interrupter.__file__, str(deployment.root), str(notes), *command],
        cwd=deployment.folder,
        env=deployment.environment,
        input=f"{number} SIGTERM\n",
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    out, err, events = (
        Path(f"{notes}.{name}").read_text(encoding="utf-8") for name in ("out", "err", "events")
    )
    return Result(int(served.stdout), out, err), events.splitlines()


def last_rename(events: list[str]) -> int:
    return max(number for number, event in enumerate(events, 1) if event.startswith("os.rename"))


@pytest.mark.parametrize("command", ["rollback env_a", "publish"])
def test_what_is_interrupted_when_it_is_done_is_not_to_be_run_again(
    two_teams: Deployment, command: str
) -> None:
    def prepare(number: int) -> None:
        two_teams.spec("env_a", ["frame>=2"], f'[checks]\ncommands = [["true", "{number}"]]\n')
        two_teams.ok("lock")
        two_teams.ok("build", "env_a")
        (two_teams.root / ".state/table").unlink()

    prepare(1)
    undisturbed, events = interrupted_at(two_teams, 0, *command.split())
    assert undisturbed.exit_code == 0, undisturbed
    prepare(2)
    before = two_teams.current("env_a")
    result, _ = interrupted_at(two_teams, last_rename(events), *command.split())
    assert result.exit_code == 128 + signal.SIGTERM
    assert "when all of it was done" in result.stderr
    assert "run it again" not in result.stderr.replace("no need to run it again", "")
    assert (two_teams.root / ".state/table").exists() or two_teams.current("env_a") != before
