"""`envman adopt prove`: planted differences of each kind are found and explained, and equal files are equal.

The live interpreter is the one of env_c, where bundle_c is, too; bundle_a has another Python and other packages.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import LOCAL_BUNDLE, PYTHONS, Estate
from tests.e2e.test_check import HANG, has_ended
from tests.waiting import until

pytestmark = pytest.mark.registry

SECRET = "s3cr3t-of-the-sh3ll"
VARIABLE = "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"
DAG = "from airflow.sdk import DAG, task\n"
FILES = {
    "common/__init__.py": "NAME = 'common'\n",
    ".airflowignore": "a/ignored.py\n",
    "left_out.py": f"{DAG}dag = DAG('left_out')\n",
    "c/equal.py": f"{DAG}dag = DAG('equal', tags=set('abcdef'), schedule='@daily')\n",
    "c/place.py": f"{DAG}import sys\ndag = DAG('place', description=sys.prefix)\n",
    "c/leaves.py": f"{DAG}import os\nprint('printed')\nos._exit(0)\n",
    "c/kills.py": f"{DAG}import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\n",
    "c/hang.py": HANG,
    "a/equal.py": f"{DAG}dag = DAG('equal', tags=set('abcdef'), schedule='@daily')\n",
    "a/itself.py": DAG
    + "import time\ndag = DAG(f'itself_{time.time()}')\nd = DAG('t', description=str(time.time()))\n",
    "a/place.py": f"{DAG}import sys\ndag = DAG('place', description=sys.prefix)\n",
    "a/variable.py": f"{DAG}import os\ndag = DAG('variable', description=os.environ.get('WAREHOUSE', 'none'))\n",
    "a/home.py": (
        f"{DAG}import os\ndag = DAG('home', description=open(os.environ['AIRFLOW_HOME'] + '/a.sql').read())\n"
    ),
    "a/version.py": (
        f"{DAG}import warnings, envman_e2e_grid as grid\n"
        "@task\ndef one(): pass\n"
        "with DAG('version'):\n"
        "    for number in range(int(grid.__version__[0])):\n"
        "        one.override(task_id=f't{number}')()\n"
        "if grid.__version__ == '3.0':\n    warnings.warn('grid is old')\n"
    ),
    "a/module.py": f"{DAG}import plugin_c\ndag = DAG('module')\n",
    "a/shared.py": f"{DAG}from common import NAME\ndag = DAG(NAME)\n",
    "a/missing.py": f"{DAG}import sys\nopen(sys.prefix + '/bin/python{PYTHONS['c']}').close()\ndag = DAG('missing')\n",
    "a/ignored.py": f"{DAG}dag = DAG('ignored')\n",
    "a/needless.py": f"{DAG}\nwith DAG('needless'):\n    @task.virtualenv(requirements=['six'])\n    def f(): pass\n    f()\n",
}


@pytest.fixture
def live(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        file = tmp_path / "live" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (tmp_path / "home").mkdir()
    (tmp_path / "home/a.sql").write_text("select 1")
    (tmp_path / "home/airflow.cfg").write_text(
        "[database]\nsql_alchemy_conn = postgresql://nobody@127.0.0.1:1/live\n"
    )
    return tmp_path / "live"


def variables(live: Path, bundle: str, folder: str = "") -> dict[str, str]:
    kwargs = {"path": str(live / (folder or bundle))}
    entry = {"name": f"bundle_{bundle}", "classpath": LOCAL_BUNDLE, "kwargs": kwargs}
    return {VARIABLE: json.dumps([entry]), "AIRFLOW_HOME": str(live.with_name("home")), "WAREHOUSE": SECRET}


@pytest.fixture
def sharing(estate: Estate) -> Iterator[None]:
    """While a test runs, bundle_a has the folder `common` beside its own."""
    file = estate.folder / "envman.toml"
    text = file.read_text()
    file.write_text(
        text.replace('{ environment = "env_a" }', '{ environment = "env_a", shared = ["../common"] }')
    )
    estate.ok("publish")
    yield
    file.write_text(text)
    estate.ok("publish")


@pytest.mark.usefixtures("sharing")
def test_shared_folders_count_in_the_environment(estate: Estate, live: Path) -> None:
    (live / "d").mkdir()
    (live / "d/shared.py").write_text(FILES["a/shared.py"])
    words = ["--airflow", str(estate.python("env_c")), "--dags", str(live), "--bundle", "bundle_a", "--json"]
    run = estate.run("adopt", "prove", *words, variables=variables(live, "a", "d"))
    (file,) = run.json["result"]["bundles"][0]["files"]
    assert (file["file"], file["dags"], file["verdict"]) == ("shared.py", ["common"], "equal"), run.stdout


def reasons(file: dict[str, Any]) -> set[str]:
    return {file["verdict"], *(one["reason"] for one in file["differences"])}


def test_planted_differences_are_found_and_equal_files_are_equal(estate: Estate, live: Path) -> None:
    report, again = live.with_name("proof.html"), live.with_name("proof.json")
    words = ["--airflow", str(estate.python("env_c")), "--dags", str(live), "--json"]
    words += ["--report", str(report), "--report", str(again)]
    before = sorted(live.with_name("home").rglob("*"))
    run = estate.run("adopt", "prove", *words, variables=variables(live, "a"))
    assert run.exit_code == 1, run.stderr
    result = run.json["result"]
    files = {file["file"]: file for bundle in result["bundles"] for file in bundle["files"]}
    assert {name: reasons(file) for name, file in files.items()} == {
        "equal.py": {"equal"},
        "home.py": {"equal"},
        "ignored.py": {"differs", "listing"},
        "itself.py": {"harmless", "itself"},
        "missing.py": {"differs", "missing file", "error"},
        "module.py": {"differs", "module", "error"},
        "needless.py": {"equal"},
        "place.py": {"harmless", "path"},
        "shared.py": {"differs", "module", "error"},
        "variable.py": {"differs", "variable"},
        "version.py": {"differs", "package"},
    }
    kinds = {one["kind"] for one in files["version.py"]["differences"]}
    assert kinds == {"serialized Dag", "Python warning"}
    assert all("envman-e2e-grid 2.0 -> 3.0" in one["why"] for one in files["version.py"]["differences"])
    remedies = {problem["where"]: problem["remedy"] for problem in run.json["problems"]}
    assert "envman add env_a 'envman-e2e-c==1.0'" in remedies["bundle_a: module.py"]
    assert 'pass = ["WAREHOUSE"]' in remedies["bundle_a: variable.py"]
    assert str(live / "common/__init__.py") in files["shared.py"]["differences"][0]["why"]
    assert result["left_out"] == [
        str(file) for file in sorted([*(live / "c").glob("*.py"), live / "left_out.py"])
    ]
    assert result["skipped"] == ["bundle_b", "bundle_c"]
    (use,) = result["bundles"][0]["needless"]
    assert (use["file"], use["line"], use["name"], use["asks"]) == (
        "needless.py",
        4,
        "@task.virtualenv",
        ["six"],
    )
    assert json.loads(again.read_text()) == run.json
    for text in (run.stdout, report.read_text()):
        assert SECRET not in text
        assert "${WAREHOUSE}" in text
    assert sorted(live.with_name("home").rglob("*")) == before


def test_all_is_as_before_where_nothing_differs_also_files_that_misbehave(estate: Estate, live: Path) -> None:
    words = ["--airflow", str(estate.root / "env_c"), "--bundle", "bundle_c", "--timeout", "5"]
    run = estate.ok("adopt", "prove", *words, variables=variables(live, "c"))
    assert (
        "5 files: 4 equal, 1 harmless, 0 that differ, 3 with the same import error on both sides"
        in run.stdout
    )
    assert "printed" in run.stderr
    has_ended(int((live / "c/child").read_text()))


def test_an_interrupted_proof_leaves_nothing_behind(
    estate: Estate, live: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables(live, "c").items():
        monkeypatch.setitem(estate.environment, name, value)
    words = ["adopt", "prove", "--airflow", str(estate.root / "env_c"), "--bundle", "bundle_c"]
    for file in (live / "c").iterdir():
        if file.name != "hang.py":
            file.unlink()
    process = estate.start(*words)
    child = live / "c/child"
    until(lambda: child.exists() and child.read_text(), "no file is parsed")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=180)
    assert process.returncode == 128 + signal.SIGINT
    has_ended(int(child.read_text()))
