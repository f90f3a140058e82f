from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from envman.errors import ExitCode, ResolveError, UsageError
from envman.launch.container_entrypoint import (
    HELP,
    MODULE,
    bundle_of,
    is_workload,
    main,
    own_environment,
    workload_text,
)
from envman.resolver.table import Table, render_table
from tests.conftest import Deployment

TOKEN = "a-token-that-nobody-else-may-read"
PYTHON = ("python", "-m", MODULE)


def workload(bundle: str = "bundle_a", padding: int = 0) -> str:
    content = {
        "token": TOKEN,
        "ti": {"id": "0", "context": "x" * padding},
        "bundle_info": {"name": bundle, "version": None},
        "type": "ExecuteTask",
    }
    return json.dumps(content)


def started(teams: Deployment, *arguments: str, **variables: str) -> dict[str, Any]:
    """What the stand-in for Airflow's module tells of its start."""
    told: dict[str, Any] = teams.ok("container-entrypoint", *arguments, variables=variables).json
    return told


def refused(teams: Deployment, *arguments: str) -> str:
    """What envman says; nothing was started, and the token is not in it."""
    result = teams.run("container-entrypoint", *arguments)
    assert result.exit_code == ExitCode.LAUNCH
    assert result.stdout == ""
    assert result.stderr.startswith("envman container-entrypoint: ")
    assert TOKEN not in result.stderr
    assert "Traceback" not in result.stderr
    return result.stderr


BUNDLES = {"bundle_a": "env_a", "bundle_b": "env_b", "bundle_s": "env_b"}


@pytest.mark.parametrize(("bundle", "environment"), BUNDLES.items())
def test_a_workload_starts_in_its_bundles_interpreter(
    airflow_teams: Deployment, bundle: str, environment: str
) -> None:
    process = airflow_teams.start("container-entrypoint", *PYTHON, "--json-string", workload(bundle))
    stdout, stderr = process.communicate(timeout=300)
    told = json.loads(stdout)
    assert (process.returncode, stderr) == (0, "")
    assert told["pid"] == process.pid
    assert told["prefix"] == f"{airflow_teams.root}/.gen/{airflow_teams.current(environment)}"
    assert told["words"] == ["--json-string", workload(bundle)]


def test_a_workload_may_stand_in_a_file_of_any_size(airflow_teams: Deployment, tmp_path: Path) -> None:
    file = tmp_path / "workload.json"
    file.write_text(workload("bundle_b", padding=1_000_000))
    told = started(airflow_teams, *PYTHON, "--json-path", str(file))
    assert told["prefix"].endswith(airflow_teams.current("env_b"))
    assert told["words"] == ["--json-path", str(file)]


def test_a_workload_may_be_as_long_as_an_argument_can_be(airflow_teams: Deployment) -> None:
    text = workload(padding=131_071 - len(workload()))
    assert started(airflow_teams, *PYTHON, "--json-string", text)["words"] == ["--json-string", text]


@pytest.mark.parametrize("python", ["python3", "/usr/local/bin/python"])
def test_whichever_python_is_named_it_is_the_bundles(airflow_teams: Deployment, python: str) -> None:
    told = started(airflow_teams, python, "-m", MODULE, "--json-string", workload())
    assert told["prefix"].endswith(airflow_teams.current("env_a"))


def test_the_environments_variables_count_in_the_container(airflow_teams: Deployment) -> None:
    text = workload("bundle_b")
    told = started(airflow_teams, *PYTHON, "--json-string", text, SECRET_X="1", KEPT="1", PYTHONPATH="/x")
    assert "KEPT" in told["variables"]
    assert not {"SECRET_X", "PYTHONPATH"} & told["variables"].keys()


def test_a_pods_workload_gets_no_secret_of_the_components(airflow_teams: Deployment) -> None:
    """The official Helm chart passes these to every pod."""
    secrets = dict.fromkeys(
        [
            "AIRFLOW__API__SECRET_KEY",
            "AIRFLOW__API_AUTH__JWT_SECRET",
            "AIRFLOW__CELERY__BROKER_URL",
            "AIRFLOW__CORE__FERNET_KEY",
            "AIRFLOW__CORE__SQL_ALCHEMY_CONN",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
            "AIRFLOW_CONN_AIRFLOW_DB",
        ],
        "postgresql://airflow:secret@database/airflow",
    )
    secrets |= dict.fromkeys(["AIRFLOW_CONN__TEAM_B___PG", "AIRFLOW_VAR__TEAM_B___X"], "secret of a team")
    kept = {"AIRFLOW__CORE__EXECUTOR": "KubernetesExecutor", "AIRFLOW_CONN_WAREHOUSE": "http://warehouse"}
    told = started(airflow_teams, *PYTHON, "--json-string", workload(), **secrets, **kept)["variables"]
    assert kept.items() <= told.items()
    assert not [name for name, value in told.items() if "secret" in value]
    assert told["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == "sqlite://"


@pytest.mark.parametrize(
    "arguments",
    [
        ["python", "-m", MODULE + "s", "--json-string", workload()],
        ["python", "-m", MODULE],
        ["python", "-m", MODULE, "--json-string"],
        ["python", "-m", MODULE, "--json-string", workload(), "more"],
        ["python", "-I", "-m", MODULE, "--json-string", workload()],
        ["python3.12", "-m", MODULE, "--json-string", workload()],
        ["airflow", "-m", MODULE, "--json-string", workload()],
        ["--", "python", "-m", MODULE, "--json-string", workload()],
        ["sh", "-c", f"exec python -m {MODULE} --json-path /tmp/w"],
        ["python", f"-m{MODULE}", "--json-string", workload()],
    ],
)
def test_a_workload_that_is_run_in_another_way_is_refused(arguments: list[str]) -> None:
    """It would run in the environment of other commands, which need not be its bundle's."""
    assert is_workload(arguments)
    with pytest.raises(UsageError, match="a workload's command is: python -m") as caught:
        workload_text(arguments)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    "arguments", [["bash"], ["python"], ["python", "-V"], ["python", "-m", "airflow", "version"]]
)
def test_another_command_is_no_workload(arguments: list[str]) -> None:
    assert not is_workload(arguments)


def test_another_command_is_refused_where_there_are_several_environments(airflow_teams: Deployment) -> None:
    words = refused(airflow_teams, "sh", "-c", "echo ran")
    assert "there are several environments" in words
    assert "envman exec" in words


def _table(*records: tuple[str, str, str], environments: Iterable[str]) -> Table:
    return Table(render_table({}, {}, {name: ((), {}) for name in environments}, None, records))


def test_another_command_runs_in_the_components_environment() -> None:
    assert own_environment(_table(("components", "-", "core"), environments=["a", "core"])) == "core"


def test_another_command_runs_in_the_only_environment() -> None:
    assert own_environment(_table(environments=["a"])) == "a"
    with pytest.raises(ResolveError):
        own_environment(_table(environments=[]))


@pytest.mark.parametrize(
    "arguments",
    [["--json-file", "x"], ["-s", workload()], [workload(), "--json-string"], ["--json-string=", workload()]],
)
def test_another_option_is_refused_without_being_shown(
    airflow_teams: Deployment, arguments: list[str]
) -> None:
    assert "--json-string or --json-path" in refused(airflow_teams, *PYTHON, *arguments)


def test_a_workload_in_the_place_of_its_path_is_not_shown(airflow_teams: Deployment) -> None:
    assert "given a workload" in refused(airflow_teams, *PYTHON, "--json-path", workload())


def test_a_file_that_can_not_be_read_is_told_with_its_path(airflow_teams: Deployment, tmp_path: Path) -> None:
    for path in (tmp_path / "gone.json", tmp_path):
        assert f"{path}: the workload can't be read" in refused(
            airflow_teams, *PYTHON, "--json-path", str(path)
        )
    (tmp_path / "binary").write_bytes(TOKEN.encode() + b"\xff")
    assert "can't be read" in refused(airflow_teams, *PYTHON, "--json-path", str(tmp_path / "binary"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not JSON",
        TOKEN,
        f'{{"token": "{TOKEN}"',
        "[]",
        "null",
        '"bundle_info"',
        json.dumps({"token": TOKEN}),
        json.dumps({"token": TOKEN, "bundle_info": None}),
        json.dumps({"token": TOKEN, "bundle_info": [TOKEN]}),
        json.dumps({"token": TOKEN, "bundle_info": {}}),
        json.dumps({"token": TOKEN, "bundle_info": {"name": ""}}),
        json.dumps({"token": TOKEN, "bundle_info": {"name": 3}}),
        "[" * 100_000,
    ],
)
def test_a_workload_without_a_bundle_is_refused(text: str) -> None:
    with pytest.raises(ResolveError) as caught:
        bundle_of(text)
    (problem,) = caught.value.problems
    assert problem.where == "the workload"
    assert problem.what == "names no bundle"
    assert TOKEN not in str(caught.value)


def test_a_workload_without_a_bundle_is_told_without_its_token(airflow_teams: Deployment) -> None:
    text = json.dumps({"token": TOKEN, "bundle_info": {}})
    assert "names no bundle" in refused(airflow_teams, *PYTHON, "--json-string", text)


def test_an_unknown_bundle_is_refused(airflow_teams: Deployment) -> None:
    said = refused(airflow_teams, *PYTHON, "--json-string", workload("bundel_a"))
    assert "bundle 'bundel_a'" in said
    assert "Did you mean 'bundle_a'?" in said


def test_without_published_environments_that_is_said(airflow_teams: Deployment, tmp_path: Path) -> None:
    image = Deployment(tmp_path, {**airflow_teams.environment, "ENVMAN_ROOT": str(tmp_path / "gone")})
    assert "no environments are published" in refused(image, *PYTHON, "--json-string", workload())


def test_help_is_shown_on_demand_and_without_any_argument(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == main(["-h"]) == ExitCode.OK
    assert main([]) == ExitCode.LAUNCH
    assert capsys.readouterr().out == HELP * 3
