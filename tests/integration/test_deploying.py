"""publish, airflow-config, doctor and check as processes; the environments here have no Airflow."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from envman.launch.airflow_configuration import DEFAULT_ENTRY, LOCAL_BUNDLE, AirflowConfiguration
from tests.conftest import Deployment

VARIABLE = "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"
BUNDLES = [
    {"name": "bundle_a", "classpath": "module.Class", "kwargs": {"path": "/dags/a", "token": "$SECRET"}},
    {"name": "bundle_b", "classpath": "module.Class", "kwargs": {}},
]
AIRFLOW = {VARIABLE: json.dumps(BUNDLES), "SECRET": "hunter2"}


def test_publish_writes_the_table_and_builds_nothing(two_teams: Deployment) -> None:
    before, table = two_teams.generations(), two_teams.root / ".state/table"
    text = (two_teams.folder / "envman.toml").read_text()
    two_teams.write(
        "envman.toml", text.replace('bundle_b = { team = "team_b" }', 'moved = { environment = "env_a" }')
    )
    assert "published" in two_teams.ok("publish").stdout
    assert "moved" in table.read_text()
    assert "bundle_b" not in table.read_text()
    assert two_teams.generations() == before
    assert "unchanged" in two_teams.ok("publish").stdout
    outcome = two_teams.ok("publish", "--json").json["result"]
    assert (outcome["changed"], outcome["not_built"], outcome["bundles"]) == (False, [], 2)


def test_publish_needs_no_built_environment(two_teams: Deployment, tmp_path: Path) -> None:
    result = two_teams.ok("publish", "--root", str(tmp_path / "host"))
    assert "env_a, env_b" in result.stderr
    refused = two_teams.run("exec", "--root", str(tmp_path / "host"), "--bundle", "bundle_a", "--", "true")
    assert refused.exit_code == 125


def test_publish_refuses_a_wrong_project(two_teams: Deployment) -> None:
    table = (two_teams.root / ".state/table").read_text()
    two_teams.write("envman.toml", 'root = "venv"\n[bundles]\nbundle_a = { environment = "env_x" }\n')
    result = two_teams.run("publish", "--json")
    assert result.exit_code == 3
    assert "env_x" in result.stdout
    assert (two_teams.root / ".state/table").read_text() == table


def test_airflow_config_prints_the_list_and_no_secret(two_teams: Deployment) -> None:
    other = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql://me:hunter3@host/db"}
    for how in ("env", "cfg", "dotenv"):
        result = two_teams.ok(
            "airflow-config", "--format", how, "--multi-team", variables={**AIRFLOW, **other}
        )
        assert "hunter" not in result.stdout + result.stderr
        assert "$SECRET" in result.stdout
        assert "team_b" in result.stdout


def test_airflow_config_is_what_a_shell_evaluates(two_teams: Deployment) -> None:
    command = shlex.join(two_teams.command("airflow-config", "--multi-team"))
    finished = subprocess.run(
        ["/bin/sh", "-c", f'eval "$({command})"; printf %s "${VARIABLE}"'],
        cwd=two_teams.folder,
        env={**two_teams.environment, **AIRFLOW},
        text=True,
        capture_output=True,
        check=True,
    )
    assert json.loads(finished.stdout) == [BUNDLES[0], {**BUNDLES[1], "team_name": "team_b"}]


def test_airflow_config_keeps_teams_where_they_are_on(two_teams: Deployment) -> None:
    on = {**AIRFLOW, "AIRFLOW__CORE__MULTI_TEAM": "True"}
    result = two_teams.ok("airflow-config", "--json", variables=on).json["result"]
    assert result["variables"]["AIRFLOW__CORE__MULTI_TEAM"] == "True"
    assert '"team_name": "team_b"' in result["variables"][VARIABLE]
    assert {"section": "core", "option": "multi_team", "team": None, "value": "True"} in result["options"]


def test_airflow_config_reports_what_does_not_fit_and_prints_the_rest(two_teams: Deployment) -> None:
    only = {VARIABLE: json.dumps(BUNDLES[:1])}
    result = two_teams.run("airflow-config", variables=only)
    assert result.exit_code == 1
    assert "bundle 'bundle_b'" in result.stderr
    assert "bundle_b" not in result.stdout
    assert "bundle_a" in result.stdout
    document = two_teams.run("airflow-config", "--json", variables=only).json
    assert (document["ok"], len(document["problems"])) == (False, 1)
    wrong = two_teams.run("airflow-config", variables={VARIABLE: "{"})
    assert wrong.exit_code == 3


def test_the_list_is_read_as_it_is_written() -> None:
    assert AirflowConfiguration(AIRFLOW).bundle_entries() == BUNDLES
    nowhere = AirflowConfiguration({"AIRFLOW_HOME": "/nowhere"})
    assert nowhere.bundle_entries() == [{**DEFAULT_ENTRY, "kwargs": {}}]


def test_airflow_config_writes_the_whole_list_from_envman_toml(two_teams: Deployment) -> None:
    """Also the first one: `dags-folder`, which Airflow has by default, is nobody's then."""
    text = (two_teams.folder / "envman.toml").read_text()
    git = 'classpath = "airflow.providers.git.bundles.git.GitDagBundle", kwargs = { git_conn_id = "company" }'
    text = text.replace("bundle_a = { ", 'bundle_a = { path = "dags/a", ').replace(
        "bundle_b = { ", f"bundle_b = {{ {git}, "
    )
    two_teams.write("envman.toml", text)
    declared = [
        {**DEFAULT_ENTRY, "name": "bundle_a", "kwargs": {"path": str(two_teams.folder / "dags/a")}},
        {
            "name": "bundle_b",
            "classpath": "airflow.providers.git.bundles.git.GitDagBundle",
            "kwargs": {"git_conn_id": "company"},
        },
    ]
    assert listed(two_teams, {"AIRFLOW_HOME": str(two_teams.folder / "none")}) == declared
    further = {"name": "further", "classpath": "module.Class", "kwargs": {}}
    there = [*BUNDLES[:1], further]
    assert listed(two_teams, {VARIABLE: json.dumps(there)}) == [declared[0], further, declared[1]]


def test_the_list_that_airflow_writes_by_itself_is_nobodys(two_teams: Deployment) -> None:
    """Airflow's first command writes an airflow.cfg, with its default in it."""
    home = two_teams.folder / "home"
    home.mkdir()
    entry = json.dumps([{"name": "dags-folder", "classpath": LOCAL_BUNDLE, "kwargs": {}}])
    (home / "airflow.cfg").write_text(f"[dag_processor]\ndag_bundle_config_list = {entry}\n")
    text = (two_teams.folder / "envman.toml").read_text()
    text = text.replace("bundle_a = { ", 'bundle_a = { path = "a", ').replace(
        "bundle_b = { ", 'bundle_b = { path = "~/b", '
    )
    two_teams.write("envman.toml", text)
    variables = {"AIRFLOW_HOME": str(home)}
    found = listed(two_teams, variables)
    assert [(one["name"], one["kwargs"]["path"]) for one in found] == [
        ("bundle_a", str(two_teams.folder / "a")),
        ("bundle_b", f"{two_teams.environment['HOME']}/b"),
    ]
    printed = two_teams.ok("airflow-config", variables=variables).stdout
    assert f"The folder of the bundle 'bundle_a' is not on this host: {two_teams.folder}/a" in printed
    assert "AIRFLOW__CORE__LOAD_EXAMPLES='False'" in printed
    two_teams.write(
        "envman.toml", text.replace("[bundles]", '[bundles]\ndags-folder = { environment = "env_a" }')
    )
    assert [one["name"] for one in listed(two_teams, variables)] == ["dags-folder", "bundle_a", "bundle_b"]


def listed(deployment: Deployment, variables: dict[str, str]) -> list[Any]:
    found = deployment.ok("airflow-config", "--json", variables=variables).json["result"]
    made: list[Any] = json.loads(found["variables"][VARIABLE])
    return made


def places(document: dict[str, object], level: str = "error") -> set[str]:
    findings = document["result"]["findings"]  # type: ignore[index]
    return {finding["where"] for finding in findings if finding["level"] == level}


def test_doctor_fails_and_says_why(two_teams: Deployment) -> None:
    listed = [*BUNDLES, {"name": "lost", "classpath": "module.Class"}]
    two_teams.spec("env_b", ["frame<2"], '[variables]\nset = { A = "1" }\n[checks]\nimports = ["grid"]\n')
    (two_teams.root / "env_a" / "added").touch()
    (two_teams.root / ".state").chmod(0o777)
    (two_teams.folder / "environments/env_a.lock").unlink()
    result = two_teams.run("doctor", "--json", variables={VARIABLE: json.dumps(listed)})
    document = result.json
    assert result.exit_code == 1
    assert document["ok"] is False
    assert places(document) >= {
        "bundle 'lost'",
        "environment 'env_a'",
        "environments/env_a.lock",
        str(two_teams.root),
        str(two_teams.root / ".state"),
    }
    assert all(finding["remedy"] for finding in document["result"]["findings"])
    assert {problem["where"] for problem in document["problems"]} == places(document)
    shown = two_teams.run("doctor", variables={VARIABLE: json.dumps(listed)})
    assert shown.exit_code == 1
    assert "bundle 'lost'" in shown.stdout
    assert "Not looked at: Airflow's database" in shown.stderr
    assert "environment" in two_teams.run("doctor").stdout


def test_doctor_finds_an_edit_of_the_same_length_with_verify(two_teams: Deployment) -> None:
    (file,) = (two_teams.root / "env_a").glob("lib/python3*/site-packages/frame/__init__.py")
    text = file.read_text()
    file.unlink()
    file.write_text(text[::-1])
    altered = "was altered"
    assert altered not in two_teams.run("doctor", variables=AIRFLOW).stdout
    assert altered in two_teams.run("doctor", "--verify", variables=AIRFLOW).stdout


def test_doctor_without_a_project_says_what_it_did_not_see(two_teams: Deployment, tmp_path: Path) -> None:
    elsewhere = Deployment(tmp_path, {**two_teams.environment, "ENVMAN_ROOT": str(two_teams.root)})
    result = elsewhere.run("doctor", variables=AIRFLOW)
    assert "specs and locks" in result.stderr
    assert result.exit_code == 1  # there is no Airflow in the environments
    assert elsewhere.run("doctor", "--root", str(tmp_path / "none")).exit_code == 7


@pytest.mark.parametrize("command", ["doctor", "airflow-config"])
def test_a_wrong_project_is_an_error_and_not_passed_over(two_teams: Deployment, command: str) -> None:
    two_teams.write("environments/env_a.toml", "dependencys = []\n")
    result = two_teams.run(command, variables=AIRFLOW)
    assert result.exit_code == 3
    assert "dependencys" in result.stderr
    assert result.stdout == ""


def test_doctor_fails_where_the_components_cannot_be_asked(two_teams: Deployment) -> None:
    result = two_teams.run("doctor", "--json", "--airflow", "/no/such/python", variables=AIRFLOW)
    assert result.exit_code == 1
    assert "components" in places(result.json)
    asked = two_teams.run("doctor", "--json", "--database", variables=AIRFLOW)
    assert "--database" in places(asked.json)


def test_check_needs_an_environment_with_airflow(two_teams: Deployment) -> None:
    two_teams.write("dags/one.py", "print('airflow dag')\n")
    result = two_teams.run("check", "--bundle", "bundle_a", "dags", "--json")
    assert result.exit_code == 1
    assert result.json["result"] is None
    assert "No module named 'airflow'" in result.json["problems"][0]["what"]
    assert two_teams.run("check", "--bundle", "bundle_a", "nowhere").exit_code == 2
    assert two_teams.run("check", "--bundle", "unknown", "dags").exit_code == 7


@pytest.mark.parametrize("command", ["publish", "airflow-config", "doctor", "check"])
def test_help_teaches_by_example(deployment: Deployment, command: str) -> None:
    assert f"envman {command}" in deployment.ok(command, "--help").stdout.partition("Examples:")[2]


def test_doctor_finds_a_history_that_the_next_build_can_not_read(two_teams: Deployment) -> None:
    history = two_teams.root / ".state/env_a.history"
    history.write_text("not a history\n")
    found = two_teams.run("doctor", "--json", variables=AIRFLOW).json
    assert str(history) in {problem["where"] for problem in found["problems"]} | places(found)
