"""`envman preload`, and what a build and the doctor say of what is preloaded; with a stand-in for Airflow."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from envman.inside import shared_modules
from tests.conftest import Deployment
from tests.wheels import make_wheel

VARIABLE = "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"
LOCAL = "airflow.dag_processing.bundles.local.LocalDagBundle"
FILES = """\
from pathlib import Path


def list_py_file_paths(folder):
    return [str(file) for file in Path(folder).rglob("*.py") if b"airflow" in file.read_bytes()]
"""
AIRFLOW = {
    **dict.fromkeys(shared_modules.AIRFLOW, ""),
    "airflow.utils.file": FILES,
    "airflow.dag_processing.bundles.local": "class LocalDagBundle:\n    pass\n",
    "airflow.sdk": "def DAG(name):\n    raise RuntimeError('a Dag was run')\n",
    "airflow.providers.slow": "import time\ntime.sleep(0.03)\n",
}
SLEEP = "import time\ntime.sleep(0.05)\n"
WHEELS = {
    "quick": {"quick/__init__.py": "print('printed by quick')\n"},
    "slow": {"slow/__init__.py": SLEEP + "data = bytes(range(256)) * 80_000\n"},
    "slower": {"slower/__init__.py": SLEEP + "import slow\nfrom slower import part\n", "slower/part.py": ""},
    "spread": {"spread/shop/__init__.py": SLEEP, "spread/shop/till.py": SLEEP},
    "threaded": {
        "threaded/__init__.py": SLEEP
        + "import threading\nthreading.Thread(target=time.sleep, args=(60,), daemon=True, name='mine').start()\n"
    },
    "leaving": {"leaving/__init__.py": "import os\nos._exit(0)\n"},
    "absent-minded": {"absent_minded/__init__.py": "import nothing_that_is_there\n"},
}
BUNDLE = {
    "first.py": (
        "from __future__ import annotations\n"
        "import os.path, slower, json\n"
        "from airflow.sdk import DAG\n"
        "from own import helper\n"
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import absent_minded\n"
        "def later():\n    import absent_minded\n"
        "DAG('never run')\n"
    ),
    "deeper/second.py": (
        "# airflow\nfrom slower import part, nothing\nfrom .. import own\nfrom .beside import VALUE\n"
        "from spread.shop import till\nimport airflow.providers.slow\n"
    ),
    "deeper/beside.py": "import leaving\n",
    "own/__init__.py": "",
    "own/helper.py": "try:\n    import threaded\nexcept ImportError:\n    pass\nimport quick, slow\n",
    "wrong.py": "# airflow\ndef (\n",
    "no_dag.py": "import absent_minded\n",
}


def modules(names: dict[str, str], top: str) -> dict[str, str]:
    """The files of modules and of the packages that they are in."""
    files: dict[str, str] = {}
    for name in names:
        parts = name.split(".")
        for end in range(1, len(parts)):
            files.setdefault("/".join(parts[:end]) + "/__init__.py", "")
    for name, text in names.items():
        path = name.replace(".", "/")
        files[f"{path}/__init__.py" if f"{path}/__init__.py" in files else f"{path}.py"] = text
    assert f"{top}/__init__.py" in files
    return files


@pytest.fixture(scope="module")
def built_once(tmp_path_factory: pytest.TempPathFactory, clean_environment: dict[str, str]) -> Deployment:
    """env_a with a stand-in for Airflow, and a bundle of it."""
    deployment = Deployment(tmp_path_factory.mktemp("preload") / "project", dict(clean_environment))
    folder = deployment.folder / "wheels"
    make_wheel(folder, "apache-airflow-core", "3.3.2", files=modules(AIRFLOW, "airflow"))
    for name, files in WHEELS.items():
        make_wheel(folder, name, "1.0", files=files)
    deployment.write("uv.toml", 'no-index = true\nfind-links = ["wheels"]\n')
    deployment.write("envman.toml", 'root = "venv"\n[bundles]\nbundle_a = { environment = "env_a" }\n')
    for name, text in BUNDLE.items():
        deployment.write(f"dags/{name}", text)
    bundles = [
        {"name": "bundle_a", "classpath": LOCAL, "kwargs": {"path": str(deployment.folder / "dags")}},
        {"name": "unknown", "classpath": LOCAL, "kwargs": {"path": "/nowhere"}},
    ]
    deployment.environment[VARIABLE] = json.dumps(bundles)
    deployment.spec("env_a", ["apache-airflow-core", *WHEELS])
    deployment.ok("lock")
    deployment.ok("build")
    return deployment


@pytest.fixture
def built(built_once: Deployment) -> Deployment:
    """The same, with nothing preloaded."""
    preloading(built_once)
    return built_once


def preloading(deployment: Deployment, *names: str, more: str = "") -> None:
    """Publish that modules are preloaded; it needs no build."""
    deployment.spec("env_a", ["apache-airflow-core", *WHEELS], f"preload = {json.dumps(names)}\n{more}")
    deployment.ok("publish")


def test_what_files_import_is_measured_and_what_is_worth_it_suggested(built: Deployment) -> None:
    run = built.ok("preload", "env_a", "--suggest", "--json")
    result = run.json["result"]
    found = {one["module"]: one for one in result["modules"]}
    assert {name: one["files"] for name, one in found.items()} == {
        "slower": 2,
        "slow": 1,
        "spread.shop.till": 1,
        "threaded": 1,
        "quick": 1,
        "leaving": 1,
        "airflow.providers.slow": 1,
    }
    assert found["slower"]["seconds"] >= 0.1
    assert found["slow"]["memory"] > 19_000_000
    assert found["slower"]["brings"] == ["slow"]
    assert found["quick"]["seconds"] < found["slow"]["seconds"]
    assert "starts a thread (mine)" in found["threaded"]["problem"]
    assert "ends the interpreter with exit status 0" in found["leaving"]["problem"]
    assert result["suggestion"] == ["slower", "spread.shop.till", "airflow.providers.slow"]
    assert result["folders"] == [str(built.folder / "dags")]
    assert (result["files"], result["preload"], result["airflow"]) == (3, [], "3.3.2")
    assert [one["file"] for one in result["skipped"]] == ["wrong.py"]
    assert "printed by quick" in run.stderr


def test_the_table_is_ranked_and_ends_with_a_line_for_the_spec(built: Deployment) -> None:
    preloading(built, "quick")
    run = built.ok("preload", "env_a", "--suggest")
    lines = run.stdout.splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["module", "slower"]
    assert lines[1].endswith("suggested")
    (quick,) = (line for line in lines if line.startswith("quick "))
    assert quick.endswith("preloaded")
    (slow,) = (line for line in lines if line.startswith("slow "))
    assert slow.endswith("comes with slower")
    assert lines[-1] == 'preload = ["slower", "spread.shop.till", "airflow.providers.slow", "quick"]'
    assert "wrong.py: can't be read: SyntaxError" in run.stderr


def test_other_folders_are_looked_at_too(built: Deployment, tmp_path: Path) -> None:
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout/one.py").write_text("import slow, airflow\n")
    variables = {VARIABLE: json.dumps([{"name": "bundle_a", "classpath": "module.Git", "kwargs": {}}])}
    refused = built.run("preload", "env_a", "--suggest", variables=variables)
    assert refused.exit_code == 2
    assert "--path" in refused.stderr
    path = str(tmp_path / "checkout")
    run = built.ok("preload", "env_a", "--suggest", "--path", path, variables=variables)
    assert run.stdout.splitlines()[-1] == 'preload = ["slow"]'
    assert "the bundle 'bundle_a' is no local folder" in run.stderr
    assert built.run("preload", "env_a", "--path", path).exit_code == 2
    assert built.run("preload", "env_a", "--suggest", "--path", "nowhere").exit_code == 2


def test_what_is_preloaded_is_shown_with_what_it_costs(built: Deployment) -> None:
    assert "nothing is preloaded besides" in built.ok("preload", "env_a").stdout
    preloading(built, "slow", "quick", more="warm = false\n")
    run = built.ok("preload", "env_a")
    header, slow, quick, sentence = run.stdout.splitlines()
    assert header.split() == ["module", "import", "memory"]
    assert [slow.split()[0], quick.split()[0]] == ["slow", "quick"]
    assert slow.endswith("ok")
    assert "2 modules are preloaded" in sentence
    assert "warm = false" in run.stderr


def test_what_cannot_be_preloaded_is_an_error_here_and_the_doctors(built: Deployment) -> None:
    preloading(built, "threaded", "slow", "not_installed")
    run = built.run("preload", "env_a", "--json")
    assert run.exit_code == 1
    assert run.json["ok"] is False
    problems = " ".join(problem["what"] for problem in run.json["problems"])
    assert "threaded: starts a thread (mine)" in problems
    assert "not_installed: can't be imported: ModuleNotFoundError" in problems
    assert "slow" not in problems
    assert all(one["files"] is None for one in run.json["result"]["modules"])
    findings = built.run("doctor", "--json").json["result"]["findings"]
    found = [
        (item["level"], item["where"], item["what"].split()[0])
        for item in findings
        if item["check"] == "preload"
    ]
    assert found == [
        ("error", "environment 'env_a'", "threaded,"),
        ("error", "environment 'env_a'", "not_installed,"),
    ]


def test_a_build_fails_where_what_is_to_be_preloaded_does_not_import(built: Deployment) -> None:
    before = built.generations()
    built.spec("env_a", ["apache-airflow-core", "slow"], 'preload = ["slow", "absent"]\n')
    built.ok("lock")
    result = built.run("build")
    assert result.exit_code == 6
    assert "preload: absent: ModuleNotFoundError" in result.stderr
    assert "take the module out of preload" in result.stderr
    assert built.generations() == before


def test_an_environment_without_airflow_or_that_is_not_built_is_an_error(two_teams: Deployment) -> None:
    assert two_teams.run("preload", "env_x").exit_code == 7
    result = two_teams.run("preload", "env_a")
    assert result.exit_code == 1
    assert "airflow" in result.stderr


@pytest.mark.parametrize("command", ["preload", "top"])
def test_help_teaches_by_example(deployment: Deployment, command: str) -> None:
    assert f"envman {command}" in deployment.ok(command, "--help").stdout.partition("Examples:")[2]
