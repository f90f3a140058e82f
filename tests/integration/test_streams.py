"""Standard streams that are closed or can't be written: each command ends as programs do, without a traceback."""

from __future__ import annotations

import subprocess

import pytest

from tests.conftest import Deployment, Result

STREAMS = ("<&-", ">&-", "2>&-", "2>/dev/full", "<&- >&- 2>&-")


def redirected(deployment: Deployment, streams: str, *arguments: str) -> Result:
    """What a run gives whose streams a shell has closed or led elsewhere."""
    finished = subprocess.run(
        ["sh", "-c", f'"$@" {streams}', "sh", *deployment.command(*arguments)],
        cwd=deployment.folder,
        env=deployment.environment,
        text=True,
        capture_output=True,
        check=False,
        timeout=120,
    )
    return Result(finished.returncode, finished.stdout, finished.stderr)


def test_exec_starts_its_command_whatever_the_streams_are(two_teams: Deployment) -> None:
    ran = two_teams.folder / "ran"
    for streams in (*STREAMS, ">/dev/full"):
        script = ("sh", "-c", f"echo $0 > {ran}; exit 7", streams)
        result = redirected(two_teams, streams, "exec", "--explain", "--bundle", "bundle_a", "--", *script)
        assert result.exit_code == 7, result
        assert ran.read_text() == f"{streams}\n"
        ran.unlink()
        assert "Traceback" not in result.stderr


def test_what_exec_starts_gets_no_file_of_envmans_as_a_stream(two_teams: Deployment) -> None:
    show = ("sh", "-c", "readlink /proc/self/fd/0 /proc/self/fd/2")
    result = redirected(two_teams, "<&- 2>&-", "exec", "--bundle", "bundle_a", "--", *show)
    assert result.stdout == "/dev/null\n/dev/null\n"


@pytest.mark.parametrize(
    "command", ["--help", "--version", "schema project", "list", "list --json", "verify --json", "build"]
)
def test_a_command_does_its_work_whatever_the_streams_are(two_teams: Deployment, command: str) -> None:
    for streams in STREAMS:
        result = redirected(two_teams, streams, *command.split())
        assert result.exit_code == 0, (streams, result)
        assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "command",
    [
        "--help",
        "--version",
        "schema project",
        "list",
        "list --json",
        "verify",
        "verify --json",
        "exec --help",
    ],
)
def test_what_can_not_be_said_is_an_error(two_teams: Deployment, command: str) -> None:
    result = redirected(two_teams, ">/dev/full", *command.split())
    assert result.exit_code == (125 if command.startswith("exec") else 1)
    assert "standard output: No space left on device" in result.stderr
    assert "Traceback" not in result.stderr
    assert redirected(two_teams, ">/dev/full 2>/dev/full", *command.split()).exit_code == result.exit_code
