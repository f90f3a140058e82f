"""A live Airflow is read, and a project is written beside it: interpreters that lie, and one that doesn't."""

from __future__ import annotations

import json
import os
import sys
import venv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from envman.adoption.live_probe import OPTIONS, LiveAirflowError, ask_live_airflow
from envman.adoption.start_files import WantedStarts
from envman.errors import EnvmanError, UsageError
from envman.resolver.airflow_options import HANDED_ON, variable_of
from envman.spec.workspace import open_workspace
from envman.system.processes import Processes
from envman.usecases.adopt_init import AdoptOutcome, AdoptRequest, adopt_init
from tests.adoption.answers import answer, bundle, distribution

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CORE = distribution("apache-airflow-core", "3.3.2")
NO_STARTS = WantedStarts((), (), ())


def program(folder: Path, text: str, name: str = "python") -> Path:
    """A program by the name of an interpreter."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def that_says(folder: Path, said: Mapping[str, Any]) -> Path:
    (folder / "said").write_text(json.dumps(said), encoding="utf-8")
    return program(folder, f"cat {folder}/said")


def adopt(folder: Path, python: Path, starts: WantedStarts = NO_STARTS, **environ: str) -> AdoptOutcome:
    request = AdoptRequest(python, folder / "project", starts)
    return adopt_init(request, {"PATH": os.defpath, "HOME": str(folder), **environ}, Processes())


@pytest.fixture(autouse=True)
def without_usual_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No unit or Compose file of this machine's."""
    monkeypatch.setattr("envman.adoption.start_files._UNIT_FOLDERS", ())
    monkeypatch.chdir(tmp_path)


# interpreters that are none, or lie


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("echo Hello", "can't be used"),
        ("exit 0", "can't be used"),
        ("echo '  no such option: -I' >&2; exit 2", "no such option"),
        ("kill -9 $$", "exit status 137"),
        ("head -c 50000000 /dev/zero | tr '\\0' '['", "can't be used"),
        ("echo '{\"python\": 5}'", "python"),
    ],
)
def test_a_program_that_gives_no_answer_is_a_sentence(tmp_path: Path, text: str, word: str) -> None:
    with pytest.raises(LiveAirflowError) as refused:
        adopt(tmp_path, program(tmp_path, text))
    (problem,) = refused.value.problems
    assert word in problem.what
    assert len(problem.what) < 500
    assert not (tmp_path / "project").exists()


def test_one_that_hangs_is_ended(tmp_path: Path) -> None:
    python = program(tmp_path, "exec tail -f /dev/null")
    with pytest.raises(LiveAirflowError, match=r"it has 0\.2 s"):
        ask_live_airflow(Processes(), python, {"PATH": os.defpath}, [], patience=0.2)


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("nowhere/python", "no such file"),
        ("folder", "is a folder"),
        ("plain", "may not run"),
        ("airflow", "name"),
    ],
)
def test_a_path_that_is_no_interpreter_is_wrong_usage(tmp_path: Path, path: str, word: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "plain").touch(mode=0o644)
    program(tmp_path, "exit 1", "airflow")
    with pytest.raises(UsageError, match=word):
        adopt(tmp_path, tmp_path / path)


@pytest.mark.parametrize(
    "more",
    [
        {"distributions": []},
        {"distributions": [distribution("apache-airflow-core", "three")]},
        {"python": {**answer()["python"], "markers": {}}},
    ],
)
def test_without_an_airflow_nothing_is_written(tmp_path: Path, more: dict[str, Any]) -> None:
    with pytest.raises(LiveAirflowError):
        adopt(tmp_path, that_says(tmp_path, {**answer([CORE]), **more}))
    assert not (tmp_path / "project").exists()


HOSTILE = [
    bundle('a"]\nroot = "/'),
    bundle("all"),
    bundle("twice"),
    bundle("twice"),
    bundle("bad_class", path="", classpath="no class", arguments={"a": None}),
    bundle(
        "git", path="", classpath="a.b.Git", arguments={"url": "https://x", "deep": {"a": [1, True, "ü\"'"]}}
    ),
    bundle("null", path="", classpath="a.b.Git", arguments={"a": None}),
    bundle("hidden", path="", classpath="a.b.Git", withheld=["repo_url"]),
    bundle("user", path="", classpath="a.b.Git", arguments={"url": "https://me:hush@x"}),
    bundle("teams", team="team_b"),
    bundle("odd_team", team="a b"),
]


def test_whatever_it_says_of_bundles_the_project_can_be_read(tmp_path: Path) -> None:
    origin = 'https://x"""\n# [defaults]\nrequires-python = "x"'
    packages = [CORE, distribution("own", "1", origin=origin), distribution("odd", "1", "x; extra == '\"'")]
    outcome = adopt(tmp_path, that_says(tmp_path, answer(packages, bundles=HOSTILE)))
    project = open_workspace(tmp_path / "project").project
    assert set(project.bundles) == {
        *("twice", "bad_class", "git", "null", "hidden", "user", "teams", "odd_team")
    }
    assert project.bundles["git"].arguments == {"url": "https://x", "deep": {"a": [1, True, "ü\"'"]}}
    assert [name for name, one in project.bundles.items() if not (one.path or one.classpath)] == [
        *("bad_class", "null", "hidden", "user", "odd_team")
    ]
    assert project.teams.keys() == {"team_b"}
    assert {one.environment for one in project.bundles.values()} == {"airflow"}
    written = "".join(path.read_text() for path in (tmp_path / "project").rglob("*.toml"))
    assert "hush" not in written
    assert any("hidden" in note for note in outcome.notes)


def test_a_folder_that_is_in_use_is_left_alone(tmp_path: Path) -> None:
    python = that_says(tmp_path, answer([CORE], plugins_folder=str(tmp_path)))
    with pytest.raises(UsageError, match="where Airflow looks"):
        adopt(tmp_path, python)
    (tmp_path / "project").mkdir()
    that_says(tmp_path, answer([CORE]))
    assert adopt(tmp_path, python).files
    before = {path: path.read_bytes() for path in (tmp_path / "project").rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match="a project here already"):
        adopt(tmp_path, python)
    assert {path: path.read_bytes() for path in (tmp_path / "project").rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("version", "way", "word"),
    [
        ("3.3.2", "launch", "Airflow is where it was"),
        ("3.2.1", "exec", "upgrade to Airflow 3.3"),
        ("3.0.6", "exec", "upgrade to Airflow 3.3"),
        ("2.11.0", "exec", "then upgrade to 3.3"),
        ("2.7.3", "exec", "upgrade to Airflow 2.11"),
        ("3.7.0", "launch", "has not been run with this Airflow"),
    ],
)
def test_each_airflow_gets_what_can_be_done_with_it(
    tmp_path: Path, version: str, way: str, word: str
) -> None:
    name = "apache-airflow-core" if version > "3" else "apache-airflow"
    units = tmp_path / "units"
    units.mkdir()
    (units / "a.service").write_text("[Service]\nExecStart=/opt/airflow/bin/airflow scheduler\n")
    python = that_says(tmp_path, answer([distribution(name, version)]))
    outcome = adopt(tmp_path, python, WantedStarts((units,), (), ()))
    project = open_workspace(tmp_path / "project").project
    assert outcome.way == way
    assert word in " ".join([*outcome.notes, (tmp_path / "project/WAY-BACK.md").read_text()])
    assert project.airflow_version == (version if version > "3" else None)
    assert bool(project.bundles) == (version > "3")
    assert f" {way} " in (tmp_path / "project/start-commands.diff").read_text().replace(
        f"envman {way}", f" {way} "
    )


def test_what_starts_containers_says_the_executor_and_has_the_root_of_images(tmp_path: Path) -> None:
    compose = tmp_path / "compose.yaml"
    compose.write_text(
        "services:\n  a:\n    environment:\n      AIRFLOW__CORE__EXECUTOR: CeleryExecutor\n"
        "    command: airflow scheduler\n  b:\n    command: celery worker\n"
    )
    outcome = adopt(tmp_path, that_says(tmp_path, answer([CORE])))  # found, as it is here
    assert outcome.root == "/venv"
    diff = (tmp_path / "project/start-commands.diff").read_text()
    assert [line for line in diff.splitlines() if line.startswith("+ ")] == [
        '+    command: bash -c "exec /opt/envman/bin/envman launch worker --root /venv"'
    ]


def test_all_start_files_that_cannot_be_read_are_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "none").mkdir()
    starts = WantedStarts((tmp_path / "none",), (tmp_path / "binary",), (tmp_path / "gone",))
    with pytest.raises(UsageError) as refused:
        adopt(tmp_path, tmp_path / "python", starts)
    assert [problem.where.split()[0] for problem in refused.value.problems] == [
        *("--systemd", "--compose", "--helm-values")
    ]


# a real interpreter, with an Airflow of which there is no more than its metadata

CONFIGURATION = """\
[core]
dags_folder = {home}/dags
executor = LocalExecutor
fernet_key = hidden-in-the-file
load_examples = True
[database]
sql_alchemy_conn = postgresql://me:hidden-in-a-url@host/db
[logging]
logging_config_class = my_logs.CONFIG
[dag_processor]
dag_bundle_config_list = [
    {{"name": "dags", "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle"}},
    {{"name": "git", "classpath": "a.b.Git", "kwargs": {{"repo_url": "https://me:hidden-token@host/r", "n": 1, "of": [{{"aws_KEY": "hidden"}}]}}}},
    5]
"""


def installed(site: Path, name: str, version: str, **files: str) -> None:
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    for file, text in {"RECORD": "", "INSTALLER": "pip\n", **files}.items():
        (info / file.replace("_json", ".json").replace("_txt", ".txt")).write_text(text)


@pytest.fixture
def live(tmp_path: Path) -> Path:
    """The interpreter of a virtual environment, and an AIRFLOW_HOME beside it."""
    venv.create(tmp_path / "live", with_pip=False, symlinks=True)
    (site,) = (tmp_path / "live").glob("lib/python*/site-packages")
    installed(site, "apache-airflow-core", "3.3.2")
    groups = "[console_scripts]\na = a:b\n[apache_airflow_provider]\nprovider_info = a:b\n[airflow.plugins]\n"
    installed(site, "Frame_Two", "1.5", entry_points_txt=groups)
    direct = {"url": "file:///src/rules", "dir_info": {"editable": True}}
    installed(site, "rules", "1.4", direct_url_json=json.dumps(direct))
    (site / "airflow/example_dags").mkdir(parents=True)
    (site / "airflow/__init__.py").write_text("raise SystemExit('Airflow was imported')\n")
    home = tmp_path / "home"
    for file, text in {
        "airflow.cfg": CONFIGURATION.format(home=home),
        "dags/sales.py": "import json\nimport common.tables\nopen('/nonexistent/dag ran', 'w')\n",
        "dags/common/tables.py": "",
        "dags/broken.py": "def (\n",
        "dags/old.zip": "",
        "plugins/p.py": "raise SystemExit('a plugin ran')\n",
        "config/airflow_local_settings.py": "raise SystemExit('the settings ran')\n",
        "requirements.txt": "frame-two\n",
    }.items():
        (home / file).parent.mkdir(parents=True, exist_ok=True)
        (home / file).write_text(text)
    (home / "dags/link.py").symlink_to(home / "dags/sales.py")
    Path(os.fsdecode(os.fsencode(home / "dags") + b"/\xff.zip")).touch()
    return tmp_path / "live/bin/python"


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    found = (path for path in folder.rglob("*") if not path.is_symlink())
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in found}


def test_a_live_airflow_is_read_and_not_changed(tmp_path: Path, live: Path) -> None:
    units = tmp_path / "units"
    units.mkdir()
    (tmp_path / "airflow.env").write_text(
        f"# variables\nAIRFLOW_HOME={tmp_path}/home\nAIRFLOW__CORE__FERNET_KEY='hidden in a variable'\n"
        "WAREHOUSE=hidden\nTZ=UTC\n"
    )
    for name in ("scheduler", "dag-processor", "triggerer", "api-server"):
        (units / f"airflow-{name}.service").write_text(
            f"[Service]\nEnvironmentFile={tmp_path}/airflow.env\nExecStart={live.parent}/airflow {name}\n"
        )
    before = listing(tmp_path)
    outcome = adopt(tmp_path, live, WantedStarts((units,), (), ()))
    after = {path: what for path, what in listing(tmp_path).items() if f"{tmp_path}/project" not in path}
    assert after == before
    assert (outcome.airflow, outcome.python.split(".")[:2]) == (
        "3.3.2",
        [str(n) for n in sys.version_info[:2]],
    )
    assert outcome.pins == ("apache-airflow-core==3.3.2", "frame-two==1.5")
    assert [(one.package, one.why) for one in outcome.differences] == [
        ("rules", "editable, file:///src/rules")
    ]
    assert [one.components for one in outcome.starts if one.changed] == [
        *(("dag-processor",), ("scheduler",), ("triggerer",))
    ]
    told = "\n".join(outcome.notes)
    for word in ("common (2 files)", "old.zip", "link.py", "broken.py", "p.py", "airflow_local_settings.py"):
        assert word in told
    assert "my_logs.CONFIG" in told
    assert "Units set WAREHOUSE: " in told
    assert "has an entry that is no bundle with a name: mend it" in told
    assert "of packages: frame-two==1.5" in told
    assert outcome.providers == ("frame-two==1.5",)
    assert outcome.found["requirements"] == [f"{tmp_path}/home/requirements.txt"]
    assert outcome.found["examples"] == ["example_dags"]
    written = "".join(path.read_text() for path in (tmp_path / "project").rglob("*") if path.is_file())
    assert "hidden" not in written
    assert "AIRFLOW__CORE__FERNET_KEY" in written
    document = tomllib.loads((tmp_path / "project/envman.toml").read_text())
    assert document["bundles"] == {
        "dags": {"path": f"{tmp_path}/home/dags", "environment": "airflow"},
        "git": {"environment": "airflow"},
        "example_dags": {"environment": "airflow"},
    }


def test_a_configuration_that_cannot_be_read_is_said_without_its_text(tmp_path: Path, live: Path) -> None:
    (tmp_path / "home/airflow.cfg").write_text("fernet_key = hidden\n")
    outcome = adopt(tmp_path, live, AIRFLOW_HOME=str(tmp_path / "home"))
    assert any("can't be read" in note and "MissingSectionHeaderError" in note for note in outcome.notes)
    assert "hidden" not in json.dumps(outcome.found)


def test_a_variable_wins_over_the_file(tmp_path: Path, live: Path) -> None:
    listed = json.dumps([{"name": "b", "classpath": "a.b.Git", "kwargs": {"ref": "$HOME"}}])
    outcome = adopt(
        tmp_path,
        live,
        AIRFLOW_HOME=str(tmp_path / "home"),
        AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST=listed,
        AIRFLOW__CORE__EXECUTOR="CeleryExecutor",
        AIRFLOW__CORE__LOAD_EXAMPLES="False",
    )
    assert [(one["name"], one["arguments"]) for one in outcome.found["bundles"]] == [("b", {"ref": "$HOME"})]
    assert outcome.found["examples"] == []
    settings = {one["option"]: one["value"] for one in outcome.found["settings"]}
    assert settings["executor"] == "CeleryExecutor"


NOT_SENSITIVE = {
    *(
        "CORE__AUTH_MANAGER",
        "LOGGING__REMOTE_LOGGING",
        "SECRETS__BACKEND",
        "SCHEDULER__STANDALONE_DAG_PROCESSOR",
    ),
}
"""Besides the options that workloads get, of which tests/upstream/test_options.py sees that none is sensitive."""


def test_no_option_that_leaves_the_interpreter_is_sensitive() -> None:
    assert {variable_of(*option) for option in OPTIONS} <= HANDED_ON | NOT_SENSITIVE


def test_a_failure_leaves_no_folder_behind(tmp_path: Path) -> None:
    python = that_says(
        tmp_path, answer([CORE], markers={"python_full_version": "3.12.4", "sys_platform": ""})
    )
    (tmp_path / "locked").mkdir()
    request = AdoptRequest(python, tmp_path / "locked/file/project", NO_STARTS)
    (tmp_path / "locked/file").touch()
    with pytest.raises((EnvmanError, OSError)):
        adopt_init(request, {"PATH": os.defpath}, Processes())
    assert [path.name for path in (tmp_path / "locked").iterdir()] == ["file"]
