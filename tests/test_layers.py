"""The house, as a table, and what holds it up.

A room is a package of envman, or a module of its own. The pure rooms turn values into values; the effect
rooms each know one part of the world; the use cases put both together; the command line shows the outcome.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import envman

PURE = {
    # room: what its modules import when they are imported
    "errors": set(),
    "redaction": set(),
    "spec": {"errors", "redaction"},
    "lock": {"errors"},
    "generation": {"errors", "spec", "lock"},
    "resolver": {"errors"},  # on the launch path; spec.names only for an error, inside of functions
    "deployment": {"errors", "resolver"},
    "figures": set(),
    "image": {"errors"},
    "metadata": {"errors", "spec"},
    "audit": {"errors"},
}
PURE_LATER = {"resolver": {"envman.spec.names"}}

EFFECTS = {
    # room: which other effect rooms it may use; all may use the pure rooms
    "processes": set(),
    "files": set(),
    "digests": set(),
    "store": {"files", "processes", "digests"},
    "bytecode": {"files", "processes", "digests"},
    "uv": {"files", "processes"},
    "interpreters": {"files", "processes"},
    "venv": {"files", "processes"},
    "project": {"files", "processes"},
    "remote": {"files", "processes"},
    "servers": set(),
    "sandbox": {"processes"},
    "oci": {"files", "processes", "digests"},
    "installed": set(),
    "pip_audit": {"processes"},
    "sbom": set(),
    "launch": {"files", "processes"},  # and the module store.layout
}
LAUNCH_ALSO = "envman.store.layout"

BESIDE = {
    # what runs inside Airflow's processes, brought along by its path: nobody imports it
    "airflow": {"errors", "resolver", "launch"},  # and the module store.layout
}
AIRFLOW_BRINGS = {"airflow", "cryptography", "psutil", "structlog", "sqlalchemy"}
"""Airflow and those of its own dependencies that the hooks use."""

ABOVE = {
    "usecases": {*PURE, *EFFECTS},
    "cli": {*PURE, *EFFECTS, "usecases"},
    "__main__": {"cli", "launch"},
}
TERMINAL = {"typer", "rich", "click"}

WORLD = {
    *("os", "io", "subprocess", "socket", "urllib.request", "http", "shutil", "tempfile", "pathlib", "glob"),
    *("signal", "threading", "fcntl", "time", "datetime", "random", "psutil"),
}
"""What a pure room has no business with."""

LAUNCH_NEVER = {
    *("typer", "rich", "click", "pydantic", "packaging", "tomlkit", "tomllib", "tomli", "json", "re"),
    *("dataclasses", "enum", "pathlib", "typing", "subprocess", "configparser", "logging", "argparse"),
}
"""What starting a workload does not pay for."""

LONGEST_MODULE = 400


@dataclass(frozen=True)
class Import:
    """One import of a module: what, and whether it happens as the module is imported."""

    importer: str
    imported: str
    at_once: bool

    @property
    def room(self) -> str:
        return room(self.imported)


HOUSE = Path(envman.__file__).parent
FILES = {
    ".".join(path.relative_to(HOUSE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(HOUSE.rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def imports(module: str) -> Iterator[Import]:
    def walk(node: ast.AST, at_once: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(module, alias.name, at_once)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{module}: a relative import"
                for alias in child.names:
                    name = f"{child.module}.{alias.name}"
                    yield Import(module, name if name in FILES else child.module or "", at_once)
            else:
                later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) or for_types(child)
                yield from walk(child, at_once and not later)

    yield from walk(TREES[module], True)


def for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


IMPORTS = [found for module in FILES for found in imports(module)]
INSIDE = [found for found in IMPORTS if found.imported in FILES and found.imported != "envman"]
OUTSIDE = [found for found in IMPORTS if found.imported not in FILES]


def test_every_module_stands_in_a_room_of_the_table() -> None:
    assert {room(module) for module in FILES} - {"envman"} == {*PURE, *EFFECTS, *BESIDE, *ABOVE}
    assert [found for found in OUTSIDE if found.imported.split(".")[0] == "envman"] == []


@pytest.mark.parametrize("name", PURE)
def test_a_pure_room_imports_the_pure_rooms_below_it_alone(name: str) -> None:
    for found in INSIDE:
        if room(found.importer) == name and found.room != name:
            later = not found.at_once and found.imported in PURE_LATER.get(name, set())
            assert found.room in PURE[name] or later, found


@pytest.mark.parametrize("name", PURE)
def test_a_pure_room_does_not_touch_the_world(name: str) -> None:
    for found in OUTSIDE:
        if room(found.importer) == name:
            assert not any(f"{found.imported}.".startswith(f"{part}.") for part in WORLD), found
    for module, tree in TREES.items():
        if room(module) == name:
            called = {
                node.func.id
                for node in ast.walk(tree)
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            }
            assert not called & {"open", "input", "print", "exec", "eval", "__import__"}, module


@pytest.mark.parametrize("name", EFFECTS)
def test_an_effect_room_knows_its_own_part_of_the_world(name: str) -> None:
    allowed = {name, *PURE, *EFFECTS[name]}
    for found in INSIDE:
        if room(found.importer) == name:
            assert found.room in allowed or (name == "launch" and found.imported == LAUNCH_ALSO), found


@pytest.mark.parametrize("name", ABOVE)
def test_nothing_below_knows_what_is_above(name: str) -> None:
    for found in INSIDE:
        if room(found.importer) == name:
            assert found.room in {name, *ABOVE[name]}, found


@pytest.mark.parametrize("name", BESIDE)
def test_what_runs_inside_airflow_needs_airflow_and_the_launch_path_alone(name: str) -> None:
    for found in INSIDE:
        if room(found.importer) == name:
            assert found.room in {name, *BESIDE[name]} or found.imported == LAUNCH_ALSO, found
        else:
            assert found.room != name, found
    for found in OUTSIDE:
        if room(found.importer) == name:
            top = found.imported.split(".")[0]
            assert top in {*AIRFLOW_BRINGS, *sys.stdlib_module_names}, found


@pytest.mark.parametrize(
    "script",
    [
        f"airflow.{name}"
        for name in ("child", "fork_server", "forked", "peers", "preload", "check", "probe", "imports")
    ]
    + ["bytecode.compiler"],
)
def test_what_a_teams_interpreter_starts_with_stands_alone(script: str) -> None:
    assert f"envman.{script}" in FILES
    assert [found for found in INSIDE if found.importer == f"envman.{script}"] == []


def test_only_the_command_line_knows_the_terminal() -> None:
    users = {room(found.importer) for found in OUTSIDE if found.imported.split(".")[0] in TERMINAL}
    assert users == {"cli"}


def test_no_module_imports_itself_by_a_detour() -> None:
    """Counts imports inside of functions and for types, too: a cycle is a cycle."""
    edges = {module: {found.imported for found in INSIDE if found.importer == module} for module in FILES}
    finished: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail, module))
        if module not in finished:
            for following in sorted(edges[module]):
                visit(following, (*trail, module))
            finished.add(module)

    for module in FILES:
        visit(module, ())


def test_a_module_can_be_read_in_one_sitting() -> None:
    lengths = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in FILES.items()}
    assert {module: length for module, length in lengths.items() if length >= LONGEST_MODULE} == {}


def test_starting_a_workload_imports_next_to_nothing() -> None:
    code = (
        "import sys\n"
        f"sys.path.insert(0, {str(HOUSE.parent)!r})\n"
        "before = set(sys.modules)\n"
        "import envman.launch.command\n"
        "print(*sorted(set(sys.modules) - before), sep='\\n')\n"
    )
    finished = subprocess.run(
        [sys.executable, "-S", "-I", "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(finished.stdout.split())
    assert "envman.launch.command" in loaded
    assert not {name.split(".")[0] for name in loaded} & LAUNCH_NEVER
    assert {room(name) for name in loaded if name.startswith("envman.")} == {
        "errors",
        "launch",
        "resolver",
        "store",
    }
    assert {name for name in loaded if name.startswith("envman.store.")} == {LAUNCH_ALSO}
