"""Credentials of `envman exec`, and of components and pods of one's own: read by who starts them, kept while they live."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from envman.errors import ExitCode
from envman.resolver.credential import COMMAND, FILE, Credential
from envman.resolver.table import render_table
from tests.conftest import Deployment
from tests.e2e.airflow import another_root
from tests.stand_in import Watched

SECRET = "s3cret-of-the-tests"
READ = """
import os, subprocess, sys
path = os.environ["KEY_FILE"]
print(os.environ["TOKEN"], open(path).read(), subprocess.check_output(["cat", path], text=True), path, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def root(airflow_teams: Deployment, tmp_path: Path) -> Path:
    """env_a has a token of a command, and a key in a file."""
    command = tmp_path / "command"
    command.write_text(f"#!/bin/sh\necho {SECRET}\n")
    command.chmod(0o755)
    (tmp_path / "key").write_text("the key")
    credentials = (
        Credential("token", COMMAND, (str(command),), "TOKEN", False),
        Credential("key", FILE, (str(tmp_path / "key"),), "KEY_FILE", True),
    )
    record = ("credentials", "env_a", *(one.text() for one in credentials))
    line = render_table({}, {}, {}, None, [record]).splitlines()[1]
    return another_root(airflow_teams.root, tmp_path / "root", line)


def test_a_command_has_them_for_as_long_as_it_lives(airflow_teams: Deployment, root: Path) -> None:
    words = ("--root", str(root), "--bundle", "bundle_a", "--", "python", "-c", READ)
    process = airflow_teams.start("exec", *words, stdin=-1)
    assert process.stdout
    *found, path = process.stdout.readline().split()
    assert found == [SECRET, "the", "key", "the", "key"]
    keeper = Watched(int(Path(path).parts[2]))
    assert not keeper.has_ended(0)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert keeper.has_ended()
    keeper.close()
    assert not Path(path).exists()


def test_another_environment_has_none_and_reads_none(
    airflow_teams: Deployment, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "key").unlink()
    code = "import os; print(sorted({'TOKEN', 'KEY_FILE'} & {*os.environ}))"
    told = airflow_teams.ok("exec", "--root", str(root), "--team", "team_b", "--", "python", "-c", code)
    assert told.stdout == "[]\n"


def test_a_component_of_ones_own_and_a_pod_have_them(airflow_teams: Deployment, root: Path) -> None:
    words = ("dag-processor", "--bundle", "bundle_a", "--root", str(root))
    assert airflow_teams.ok("launch", *words).json["variables"]["TOKEN"] == SECRET
    workload = json.dumps({"bundle_info": {"name": "bundle_a"}})
    pod = ("python", "-m", "airflow.sdk.execution_time.execute_workload", "--json-string", workload)
    told = airflow_teams.ok("container-entrypoint", *pod, variables={"ENVMAN_ROOT": str(root)})
    assert told.json["variables"]["TOKEN"] == SECRET


@pytest.mark.parametrize("command", [("exec",), ("launch", "dag-processor")])
def test_what_can_not_be_read_starts_nothing(
    airflow_teams: Deployment, root: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    (tmp_path / "key").unlink()
    (tmp_path / "key").mkdir()
    rest = ("--", "python", "-c", "print('started')") if command == ("exec",) else ()
    result = airflow_teams.run(*command, "--root", str(root), "--bundle", "bundle_a", *rest)
    assert (result.exit_code, result.stdout) == (ExitCode.LAUNCH, "")
    what = f"environment 'env_a': credential 'key': {tmp_path / 'key'} can't be read: it is no regular file"
    assert result.stderr.startswith(f"envman {command[0]}: {what}")
    assert SECRET not in result.stderr
    assert f"the user {os.geteuid()} may read" in result.stderr
