"""The house, as a table, and what holds it up.

A room is a package of envman, or a module of its own: what belongs to one subject, its values and its
effects. Three wings run in processes of their own: `airflow` inside a component, `confine` between a
component and a team's interpreter, `inside` in that interpreter.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import envman
from envman.image.launcher import is_launched

ARROWS = {
    # room: which rooms it imports; a list that is exact, so that an arrow more or less is seen here
    "errors": "",
    "names": "",
    "system": "errors",
    "resolver": "errors names",
    "signing": "errors system",
    "spec": "errors names resolver system",
    "lock": "errors signing spec",
    "uv": "errors lock spec system",
    "store": "errors names resolver signing spec system",
    "image": "errors",
    "packages": "errors lock names store system",
    "servers": "inside",
    "oci": "errors image spec system",
    "release": "build errors image inside lock names oci resolver spec store system",
    "build": "confine errors inside lock names packages resolver signing spec store system uv",
    "launch": "errors inside resolver signing store system",
    "adoption": "errors names spec system",
    "proof": "deployment errors inside launch resolver system",
    "splitting": "errors launch lock names packages spec system",
    "deployment": "build confine errors launch lock release resolver spec store system",
    "confine": "errors launch system",
    "door": "inside",
    "airflow": "confine door errors inside launch resolver store system",
    "inside": "",
    "usecases": (
        "adoption build deployment errors image inside launch lock names oci packages proof release resolver "
        "servers signing spec splitting store system uv"
    ),
    "cli": (
        "adoption build deployment errors image launch lock oci packages proof resolver servers signing spec "
        "splitting store system usecases uv"
    ),
    "__main__": "cli launch",
    "image_main": "__main__",
}

PURE = {
    # values in, values out: no files, no processes, no clock; a list that is exact, too
    "errors": "",
    "names": "",
    "system": "actor events redaction",
    "resolver": "airflow_options credential inherited snapshot table variables",
    "spec": "cool_down declared dependencies image_names inputs merge model own_code parse project publication requirement_text schema sources starter toml_table values",
    "lock": "changes comparison lockfile platforms source_only wheel_tags",
    "store": "layout manifest switches",
    "image": "containerfile dpkg entries labels launcher oci_values provenance referrers",
    "packages": "audit_report bisection license moved package policy",
    "release": "document layer_archive layer_record parts strangers_json whole_table",
    "servers": "figures preloads",
    "adoption": "airflow_stage findings_of_adoption found_airflow project_text start_commands start_diff todays_versions",
    "proof": "gaps needless_operators parsed_file reasons report_page veil verdicts",
    "splitting": (
        "codeowners group_search held_upgrades imported_names module_owners patterns proposal proposed_specs "
        "read_code split_units"
    ),
    "deployment": "editor_settings facts finding findings queue_findings render service_files settings unread_options",
    "cli": "lazy_group markdown registry stage_words terminal",
    "door": "breach frames lines listing log_lines msgpack_values parse_result requests rules server_answer",
    "airflow": "bundle_version capacity parse_order suspects upstream upstream_name upstream_triggerer",
    "inside": "protocol reports",
}

WINGS = {
    # what runs in processes of others, brought along by its path: nobody imports it but who is named
    "airflow": set(),
    "confine": {"airflow", "build", "deployment"},
    "inside": set(),
}
SAID_ALOUD = {
    *(
        "envman.inside.credential_values",
        "envman.inside.local_settings",
        "envman.inside.peers",
        "envman.inside.protocol",
        "envman.inside.readable",
        "envman.inside.reports",
    ),
}
"""What both sides import: those who start what runs in a team's interpreter, or are a component themselves,
and what runs there.
"""
AIRFLOW_BRINGS = {"airflow", "celery", "cryptography", "psutil", "structlog", "sqlalchemy"}
"""Airflow and those of its own dependencies that the hooks use."""

TERMINAL = {"typer", "rich", "click"}

WORLD = {
    *("os", "io", "subprocess", "socket", "urllib.request", "http", "shutil", "tempfile", "pathlib", "glob"),
    *("signal", "threading", "fcntl", "time", "datetime", "random", "selectors", "multiprocessing", "netrc"),
    *("concurrent", "airflow", "psutil", "sqlalchemy", "uv", "virtualenv", "python_discovery"),
}
"""What a pure module has no business with."""

LAUNCH_NEVER = {
    *("typer", "rich", "click", "pydantic", "packaging", "tomlkit", "tomllib", "tomli", "json", "re"),
    *("dataclasses", "enum", "pathlib", "typing", "subprocess", "configparser", "logging", "argparse"),
}
"""What starting a workload does not pay for."""

COMMANDS = {"cli", "usecases"}
"""Rooms whose modules are named after commands; a command's room may have its name, too."""

LONGEST_MODULE = 400
LONGEST_FUNCTION = 60
MOST_PARAMETERS = 6


@dataclass(frozen=True)
class Import:
    """One import of a module: what, and whether it happens as the module is imported, or never."""

    importer: str
    imported: str
    at_once: bool
    never: bool

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
    def walk(node: ast.AST, at_once: bool, never: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(module, alias.name, at_once, never)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{module}: a relative import"
                for alias in child.names:
                    name = f"{child.module}.{alias.name}"
                    imported = name if name in FILES else child.module or ""
                    yield Import(module, imported, at_once, never)
            else:
                types = for_types(child)
                later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) or types
                yield from walk(child, at_once and not later, never or types)

    yield from walk(TREES[module], True, False)


def for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


IMPORTS = [found for module in FILES for found in imports(module)]
INSIDE = [found for found in IMPORTS if found.imported in FILES and found.imported != "envman"]
OUTSIDE = [found for found in IMPORTS if found.imported not in FILES]


PURE_MODULES = {
    ".".join(filter(None, ("envman", room, module)))
    for room, modules in PURE.items()
    for module in (modules.split() or [""])
}


def test_every_module_stands_in_a_room_of_the_table() -> None:
    assert {room(module) for module in FILES} - {"envman"} == set(ARROWS)
    assert [found for found in OUTSIDE if found.imported.split(".")[0] == "envman"] == []


def test_the_arrows_between_the_rooms_are_those_of_the_table() -> None:
    arrows: dict[str, set[str]] = {name: set() for name in ARROWS}
    for found in INSIDE:
        arrows[room(found.importer)] |= {found.room} - {room(found.importer)}
    assert arrows == {name: set(rooms.split()) for name, rooms in ARROWS.items()}


def test_no_arrow_leads_back() -> None:
    for name, rooms in ARROWS.items():
        seen: set[str] = set()
        below = rooms.split()
        while below:
            one = below.pop()
            assert one != name, f"{name} stands above itself"
            below += [] if one in seen else ARROWS[one].split()
            seen.add(one)


def touches_the_world(module: str) -> bool:
    outside = (f"{found.imported}." for found in OUTSIDE if found.importer == module)
    if any(imported.startswith(f"{part}.") for imported in outside for part in WORLD):
        return True
    called = {
        node.func.id
        for node in ast.walk(TREES[module])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    return bool(called & {"open", "input", "print", "exec", "eval", "__import__"})


def test_the_pure_modules_are_those_of_the_table() -> None:
    """A module is pure that touches no part of the world and imports pure ones only, at whatever moment."""
    impure = {module for module in FILES if touches_the_world(module)}
    while more := {found.importer for found in INSIDE if found.imported in impure} - impure:
        impure |= more
    packages = {module for module, path in FILES.items() if path.name == "__init__.py"}
    assert set(FILES) - impure - packages == PURE_MODULES


@pytest.mark.parametrize("name", WINGS)
def test_nobody_imports_what_runs_in_another_process(name: str) -> None:
    importers = {
        room(found.importer) for found in INSIDE if found.room == name and found.imported not in SAID_ALOUD
    }
    assert importers - {name} == WINGS[name]


def test_what_is_launched_needs_nothing_that_is_not() -> None:
    """The launch path is listed once: where an image takes it from."""
    launched = {module for module, path in FILES.items() if is_launched(path.relative_to(HOUSE).as_posix())}
    assert {room(module) for module in launched} >= {"launch", "resolver", *WINGS}
    for found in IMPORTS:
        if found.importer in launched and room(found.importer) != "__main__":
            if found.imported in FILES:
                assert found.imported in launched | {"envman"}, found
            else:
                top = found.imported.split(".")[0]
                later = {"tomllib", "tomli"}  # where no plain reading will do; tomli on Python 3.10
                allowed = {*sys.stdlib_module_names, *later}
                if room(found.importer) in WINGS:
                    allowed |= AIRFLOW_BRINGS
                assert top in allowed, found


def test_what_a_teams_interpreter_starts_with_stands_alone() -> None:
    """Each imports its like as it is imported: later nothing of envman is there any more."""
    own = [found for found in IMPORTS if room(found.importer) == "inside"]
    assert {found.room for found in own if found.imported in FILES} == {"inside"}
    for found in own:
        if found.imported in FILES:
            assert found.at_once or found.never, found
        elif found.at_once:
            assert found.imported.split(".")[0] in sys.stdlib_module_names, found


def test_only_the_command_line_knows_the_terminal() -> None:
    users = {room(found.importer) for found in OUTSIDE if found.imported.split(".")[0] in TERMINAL}
    assert users == {"cli"}


def test_no_two_modules_have_one_name() -> None:
    named: dict[str, list[str]] = defaultdict(list)
    for module, path in FILES.items():
        if path.name not in {"__init__.py", "__main__.py"}:
            named[path.stem].append(module)
    assert {name: modules for name, modules in named.items() if len(modules) > 1} == {}
    rooms = {name for name in ARROWS if (HOUSE / name).is_dir()}
    assert {
        name for name in rooms & set(named) if not {room(one) for one in named[name]} <= COMMANDS
    } == set()


def test_no_two_public_classes_have_one_name() -> None:
    named: dict[str, list[str]] = defaultdict(list)
    for module, tree in TREES.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                named[node.name].append(module)
    assert {name: modules for name, modules in named.items() if len(modules) > 1} == {}


def test_a_function_fits_on_a_screen_and_takes_few_parameters() -> None:
    long, many = {}, {}
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                count = len([one for one in given if one.arg not in {"self", "cls"}])
                if lines > LONGEST_FUNCTION:
                    long[f"{module}.{node.name}"] = lines
                if count > MOST_PARAMETERS and room(module) != "cli":  # there: one for each option
                    many[f"{module}.{node.name}"] = count
    assert (long, many) == ({}, {})


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
    assert {name for name in loaded if not is_launched_module(name)} & set(FILES) == set()


def is_launched_module(name: str) -> bool:
    return name in FILES and is_launched(FILES[name].relative_to(HOUSE).as_posix())


def test_the_design_page_names_every_room() -> None:
    page = (HOUSE.parent / "docs/design.md").read_text(encoding="utf-8")
    table = page[page.index("| Room |") : page.index("## Decisions")]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = {name for cell in cells for name in re.findall("`([a-z]+)`", cell)}
    assert named == set(ARROWS) - {"__main__", "image_main"}
