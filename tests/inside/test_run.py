"""How what runs in a team's interpreter is started there, on each Python that may have it."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.version import Version

from envman.build.interpreters import discover
from envman.inside.protocol import IMPORT_CHECK, RUN, SCRIPTS
from envman.store.manifest import BaseInterpreter
from tests.interpreters import MINORS, interpreter
from tests.stand_in import write_modules

FLOOR = (3, 8)
FILES = sorted(Path(SCRIPTS).glob("*.py"))
OLDEST = {"python_facts": (3, 7)}
"""It is for 3.4 and newer; this is the oldest grammar that Python still knows."""

WITHOUT_AIRFLOW = {"protocol", "reports", "answer", "import_check", "probe", "python_tags"}
"""What runs in environments without Airflow, too: Airflow itself is for 3.9 and newer."""

LOAD = """
import runpy, sys
load = runpy.run_path(sys.argv[1])["load"]
for name in sys.argv[2:]:
    assert load(name).__name__ == "envman.inside." + name
"""

LOOKS = """
import json, sys
import envman
found = {
    "envman": envman.__file__,
    "loaded": sorted(name for name in sys.modules if name.split(".")[0] == "envman"),
    "finders": [str(one) for one in sys.meta_path if getattr(one, "__name__", "") == "Beside"],
    "known": [path for path in sys.path_importer_cache if path.endswith("envman/inside")],
    "path": [path for path in sys.path if path.endswith("envman/inside")],
    "same": envman is getattr(sys, "early", envman),
}
print(json.dumps(found))
"""
EARLY = "import sys, envman\nsys.early = envman\n"
HOOK = """
import sys
from importlib.machinery import ModuleSpec

class Hook:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.startswith("envman.inside"):
            raise ImportError("a team's own hook was asked for " + name)

sys.meta_path.insert(0, Hook)
"""
SPAWNS = """
import multiprocessing
from double import double
if multiprocessing.parent_process() is None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map(double, [1, 2]))
"""


def pythons() -> list[str]:
    """Every interpreter at hand that a team may have: 3.8 and newer."""
    return list(
        dict.fromkeys(
            [*map(interpreter, MINORS), *(one.executable for one in discover(None, os.environ).found)]
        )
    )


def checked(python: str, folder: Path, *modules: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The import check of modules that stand in a folder."""
    return subprocess.run(
        [python, RUN, IMPORT_CHECK, *modules],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(folder),
            "PYTHONDONTWRITEBYTECODE": "1",
            **variables,
        },
        cwd=folder.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_file_is_python_of_the_oldest_version(file: Path) -> None:
    ast.parse(file.read_text(encoding="utf-8"), feature_version=OLDEST.get(file.stem, FLOOR))


def test_every_module_can_be_imported_by_every_python() -> None:
    for one in discover(None, os.environ).found:
        names = {file.stem for file in FILES} - {"__init__", "run"}
        names &= names if Version(one.version) >= Version("3.9") else WITHOUT_AIRFLOW
        words = [one.executable, "-I", "-S", "-B", "-W", "error", "-c", LOAD, RUN, *sorted(names)]
        finished = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
        assert (finished.returncode, finished.stderr) == (0, ""), one.version


def test_what_cannot_be_imported_is_named_on_every_python(tmp_path: Path) -> None:
    write_modules(tmp_path, {"fine.one": "", "broken": "raise RuntimeError('no key')", "left": "exit(0)"})
    for python in pythons():
        finished = checked(python, tmp_path, "fine.one")
        assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")
        finished = checked(python, tmp_path, "json", "broken", "left", "gone.module")
        assert finished.returncode == 1
        assert finished.stderr.splitlines() == [
            "broken: RuntimeError: no key",
            "left: SystemExit: 0",
            "gone.module: ModuleNotFoundError: No module named 'gone'",
        ]


@pytest.mark.parametrize("early", ["", EARLY, HOOK], ids=["late", "imported before", "import hook"])
def test_a_teams_own_package_of_that_name_is_the_teams(tmp_path: Path, early: str) -> None:
    write_modules(tmp_path, {"envman.own": "", "looks": LOOKS, "sitecustomize": early})
    for python in map(interpreter, MINORS):
        finished = checked(python, tmp_path, "looks")
        assert (finished.returncode, finished.stderr) == (0, "")
        assert json.loads(finished.stdout) == {
            "envman": str(tmp_path / "envman/__init__.py"),
            "loaded": ["envman"],
            "finders": [],
            "known": [],
            "path": [],
            "same": True,
        }


@pytest.mark.parametrize("variables", [{}, {"PYTHONSAFEPATH": "1"}])
def test_nothing_of_envman_can_be_imported(tmp_path: Path, variables: dict[str, str]) -> None:
    names = ["envman", *(file.stem for file in FILES if file.stem != "__init__")]
    for python in map(interpreter, MINORS):
        finished = checked(python, tmp_path, *names, **variables)
        assert finished.stderr.splitlines() == [
            f"{name}: ModuleNotFoundError: No module named '{name}'" for name in names
        ]


def test_processes_can_be_spawned(tmp_path: Path) -> None:
    """Those import the main script anew, which runs nothing then."""
    write_modules(tmp_path, {"spawns": SPAWNS, "double": "def double(number): return 2 * number"})
    for python in map(interpreter, MINORS):
        assert checked(python, tmp_path, "spawns").stdout == "[2, 4]\n"


def test_bytecode_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    """A script is there before its file system is writable, or never is."""
    write_modules(tmp_path / "modules", {"fine": ""})
    copy = tmp_path / "inside"
    copy.mkdir()
    (copy / "__pycache__").touch()  # in the way of the folder, even for root
    for file in FILES:
        (copy / file.name).write_bytes(file.read_bytes())
    finished = subprocess.run(
        [sys.executable, f"{copy}/run.py", IMPORT_CHECK, "fine"],
        env={"PYTHONPATH": str(tmp_path / "modules")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (finished.returncode, finished.stderr) == (0, "")


def test_what_a_python_says_of_itself_is_what_was_discovered() -> None:
    for one in discover(None, os.environ).found:
        facts = subprocess.check_output(
            [one.executable, "-I", "-S", f"{SCRIPTS}/python_facts.py"], timeout=60
        )
        assert BaseInterpreter(**json.loads(facts)) == one
