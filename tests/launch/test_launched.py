"""The contract of `envman launch` as a process: the same process, in the environment of its bundles."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from envman.errors import ExitCode
from envman.resolver.table import with_first_line
from tests.conftest import Deployment, Result

DEFAULT_QUEUE = "AIRFLOW__OPERATORS__DEFAULT_QUEUE"


def launched(teams: Deployment, *arguments: str, **variables: str) -> dict[str, Any]:
    """What the stand-in for Airflow tells of its start."""
    told: dict[str, Any] = teams.ok("launch", *arguments, variables=variables).json
    return told


def refused(teams: Deployment, *arguments: str, **variables: str) -> str:
    result = teams.run("launch", *arguments, variables=variables)
    assert result.exit_code == ExitCode.LAUNCH
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return result.stderr


def generation(teams: Deployment, environment: str) -> str:
    return str(teams.root / ".gen" / teams.current(environment))


def test_a_bundles_dag_processor_replaces_the_process(airflow_teams: Deployment) -> None:
    process = airflow_teams.start("launch", "dag-processor", "--bundle", "bundle_a", "--", "--num-runs", "1")
    stdout, stderr = process.communicate(timeout=300)
    told = json.loads(stdout)
    assert (process.returncode, stderr) == (0, "")
    assert told["pid"] == process.pid
    assert told["prefix"] == generation(airflow_teams, "env_a")
    assert told["words"] == ["dag-processor", "--bundle-name", "bundle_a", "--num-runs", "1"]
    assert told["variables"][DEFAULT_QUEUE] == "etl"
    assert told["variables"]["ENVMAN_ROOT"] == str(airflow_teams.root)


def test_a_teams_component_runs_in_the_teams_environment(airflow_teams: Deployment) -> None:
    told = launched(airflow_teams, "dag-processor", "--team", "team_b", SECRET_X="1", KEPT="1")
    assert told["prefix"] == generation(airflow_teams, "env_b")
    assert told["words"] == ["dag-processor", "--bundle-name", "bundle_b"]
    assert told["variables"][DEFAULT_QUEUE] == "etl_b"
    assert "KEPT" in told["variables"]
    assert "SECRET_X" not in told["variables"]


def test_a_worker_and_a_triggerer_get_their_queues(airflow_teams: Deployment) -> None:
    told = launched(airflow_teams, "worker", "--bundle=bundle_a", "--", "--concurrency", "2")
    assert told["words"] == ["celery", "worker", "--queues", "etl", "--concurrency", "2"]
    told = launched(airflow_teams, "triggerer", "--team", "team_b", AIRFLOW__TRIGGERER__QUEUES_ENABLED="True")
    assert told["words"] == ["triggerer", "--queues", "etl_b"]
    assert told["prefix"] == generation(airflow_teams, "env_b")


def test_what_can_not_be_kept_apart_is_refused(airflow_teams: Deployment) -> None:
    assert "several environments" in refused(
        airflow_teams, "dag-processor", "--bundle", "bundle_a", "--bundle", "bundle_b"
    )
    assert "several queues" in refused(
        airflow_teams, "dag-processor", "--bundle", "bundle_a", "--bundle", "bundle_a2"
    )
    assert "everybody's tasks" in refused(airflow_teams, "worker", "--bundle", "bundle_a2")
    assert "everybody's triggers" in refused(airflow_teams, "triggerer", "--bundle", "bundle_a")


def test_an_unknown_name_and_a_wrong_word_are_refused(airflow_teams: Deployment) -> None:
    said = refused(airflow_teams, "dag-processor", "--bundle", "bundel_a")
    assert said.startswith("envman launch: bundle 'bundel_a': ")
    assert "Did you mean 'bundle_a'?" in said
    assert "Did you mean 'team_b'?" in refused(airflow_teams, "worker", "--team", "team_c")
    assert "is neither an option nor a component" in refused(airflow_teams, "dag-procesor")
    assert "env_x" in refused(airflow_teams, "worker", "--environment", "env_x")
    assert "no environments are published" in refused(airflow_teams, "worker", "--root", "/gone")


def test_a_switch_that_can_not_be_read_is_told_with_its_file(
    airflow_teams: Deployment, tmp_path: Path
) -> None:
    (tmp_path / "airflow.cfg").write_text("[core\nmulti_team = True\n")
    said = refused(airflow_teams, "worker", "--team", "team_b", AIRFLOW_HOME=str(tmp_path))
    assert f"{tmp_path}/airflow.cfg" in said


def test_the_root_may_be_named(airflow_teams: Deployment, tmp_path: Path) -> None:
    elsewhere = Deployment(tmp_path, dict(airflow_teams.environment))
    relative = os.path.relpath(airflow_teams.root, tmp_path)
    told = launched(elsewhere, "dag-processor", "--root", relative, "--bundle", "bundle_a")
    assert told["variables"]["ENVMAN_ROOT"] == str(airflow_teams.root)


@pytest.mark.parametrize("words", [["worker"], ["dag-processor"], ["triggerer"], ["scheduler"]])
def test_the_shared_component_starts_in_the_named_environment(
    airflow_teams: Deployment, words: list[str]
) -> None:
    """The stand-in is no Airflow, and that is what the component says, in that interpreter."""
    python = f"{generation(airflow_teams, 'env_a')}/bin/python"
    said = refused(airflow_teams, "--environment", "env_a", *words)
    assert f"there is no Airflow in {python}" in said
    assert f"there is no Airflow in {python}" in refused(airflow_teams, "--python", python, *words)
    path = f"{airflow_teams.root}/env_b/bin:/usr/bin:/bin"
    assert f"there is no Airflow in {generation(airflow_teams, 'env_b')}/bin/python" in refused(
        airflow_teams, *words, PATH=path
    )


def test_an_airflow_environment_of_envman_toml_comes_before_the_path(
    airflow_teams: Deployment, tmp_path: Path
) -> None:
    root = tmp_path / "venv"
    shutil.copytree(airflow_teams.root / ".state", root / ".state")
    (root / ".gen").symlink_to(airflow_teams.root / ".gen")
    (root / "env_b").symlink_to((airflow_teams.root / "env_b").readlink())
    table = root / ".state/table"
    _, *records = table.read_text().splitlines(keepends=True)
    table.write_text(with_first_line("".join(sorted([*records, "components\t-\tenv_b\n"]))))
    path = f"{airflow_teams.root}/env_a/bin:/bin"
    said = refused(airflow_teams, "worker", "--root", str(root), PATH=path)
    assert f"there is no Airflow in {root}/.gen/{airflow_teams.current('env_b')}/bin/python" in said


def test_the_shared_component_needs_an_environment(airflow_teams: Deployment) -> None:
    assert "not known" in refused(airflow_teams, "worker", PATH="/usr/bin:/bin")


def exit_of(teams: Deployment, *arguments: str) -> Result:
    return teams.run("launch", *arguments)


def test_what_can_not_be_run_is_126_or_127_as_in_a_shell(airflow_teams: Deployment, tmp_path: Path) -> None:
    plain = tmp_path / "python"
    plain.write_text("")
    missing = exit_of(airflow_teams, "worker", "--python", "/no/such/python")
    assert missing.exit_code == ExitCode.NOT_FOUND
    assert missing.stderr == "envman launch: /no/such/python: No such file or directory\n"
    denied = exit_of(airflow_teams, "worker", "--python", str(plain))
    assert denied.exit_code == ExitCode.NOT_EXECUTABLE
    assert "Permission denied" in denied.stderr


def test_an_environment_without_airflow_is_127(two_teams: Deployment) -> None:
    result = exit_of(two_teams, "dag-processor", "--bundle", "bundle_a")
    assert result.exit_code == ExitCode.NOT_FOUND
    assert result.stderr.startswith("envman launch: 'airflow': command not found in the environment 'env_a'")
