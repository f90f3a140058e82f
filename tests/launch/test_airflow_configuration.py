from __future__ import annotations

from pathlib import Path

import pytest

from envman.errors import SpecError
from envman.launch.airflow_configuration import DEFAULT_ENTRY, AirflowConfiguration
from envman.resolver.snapshot import AirflowBundles

VARIABLE = "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"
LIST = '[{"name": "bundle_a", "team_name": "team_a"}, {"name": "bundle_b", "kwargs": {"path": "/x"}}]'
TEAMS = {"bundle_a": "team_a", "bundle_b": None}


def configured(folder: Path, text: str) -> dict[str, str]:
    """The variables of somebody whose airflow.cfg this is."""
    (folder / "airflow.cfg").write_text(text, encoding="utf-8")
    return {"AIRFLOW_HOME": str(folder)}


def bundles_of(environ: dict[str, str]) -> AirflowBundles:
    return AirflowConfiguration(environ).bundles()


def is_on(environ: dict[str, str], section: str, option: str) -> bool:
    return AirflowConfiguration(environ).is_on(section, option)


def refusal(environ: dict[str, str]) -> tuple[str, str, str]:
    with pytest.raises(SpecError) as caught:
        bundles_of(environ)
    (problem,) = caught.value.problems
    return problem.key()


def test_the_variable_wins_over_the_file(tmp_path: Path) -> None:
    environ = configured(tmp_path, '[dag_processor]\ndag_bundle_config_list = [{"name": "other"}]\n')
    bundles = bundles_of({**environ, VARIABLE: LIST})
    assert bundles.teams == TEAMS
    assert bundles.source == VARIABLE


def test_the_file_is_read_from_airflow_home(tmp_path: Path) -> None:
    bundles = bundles_of(configured(tmp_path, f"[dag_processor]\ndag_bundle_config_list = {LIST}\n"))
    assert bundles.teams == TEAMS
    assert bundles.source == f"{tmp_path}/airflow.cfg: [dag_processor] dag_bundle_config_list"


def test_airflow_config_wins_over_airflow_home(tmp_path: Path) -> None:
    environ = configured(tmp_path, "[dag_processor]\ndag_bundle_config_list = []\n")
    other = tmp_path / "other.cfg"
    other.write_text(f"[dag_processor]\ndag_bundle_config_list = {LIST}\n", encoding="utf-8")
    assert bundles_of({**environ, "AIRFLOW_CONFIG": str(other)}).teams == TEAMS


def test_an_empty_variable_for_a_folder_is_none(tmp_path: Path) -> None:
    environ = configured(tmp_path, f"[dag_processor]\ndag_bundle_config_list = {LIST}\n")
    assert bundles_of({**environ, "AIRFLOW_CONFIG": ""}).teams == TEAMS


def test_home_is_where_airflow_is_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "airflow").mkdir()
    configured(tmp_path / "airflow", f"[dag_processor]\ndag_bundle_config_list = {LIST}\n")
    assert bundles_of({}).teams == TEAMS
    assert bundles_of({"AIRFLOW_HOME": "~/airflow"}).teams == TEAMS
    assert bundles_of({"AIRFLOW_CONFIG": "$HOME/airflow/airflow.cfg"}).teams == TEAMS


@pytest.mark.parametrize(
    "text",
    ["", "[core]\n", "[dag_processor]\nrefresh_interval = 3\n", "[other]\ndag_bundle_config_list = []\n"],
)
def test_where_the_option_is_not_set_airflow_has_its_one_bundle(tmp_path: Path, text: str) -> None:
    bundles = bundles_of(configured(tmp_path, text))
    assert bundles.teams == {"dags-folder": None}
    assert "default" in bundles.source


def test_the_options_name_may_be_written_in_capitals(tmp_path: Path) -> None:
    text = f"[dag_processor]\nDag_Bundle_Config_List = {LIST}\n"
    assert bundles_of(configured(tmp_path, text)).teams == TEAMS


def test_where_there_is_no_file_airflow_has_its_one_bundle(tmp_path: Path) -> None:
    assert bundles_of({"AIRFLOW_HOME": str(tmp_path / "gone")}).teams == {"dags-folder": None}


@pytest.mark.parametrize("text", ["", "  \n", "[]"])
def test_an_empty_list_is_no_bundles(tmp_path: Path, text: str) -> None:
    assert bundles_of({VARIABLE: text}).teams == {}


def test_a_value_may_span_lines_and_hold_percent_signs_and_comments_between(tmp_path: Path) -> None:
    text = """\
[dag_processor]
# whose bundles
dag_bundle_config_list = [
    {"name": "bundle_a", "team_name": "team_a"},
    {"name": "100%%", "team_name": null}
  ]
refresh_interval = 3
"""
    assert bundles_of(configured(tmp_path, text)).teams == {"bundle_a": "team_a", "100%": None}


def test_variables_in_a_value_are_expanded_as_airflow_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM_OF_A", "team_a")
    assert bundles_of({VARIABLE: '[{"name": "a", "team_name": "$TEAM_OF_A"}]'}).teams == {"a": "team_a"}


@pytest.mark.parametrize(
    ("text", "place", "word"),
    [
        ("[", "", "not valid JSON"),
        ("bundle_a", "", "not valid JSON"),
        ("{}", "[0]", "not a bundle with a name"),
        ("null", "[0]", "not a bundle with a name"),
        ('["bundle_a"]', "[0]", "not a bundle with a name"),
        ('[{"name": "a"}, {"classpath": "x"}]', "[1]", "not a bundle with a name"),
        ('[{"name": 1}]', "[0]", "not a bundle with a name"),
        ('[{"name": "a"}, {"name": "a"}]', "[1]", "'a'"),
        ('[{"name": "a", "team_name": ["t"]}]', "[0].team_name", "not a string"),
    ],
)
def test_a_value_that_airflow_could_not_use_is_refused_at_its_place(
    tmp_path: Path, text: str, place: str, word: str
) -> None:
    where, what, remedy = refusal({VARIABLE: text})
    assert where == f"{VARIABLE}{place}"
    assert word in what
    assert remedy
    where, _, _ = refusal(configured(tmp_path, f"[dag_processor]\ndag_bundle_config_list = {text}\n"))
    assert where == f"{tmp_path}/airflow.cfg: [dag_processor] dag_bundle_config_list{place}"


@pytest.mark.parametrize(
    "content",
    [
        b"dag_bundle_config_list = []\n",
        b"[dag_processor]\ndag_bundle_config_list = []\n[dag_processor]\n",
        b"[dag_processor]\nDAG_BUNDLE_CONFIG_LIST = []\ndag_bundle_config_list = []\n",
        b"[dag_processor]\nx = \xff\n",
    ],
)
def test_a_damaged_file_is_refused_with_its_path(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "airflow.cfg").write_bytes(content)
    where, what, remedy = refusal({"AIRFLOW_HOME": str(tmp_path)})
    assert where == f"{tmp_path}/airflow.cfg"
    assert "can't be read" in what
    assert remedy


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    assert refusal({"AIRFLOW_CONFIG": str(tmp_path)})[0] == str(tmp_path)


SWITCH = "AIRFLOW__CORE__MULTI_TEAM"


@pytest.mark.parametrize("value", ["True", "true", "TRUE", "t", "1", " true ", "true # a comment", "True#x"])
def test_a_switch_is_on_where_airflow_reads_it_so(tmp_path: Path, value: str) -> None:
    assert is_on({SWITCH: value}, "core", "multi_team")
    assert is_on(configured(tmp_path, f"[core]\nmulti_team = {value}\n"), "core", "multi_team")


@pytest.mark.parametrize("value", ["False", "false", "f", "0", "", "# true", "truely"])
def test_a_switch_is_off_otherwise(tmp_path: Path, value: str) -> None:
    assert not is_on({SWITCH: value}, "core", "multi_team")
    assert not is_on(configured(tmp_path, f"[core]\nmulti_team = {value}\n"), "core", "multi_team")


def test_a_switch_that_is_set_nowhere_is_off(tmp_path: Path) -> None:
    assert not is_on({"AIRFLOW_HOME": str(tmp_path / "gone")}, "core", "multi_team")
    environ = configured(tmp_path, "[triggerer]\nmulti_team = True\n[core]\nqueues_enabled = True\n")
    assert not is_on(environ, "core", "multi_team")
    assert not is_on(environ, "triggerer", "queues_enabled")


def test_a_switchs_variable_wins_over_the_file(tmp_path: Path) -> None:
    environ = configured(tmp_path, "[core]\nmulti_team = True\n")
    assert is_on(environ, "core", "multi_team")
    assert not is_on({**environ, SWITCH: "False"}, "core", "multi_team")
    assert not is_on({**environ, SWITCH: ""}, "core", "multi_team")
    assert is_on({**environ, "AIRFLOW__CORE__OTHER": "False"}, "core", "multi_team")


def test_a_switch_in_a_damaged_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="can't be read"):
        is_on(configured(tmp_path, "[core\nmulti_team = True\n"), "core", "multi_team")


def test_the_list_is_also_given_as_it_is_written(tmp_path: Path) -> None:
    text = '[{"name": "a", "kwargs": {"path": "$HOME"}}]'
    assert AirflowConfiguration({VARIABLE: text}).bundle_entries() == [
        {"name": "a", "kwargs": {"path": "$HOME"}}
    ]
    nowhere = AirflowConfiguration({"AIRFLOW_HOME": str(tmp_path)})
    assert nowhere.bundle_entries() == [{**DEFAULT_ENTRY, "kwargs": {}}]


def test_the_file_is_read_once_however_many_options_are_asked_for(tmp_path: Path) -> None:
    """Whoever edits it meanwhile is not seen: all answers are of one moment."""
    before = f"[core]\nmulti_team = True\n[dag_processor]\ndag_bundle_config_list = {LIST}\n"
    configuration = AirflowConfiguration(configured(tmp_path, before))
    assert configuration.bundles().teams == TEAMS
    configured(tmp_path, "[core]\nmulti_team = False\n")
    assert configuration.is_on("core", "multi_team")
    assert configuration.option("core", "multi_team") == "True"
    assert [entry["name"] for entry in configuration.bundle_entries()] == [*TEAMS]


def test_the_file_is_not_read_where_variables_say_it_all(tmp_path: Path) -> None:
    environ = {**configured(tmp_path, "[core\n"), VARIABLE: LIST, SWITCH: "True"}
    configuration = AirflowConfiguration(environ)
    assert configuration.bundles().teams == TEAMS
    assert configuration.is_on("core", "multi_team")
