"""What the component's interpreter can import of envman: the package alone, without its neighbours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import envman
from envman.airflow.start import OPEN_START
from tests.airflow.published import Published
from tests.rights import give_up_rights
from tests.stand_in import write_modules

HOUSE = Path(envman.__file__).parent
TELL = """
import importlib.util, json, sys
def is_there(name):
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
names = sys.argv[1].split(",")
print(json.dumps({"found": [name for name in names if is_there(name)], "path": sys.path}))
"""
NEIGHBOURS = "typer,rich,pydantic,uv,tests,docs,worker,capacity,start"


def told(*command: str, **variables: str) -> dict[str, Any]:
    finished = subprocess.run(
        [sys.executable, *command],
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    answer: dict[str, Any] = json.loads(finished.stdout)
    return answer


def by_path(names: str) -> str:
    """Code that loads component.py as a module by its path, as the scheduler's policies do."""
    script = str(HOUSE / "airflow/component.py")
    return (
        "import importlib.util\n"
        f"spec = importlib.util.spec_from_file_location('component', {script!r})\n"
        "component = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(component)\n"
        f"component.make_envman_importable()\n{TELL.replace('sys.argv[1]', repr(names))}"
    )


def test_a_bare_interpreter_knows_no_envman() -> None:
    assert told("-I", "-S", "-c", TELL, "envman,envman.errors")["found"] == []


@pytest.mark.parametrize(
    "name", ["envman", "envman.errors", "envman.launch.container_entrypoint", "envman.airflow.capacity"]
)
def test_the_package_becomes_importable(name: str) -> None:
    assert told("-I", "-S", "-c", by_path(name))["found"] == [name]


def test_nothing_of_what_is_installed_beside_it_does() -> None:
    answer = told("-I", "-S", "-c", by_path(NEIGHBOURS))
    assert answer["found"] == []
    assert not any(Path(entry).is_relative_to(HOUSE.parent) for entry in answer["path"] if entry)


@pytest.mark.parametrize("variables", [{}, {"PYTHONSAFEPATH": "1"}])
def test_its_own_folder_leaves_the_path(tmp_path: Path, variables: dict[str, str]) -> None:
    """Otherwise `import worker` would find envman's module in Airflow's process."""
    script = tmp_path / "envman/airflow/component.py"
    script.parent.mkdir(parents=True)
    (tmp_path / "envman/__init__.py").touch()
    (tmp_path / "envman/airflow/__init__.py").touch()
    for name in ("worker", "capacity"):
        (script.parent / f"{name}.py").touch()
    source = (HOUSE / "airflow/component.py").read_text(encoding="utf-8")
    before, mark, _ = source.partition("    from envman.launch.closed_process import close_process")
    assert mark
    script.write_text(before + "\n".join(f"    {line}" for line in TELL.splitlines()), encoding="utf-8")
    answer = told("-S", str(script), f"envman,{NEIGHBOURS}", **variables)
    assert answer["found"] == ["envman"]
    assert answer["path"]
    assert not any(entry.startswith(str(tmp_path)) for entry in answer["path"])


def component(start: str) -> subprocess.CompletedProcess[str]:
    """A component with no Airflow and no rights, which code starts from a closed process."""
    begin = f"""
import os, sys
sys.path.insert(0, {str(HOUSE.parent)!r})
from envman.launch.closed_process import close_process, execute_closed
close_process()
"""
    words = ["-I", "-S", str(HOUSE / "airflow/component.py"), "dag-processor"]
    return subprocess.run(
        [sys.executable, "-c", begin + start, sys.executable, *words],
        env={"PATH": os.environ["PATH"], "ENVMAN_ROOT": "/gone"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        preexec_fn=give_up_rights,
    )


def test_a_component_without_airflow_refuses_to_start() -> None:
    finished = component("execute_closed(sys.argv[1], sys.argv[1:], os.environ)")
    assert finished.returncode == 125
    assert finished.stderr.startswith(f"envman launch: there is no Airflow in {sys.executable}")


def test_a_component_that_was_open_while_its_python_started_says_so() -> None:
    finished = component("os.execve(sys.argv[1], sys.argv[1:], os.environ)")
    assert finished.returncode == 125
    warning, refusal, *_ = finished.stderr.splitlines()
    assert warning == f"envman launch: warning: {OPEN_START}"
    assert refusal.startswith(f"envman launch: there is no Airflow in {sys.executable}")


LOOKING = """
import os, pathlib
run = pathlib.Path(os.environ["ENVMAN_RUN"])
pathlib.Path(os.environ["SEEN"]).write_text(" ".join(map(str, run.glob("*"))))
"""
"""A module that writes down what there is of fork servers when it is imported."""


@pytest.mark.parametrize("module", ["plain", "airflow_local_settings"])
def test_the_first_servers_start_before_airflow_is_imported(
    published: Published, tmp_path: Path, module: str
) -> None:
    """They import it, too: on a second processor the component's import costs them nothing. Local settings may
    change what they are started with: then none starts before.
    """
    published.build("env_a", "first")
    program = published.root / ".gen/first/bin/python"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    published.publish({"a": ("env_a", "")}, {}, {"env_a": {}})
    published.configure({"a": None})
    modules = {"airflow.settings": f"import {module}", "structlog._output": ""}
    write_modules(published.site, {**modules, module: LOOKING})
    finished = subprocess.run(
        [sys.executable, str(HOUSE / "airflow/component.py"), "dag-processor"],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(published.site),
            "ENVMAN_RUN": str(tmp_path / "run"),
            "SEEN": str(tmp_path / "seen"),
            **published.variables(),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert finished.returncode == 125
    assert (".sock" in (tmp_path / "seen").read_text()) == (module == "plain")
