"""`envman check`: what the Dag processor would learn from a bundle, without a deployment."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Deployment

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
    assert set(files) == set(FILES) - {"plain.py", "ignored.py", ".airflowignore", "shared_of_the_bundle.py"}
    assert files["good.py"]["dags"] == [{"dag": "good_hello_10", "tasks": 1}]
    assert files["good.py"]["errors"] == []
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


def test_one_file_in_another_environment(estate: Deployment, bundle: Path) -> None:
    run = estate.ok("check", "--bundle", "bundle_b", "--environment", "env_a", str(bundle / "good.py"))
    assert "good_none_13" in run.stdout
    assert "1 files, 1 Dags, in env_a, CPython 3.13" in run.stdout


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


HANG = """
import os, time
from pathlib import Path
from airflow.sdk import DAG

if os.fork() == 0:
    Path(__file__).with_name("child").write_text(str(os.getpid()))
    time.sleep(300)
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
    child = int((tmp_path / "child").read_text())
    assert not lives(child)


def test_an_interrupted_check_leaves_nothing_behind(estate: Deployment, tmp_path: Path) -> None:
    (tmp_path / "hang.py").write_text(HANG)
    process = estate.start("check", "--bundle", "bundle_c", str(tmp_path))
    until = time.monotonic() + 60
    while not (tmp_path / "child").exists() and time.monotonic() < until:
        time.sleep(0.1)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert not lives(int((tmp_path / "child").read_text()))


def lives(process: int) -> bool:
    until = time.monotonic() + 5
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return False
        if state == "Z":
            return False
        time.sleep(0.1)
    return True
