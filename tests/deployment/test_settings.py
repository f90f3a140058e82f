from __future__ import annotations

import configparser
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envman.deployment.render import ConfigFormat, render, variables
from envman.deployment.settings import AirflowSettings, WantedSettings, settings
from envman.errors import UsageError
from envman.resolver.table import Table, render_table
from tests.strategies import law

LIST = "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"
ENTRIES = [
    {"name": "bundle_a", "classpath": "module.Class", "kwargs": {"path": "/dags/it's 100% $HOME"}},
    {"name": "bundle_b", "classpath": "module.Other", "kwargs": {}, "team_name": "team_b"},
    {"name": "new", "classpath": "module.Class"},
]


def table(
    bundles: Mapping[str, tuple[str, str]], more: list[tuple[str, str, str]] | None = None, default: str = ""
) -> Table:
    return Table(render_table(bundles, {"team_a": "env_a", "team_b": "env_b"}, {}, default, more or []))


TABLE = table(
    {"bundle_a": ("", "team_a"), "bundle_b": ("", "team_b")},
    [("team-queue", "team_a", "etl queue"), ("image", "env_a", "registry.example:5000/a:1.0")],
    "env_a",
)
TEAMS = WantedSettings(multi_team=True)


def listed(found: AirflowSettings) -> list[dict[str, object]]:
    (value,) = [item.value for item in found.options if item.option == "dag_bundle_config_list"]
    made = json.loads(value)
    assert isinstance(made, list)
    return made


def value(found: AirflowSettings, section: str, option: str) -> str | None:
    for item in found.options:
        if (item.section, item.option, item.team) == (section, option, None):
            return item.value
    return None


def test_bundles_get_their_teams_and_keep_all_else() -> None:
    found = settings("/venv", TABLE, ENTRIES, TEAMS)
    assert listed(found) == [{**ENTRIES[0], "team_name": "team_a"}, ENTRIES[1], ENTRIES[2]]
    assert found.problems == ()
    assert value(found, "core", "multi_team") == "True"
    assert value(found, "dag_processor", "parsing_pre_import_modules") == "False"
    assert value(found, "core", "mp_start_method") == "fork"
    assert value(found, "core", "executor") is None
    assert found.variables == {"ENVMAN_ROOT": "/venv"}


def test_without_airflows_switch_there_are_no_teams_and_a_note_says_so() -> None:
    found = settings("/venv", TABLE, ENTRIES, WantedSettings(multi_team=False))
    assert all("team_name" not in entry for entry in listed(found))
    assert value(found, "core", "multi_team") is None
    assert not [item for item in found.options if item.team]
    assert any("--multi-team" in note for note in found.notes)


def test_a_bundle_that_airflow_does_not_have_is_a_problem_and_not_invented() -> None:
    found = settings("/venv", TABLE, ENTRIES[:1], TEAMS)
    assert [entry["name"] for entry in listed(found)] == ["bundle_a"]
    assert [problem.where for problem in found.problems] == ["bundle 'bundle_b'"]
    assert "list of bundles" in found.problems[0].remedy


def test_two_teams_of_one_bundle_are_a_problem() -> None:
    (problem,) = settings("/venv", table({"bundle_b": ("", "team_a")}), ENTRIES, TEAMS).problems
    assert problem.where == "bundle 'bundle_b'"
    assert "'team_a'" in problem.what
    assert "'team_b'" in problem.what


@pytest.mark.parametrize(
    ("executors", "multi_team", "expected", "problems"),
    [
        (("LocalExecutor", "team_b=CeleryExecutor"), True, "LocalExecutor;team_b=CeleryExecutor", 0),
        (("A", "B", "t=C", "u=D", "t=E"), True, "A,B;t=C,E;u=D", 0),
        (("LocalExecutor",), False, "LocalExecutor", 0),
        (("team_b=CeleryExecutor",), True, ";team_b=CeleryExecutor", 1),
        (("LocalExecutor", "team_b=CeleryExecutor"), False, "LocalExecutor;team_b=CeleryExecutor", 1),
    ],
)
def test_executors_become_airflows_one_string(
    executors: tuple[str, ...], multi_team: bool, expected: str, problems: int
) -> None:
    found = settings("/venv", TABLE, ENTRIES, WantedSettings(multi_team, executors))
    assert value(found, "core", "executor") == expected
    assert len(found.problems) == problems


def test_a_teams_queue_is_its_default_queue() -> None:
    found = settings("/venv", TABLE, ENTRIES, TEAMS)
    assert variables(found)["AIRFLOW__TEAM_A___OPERATORS__DEFAULT_QUEUE"] == "etl queue"
    assert "[team_a=operators]\ndefault_queue = etl queue\n" in render(found, ConfigFormat.CFG)


@pytest.mark.parametrize(
    ("image", "repository", "tag"),
    [
        ("registry.example:5000/a:1.0", "registry.example:5000/a", "1.0"),
        ("registry.example:5000/a", "registry.example:5000/a", "latest"),
        ("a@sha256:abc", "a@sha256", "abc"),
    ],
)
def test_pods_start_from_the_default_environments_image(image: str, repository: str, tag: str) -> None:
    found = settings(
        "/venv", table({}, [("image", "env_a", image)], "env_a"), [], WantedSettings(False, kubernetes=True)
    )
    assert value(found, "kubernetes_executor", "worker_container_repository") == repository
    assert value(found, "kubernetes_executor", "worker_container_tag") == tag
    assert any("ENVMAN_ROOT=/venv" in note for note in found.notes)


@pytest.mark.parametrize(
    ("more", "said"), [([], "container-entrypoint"), ([("image", "env_b", "b:1")], "by hand")]
)
def test_pods_without_a_default_image_get_a_note(more: list[tuple[str, str, str]], said: str) -> None:
    found = settings("/venv", table({}, more, "env_a"), [], WantedSettings(False, kubernetes=True))
    assert value(found, "kubernetes_executor", "worker_container_tag") is None
    assert any(said in note for note in found.notes)


def in_a_shell(text: str, folder: Path, export: bool = False) -> dict[str, str]:
    """What a real shell has after it has read a text."""
    (folder / "settings").write_text(text, encoding="utf-8")
    how = "set -a; " if export else ""
    finished = subprocess.run(
        ["/bin/sh", "-c", f"{how}. ./settings && env -0"],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=True,
    )
    pairs = [item.partition("=") for item in finished.stdout.decode().split("\0") if item]
    return {name: value for name, _, value in pairs}


def in_a_file(text: str) -> dict[tuple[str, str], str]:
    """What Airflow's own kind of parser reads from a text."""
    parser = configparser.ConfigParser()
    parser.read_string(text)
    return {(section, key): value for section in parser.sections() for key, value in parser.items(section)}


ALL = settings(
    "/srv/the venv's", TABLE, ENTRIES, WantedSettings(True, ("LocalExecutor", "team_b=CeleryExecutor"), True)
)


def test_a_shell_gets_the_same_values(tmp_path: Path) -> None:
    got = in_a_shell(render(ALL, ConfigFormat.ENV), tmp_path)
    assert variables(ALL).items() <= got.items()


def test_a_dotenv_file_gives_the_same_values(tmp_path: Path) -> None:
    plain = AirflowSettings(ALL.options, {"ENVMAN_ROOT": "/venv"}, ALL.notes)
    assert variables(plain).items() <= in_a_shell(render(plain, ConfigFormat.DOTENV), tmp_path, True).items()


def test_a_configuration_file_gives_the_same_values() -> None:
    expected = {(item.heading, item.option): item.value for item in ALL.options}
    assert in_a_file(render(ALL, ConfigFormat.CFG)) == expected


def test_what_a_format_cannot_hold_is_refused() -> None:
    with pytest.raises(UsageError, match="ENVMAN_ROOT"):
        render(ALL, ConfigFormat.DOTENV)
    odd = table({}, [("team-queue", "team-x", "q")])
    found = settings("/venv", odd, [], TEAMS)
    for how in (ConfigFormat.ENV, ConfigFormat.DOTENV):
        with pytest.raises(UsageError, match="AIRFLOW__TEAM-X___OPERATORS__DEFAULT_QUEUE"):
            render(found, how)
    assert in_a_file(render(found, ConfigFormat.CFG))["team-x=operators", "default_queue"] == "q"


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@law
@given(TEXT)
def test_every_value_of_a_bundle_comes_back(text: str) -> None:
    entries = [{"name": "bundle_a", "classpath": "c", "kwargs": {"value": text}}]
    found = settings("/venv", table({}), entries, WantedSettings(False))
    assert listed(found)[0]["kwargs"] == {"value": text}
    read = in_a_file(render(found, ConfigFormat.CFG))["dag_processor", "dag_bundle_config_list"]
    assert json.loads(read) == entries
