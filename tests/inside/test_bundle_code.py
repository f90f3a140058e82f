"""A bundle's shared folders, as processes in a team's interpreter find them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from envman.inside.bundle_code import taken_from
from envman.inside.protocol import MODULE_WITH_SHARED, RUN

ASK = """
import importlib, json, runpy, sys
code = runpy.run_path(sys.argv[1])["load"]("bundle_code")
request = json.loads(sys.argv[2])
sys.path += request.get("installed", [])
hidden = code.hidden(request["shared"])
code.share(request["shared"])
sys.path.append(request["bundle"])
found = {}
for name in request["imports"]:
    try:
        found[name] = getattr(importlib.import_module(name), "WHO", "")
    except ImportError as error:
        found[name] = "ImportError"
print(json.dumps([found, hidden, [one for one in sys.path if "common" in one]]))
"""


def ask(**request: Any) -> tuple[dict[str, str], dict[str, str], list[str]]:
    words = [sys.executable, "-I", "-c", ASK, RUN, json.dumps(request)]
    finished = subprocess.run(words, capture_output=True, text=True, check=True)
    found, hidden, path = json.loads(finished.stdout)
    return found, hidden, path


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One checkout with two bundles, what they share, and what one of them has for itself."""
    for path, who in {
        "common/who.py": "everybody's",
        "common/deep/er.py": "deeper",
        "of_b/common/__init__.py": "b's",
        "of_b/common/who.py": "b's who",
        "helpers/__init__.py": "helpers",
        "dags_b/helpers/__init__.py": "b's own helpers",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(f"WHO = {who!r}\n")
    (tmp_path / "dags_a").mkdir()
    return tmp_path


def test_a_folder_beside_the_bundle_is_found_by_its_name_and_nothing_beside_it(repository: Path) -> None:
    asked = ["common.who", "common.deep.er", "helpers", "dags_b", "of_b"]
    found, hidden, path = ask(shared=["../common"], bundle=f"{repository}/dags_a", imports=asked)
    assert found == {
        "common.who": "everybody's",
        "common.deep.er": "deeper",
        **dict.fromkeys(["helpers", "dags_b", "of_b"], "ImportError"),
    }
    assert (hidden, path) == ({}, [])


def test_each_bundle_gets_its_own_of_that_name(repository: Path) -> None:
    asked = ["common", "common.who"]
    found, _, _ = ask(shared=["../of_b/common"], bundle=f"{repository}/dags_b", imports=asked)
    assert found == {"common": "b's", "common.who": "b's who"}
    found, _, _ = ask(shared=[], bundle=f"{repository}/dags_a", imports=asked)
    assert set(found.values()) == {"ImportError"}


def test_it_is_that_of_the_bundles_version(repository: Path, tmp_path: Path) -> None:
    version = tmp_path / "versions" / "2" / "dags_a"
    version.mkdir(parents=True)
    (version.parent / "common").mkdir()
    (version.parent / "common/who.py").write_text("WHO = 'version 2'\n")
    (tmp_path / "current").symlink_to(version)
    for bundle in (version, tmp_path / "current"):
        found, _, _ = ask(shared=["../common"], bundle=str(bundle), imports=["common.who"])
        assert found == {"common.who": "version 2"}


def test_what_is_installed_and_what_is_the_bundles_own_comes_first_and_is_told(repository: Path) -> None:
    installed = repository / "site"
    (installed / "common").mkdir(parents=True)
    (installed / "common/__init__.py").write_text("WHO = 'installed'\n")
    found, hidden, _ = ask(
        shared=["../common", "../helpers", "../json"],
        installed=[str(installed)],
        bundle=f"{repository}/dags_b",
        imports=["common", "helpers"],
    )
    assert found == {"common": "installed", "helpers": "b's own helpers"}
    assert set(hidden) == {"../common", "../json"}
    assert hidden["../common"] == f"{installed}/common/__init__.py"


def test_the_words_of_a_child_are_told_apart() -> None:
    words = ["--shared=../common", "--shared=x y/z", "dag-processor", "--shared=no"]
    assert taken_from(words) == (["../common", "x y/z"], ["dag-processor", "--shared=no"])
    assert taken_from(["triggerer"]) == ([], ["triggerer"])


def test_a_module_is_run_with_them_as_python_would_run_it(repository: Path, tmp_path: Path) -> None:
    program = "import json, sys\nsys.path.append(sys.argv[1])\nimport common.who\n"
    program += "print(json.dumps([common.who.WHO, sys.argv, __name__, sys.path[0]]))\n"
    (tmp_path / "work").mkdir()
    # as Airflow does, which puts folders of its own onto the path
    airflow = "import sys\nsys.path.append('home/config')\n"
    for path, text in {
        "home/config/x": "",
        "home/common/who.py": "WHO = 'no'\n",
        "near/__init__.py": airflow,
    }.items():
        (tmp_path / "work" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "work" / path).write_text(text)
    (tmp_path / "work/near/program.py").write_text(program)
    words = [sys.executable, RUN, MODULE_WITH_SHARED, "--shared=../common", "near.program"]
    words.append(f"{repository}/dags_a")
    plain = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    finished = subprocess.run(
        words, cwd=tmp_path / "work", env=plain, capture_output=True, text=True, check=True
    )
    who, arguments, name, first = json.loads(finished.stdout)
    assert (who, name, first) == ("everybody's", "__main__", str(tmp_path / "work"))
    assert arguments == [str(tmp_path / "work/near/program.py"), f"{repository}/dags_a"]
