"""`envman check`: what the Dag processor would learn from a bundle, without a deployment."""

from __future__ import annotations

import signal
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Deployment
from tests.e2e.conftest import AIRFLOW, PYTHONS
from tests.waiting import until

pytestmark = pytest.mark.registry

GOOD = """
import sys
from airflow.sdk import DAG, Variable, task
from shared_of_the_bundle import NAME

print("printed by the file")
print("and to standard error", file=sys.stderr)
with DAG(f"{NAME}_{Variable.get('greeting', default='none')}_{sys.version_info[1]}"):

    @task
    def one():
        return 1

    one()
"""
FILES = {
    "good.py": GOOD,
    "shared_of_the_bundle.py": "NAME = 'good'\n",
    "missing.py": "from airflow.sdk import DAG\nimport no_such_package_anywhere\n",
    "crash.py": "from airflow.sdk import DAG\nimport os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n",
    "leave.py": "from airflow.sdk import DAG\nimport os\nos._exit(0)\n",
    "orm.py": "from airflow.sdk import DAG\nfrom airflow.settings import Session\nSession().execute('select 1')\n",
    "changing.py": (
        "from datetime import datetime\nfrom airflow.sdk import DAG\n"
        "with DAG('changing', start_date=datetime.now()):\n    pass\n"
    ),
    "plain.py": "VALUE = 1\n",
    "ignored.py": "from airflow.sdk import DAG\nraise RuntimeError\n",
    ".airflowignore": "ignored.py\n",
}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / "dags").mkdir(exist_ok=True)
        (tmp_path / "dags" / name).write_text(text)
    with zipfile.ZipFile(tmp_path / "dags/archive.zip", "w") as archive:  # one file, whatever is in it
        for name in ("first", "second"):
            archive.writestr(f"{name}.py", f"from airflow.sdk import DAG\ndag = DAG('{name}_of_archive')\n")
    return tmp_path / "dags"


def by_file(result: dict[str, Any]) -> dict[str, Any]:
    return {file["file"]: file for file in result["files"]}


def test_each_file_gives_its_dags_or_its_error(estate: Deployment, bundle: Path) -> None:
    run = estate.run(
        "check", "--bundle", "bundle_b", str(bundle), "--json", variables={"AIRFLOW_VAR_GREETING": "hello"}
    )
    assert run.exit_code == 1
    document = run.json
    files = by_file(document["result"])
    assert set(files) == {*FILES, "archive.zip"} - {
        "plain.py",
        "ignored.py",
        ".airflowignore",
        "shared_of_the_bundle.py",
    }
    assert files["good.py"]["dags"] == [{"dag": f"good_hello_{PYTHONS['b'].partition('.')[2]}", "tasks": 1}]
    assert files["good.py"]["errors"] == []
    assert {dag["dag"] for dag in files["archive.zip"]["dags"]} == {"first_of_archive", "second_of_archive"}
    assert "no_such_package_anywhere" in files["missing.py"]["errors"][0]["text"]
    assert "SIGKILL" in files["crash.py"]["errors"][0]["text"]
    assert "exit status 0" in files["leave.py"]["errors"][0]["text"]
    assert "database access" in files["orm.py"]["errors"][0]["text"]
    assert files["changing.py"]["warnings"]
    assert document["result"]["environment"] == "env_b"
    assert {problem["where"] for problem in document["problems"]} == {
        "missing.py",
        "crash.py",
        "leave.py",
        "orm.py",
    }
    assert "printed by the file" in run.stderr
    assert "and to standard error" in run.stderr


UNREADABLE = """
from airflow.sdk import DAG
from plugin_a import Weekly

one = DAG("unreadable", schedule=Weekly("@weekly", timezone="UTC"))
two = DAG("readable", schedule=None)
"""


def test_a_dag_that_the_components_can_not_read_is_an_import_error(
    estate: Deployment, tmp_path: Path
) -> None:
    """As it is in the Dag processor: its timetable is one of a package of its own environment."""
    (tmp_path / "weekly.py").write_text(UNREADABLE)
    run = estate.run("check", "--bundle", "bundle_a", str(tmp_path), "--json")
    file = by_file(run.json["result"])["weekly.py"]
    assert file["dags"] == [{"dag": "readable", "tasks": 0}]
    assert run.json["result"]["unread"] == ""
    (problem,) = run.json["problems"]
    assert (
        "The Dag 'unreadable' can't be read by Airflow's components: TimetableNotRegistered"
        in problem["what"]
    )
    assert "Add envman-e2e-a to the components' environment, too" in problem["remedy"]
    assert run.exit_code == 1


def test_where_the_components_are_not_built_it_says_that_it_did_not_look(
    estate: Deployment, tmp_path: Path
) -> None:
    (tmp_path / "weekly.py").write_text(UNREADABLE)
    link = estate.root / "core"
    hidden = link.rename(link.with_name("hidden"))
    try:
        run = estate.ok("check", "--bundle", "bundle_a", str(tmp_path))
    finally:
        hidden.rename(link)
    assert "whether Airflow's components can read the Dags was not looked at" in run.stderr
    assert "environment 'core'" in run.stderr


def test_one_file_in_another_environment(estate: Deployment, bundle: Path) -> None:
    run = estate.ok("check", "--bundle", "bundle_b", "--environment", "env_a", str(bundle / "good.py"))
    assert f"good_none_{PYTHONS['a'].partition('.')[2]}" in run.stdout
    assert f"1 files, 1 Dags, in env_a, CPython {PYTHONS['a']}" in run.stdout


def test_a_folder_without_a_dag_fails(estate: Deployment, tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text("# an airflow dag it is not\n")
    run = estate.run("check", "--bundle", "bundle_a", str(tmp_path))
    assert run.exit_code == 1
    assert "no file gives a Dag; 1 look as if they could" in run.stderr


def test_the_estates_own_bundles_parse_but_for_the_one_broken_file(estate: Deployment) -> None:
    for name, broken in (("bundle_a", []), ("bundle_b", []), ("bundle_c", ["broken.py"])):
        run = estate.run("check", "--bundle", name, str(estate.folder / "bundles" / name), "--json")
        assert [problem["where"] for problem in run.json["problems"]] == broken
        assert run.exit_code == (1 if broken else 0)
        assert run.json["ok"] is (not broken)


def test_a_suggestion_is_made_from_what_the_files_import(estate: Deployment, bundle: Path) -> None:
    """The same files as those that are checked."""
    (bundle / "grid.py").write_text("import envman_e2e_grid\nfrom airflow.sdk import DAG\n")
    run = estate.ok("preload", "env_b", "--suggest", "--path", str(bundle), "--json")
    found = {item["module"]: item["files"] for item in run.json["result"]["modules"]}
    assert found["envman_e2e_grid"] == 1
    looked_at = {*FILES, "archive.zip", "grid.py"}
    looked_at -= {"plain.py", "ignored.py", ".airflowignore", "shared_of_the_bundle.py"}
    assert run.json["result"]["files"] == len(looked_at)


POLICY = "def dag_policy(dag):\n    dag.tags.add('of the policy')\n    dag.description = 'seen'\n"
USES_ALL = """
import os
from airflow.sdk import DAG
from helper_of_all import NAME
from settings_of_all import OTHER

WAREHOUSE = os.environ.get("WAREHOUSE")
PASSED = os.environ["E2E_PASSED"]
dag = DAG(f"{NAME}_{OTHER}_{WAREHOUSE}_{PASSED}", schedule=None)
"""


def test_what_is_everybodys_is_there_as_in_the_dag_processor(estate: Deployment, tmp_path: Path) -> None:
    """Plugins folder, `config`, local settings, airflow.cfg; and no variable that a workload does not get."""
    home = tmp_path / "home"
    files = {
        "home/plugins/helper_of_all.py": "NAME = 'helped'\n",
        "home/plugins/broken.py": "import no_such_package_anywhere\n",
        "home/config/settings_of_all.py": "OTHER = 'configured'\n",
        "home/config/airflow_local_settings.py": POLICY,
        "home/airflow.cfg": "[core]\nmax_active_tasks_per_dag = 3\n",
        "dags/uses_all.py": USES_ALL,
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    before = sorted(home.rglob("*"))
    variables = {"AIRFLOW_HOME": str(home), "WAREHOUSE": "not handed on", "E2E_PASSED": "passed"}
    run = estate.ok("check", "--bundle", "bundle_a", str(tmp_path / "dags"), "--json", variables=variables)
    result = run.json["result"]
    assert by_file(result)["uses_all.py"]["dags"] == [{"dag": "helped_configured_None_passed", "tasks": 0}]
    assert {one["file"].rpartition("/")[2]: one["text"] for one in result["plugins"]} == {
        "broken.py": "No module named 'no_such_package_anywhere'"
    }
    assert result["variables"] == [{"variable": "WAREHOUSE", "file": "uses_all.py"}]
    assert [path for path in sorted(home.rglob("*")) if "__pycache__" not in str(path)] == before
    told = estate.ok("check", "--bundle", "bundle_a", str(tmp_path / "dags"), variables=variables).stderr
    assert "environment 'env_a': the plugin" in told
    assert "names the variable WAREHOUSE" in told


HANG = """
import os, time
from pathlib import Path
from airflow.sdk import DAG

if os.fork() == 0:
    Path(__file__).with_name("child").write_text(str(os.getpid()))
    time.sleep(300)
Path(__file__).with_name("hangs").touch()
while True:
    try:
        time.sleep(300)
    except BaseException:
        pass
"""


def test_a_file_that_hangs_is_killed_with_what_it_started(estate: Deployment, tmp_path: Path) -> None:
    (tmp_path / "hang.py").write_text(HANG)
    (tmp_path / "slow.py").write_text("import time\nfrom airflow.sdk import DAG\ntime.sleep(300)\n")
    run = estate.run("check", "--bundle", "bundle_c", "--timeout", "1", str(tmp_path), "--json")
    files = by_file(run.json["result"])
    assert "took too long" in files["hang.py"]["errors"][0]["text"]
    assert "timeout" in files["slow.py"]["errors"][0]["text"]
    has_ended(int((tmp_path / "child").read_text()))


def test_an_interrupted_check_leaves_nothing_behind(estate: Deployment, tmp_path: Path) -> None:
    (tmp_path / "hang.py").write_text(HANG)
    process = estate.start("check", "--bundle", "bundle_c", str(tmp_path))
    until((tmp_path / "hangs").exists, "the file is not parsed")
    until(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text(), "it has no child")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=180)
    assert process.returncode == 128 + signal.SIGTERM
    has_ended(int((tmp_path / "child").read_text()))


def has_ended(process: int) -> None:
    """A process has ended, or does at once; whoever is above it may not have taken notice yet."""

    def is_gone() -> bool:
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        return state == "Z"

    until(is_gone, f"process {process} lives")


COMPARED = """
import sys, time
from airflow.sdk import DAG
with DAG("same", tags=["tag"]):
    pass
with DAG("restless", tags=[str(time.time_ns())]):
    pass
with DAG("other", tags=[str(sys.version_info[1])]):
    pass
if sys.version_info[1] == {old}:
    with DAG("left"):
        pass
"""


def test_dags_are_compared_in_the_old_and_the_new_generation(estate: Deployment, tmp_path: Path) -> None:
    """Of a project whose environment had the lock of env_a before, and has that of env_b now; both are built."""
    project = Deployment(tmp_path / "project", estate.environment)
    old = PYTHONS["a"].partition(".")[2]
    project.write("dags/one.py", COMPARED.replace("{old}", old))
    project.write(
        "envman.toml",
        (
            f'root = "{estate.root}"\nairflow-version = "{AIRFLOW}"\n'
            '[bundles]\nbundle_b = { environment = "env_b", path = "dags" }\n'
        ),
    )
    project.spec("env_b", [])
    for name in ("env_a", "env_b"):
        project.write("environments/env_b.lock", (estate.folder / f"environments/{name}.lock").read_text())
        for words in (("init", "-q", "-b", "main"), ("add", "-A"), (*AUTHOR, "commit", "-qm", name)):
            subprocess.run(["git", *words], cwd=project.folder, check=True, timeout=60)
    found = project.ok("diff", "--git", "HEAD^", "--dags", "--offline", "--json").json["result"]["dags"]
    assert found["notes"] == ["bundle_b: differ from parse to parse, and were not compared: restless"]
    assert [(one["dag"], one["what"]) for one in found["differences"]] == [
        ("left", "is gone"),
        ("other", "differs: tags[0]"),
    ]
    assert (found["bundles"], found["dags"]) == (["bundle_b"], 4)


AUTHOR = ("-c", "user.name=n", "-c", "user.email=n@example.org")
