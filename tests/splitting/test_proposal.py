from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

from envman.launch.airflow_configuration import AirflowConfiguration
from envman.lock.lockfile import Pin
from envman.names import name_problem
from envman.packages.package import Package
from envman.splitting.codeowners import owner_of, parse_owners, team_name
from envman.splitting.everywhere import configured_code
from envman.splitting.held_upgrades import demands, held_upgrades
from envman.splitting.imported_names import UnreadableSourceError, imports_of
from envman.splitting.module_owners import InstalledDistribution, ModuleIndex, module_of
from envman.splitting.proposal import ImportedPackage, ProposedEnvironment, closure
from envman.splitting.proposed_specs import constraints_text, spec_text
from envman.splitting.read_code import BundleCode, CodeFile, CodeReach
from envman.splitting.reading import DagDiscovery, behind_plain_modules, read_code, with_shared
from envman.splitting.split_units import SplitBy, environment_name, split_units

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SOURCE = b"""
from __future__ import annotations
import a.b, c as d
from e import f, g
from . import h
from ..i import j
from k import *
if condition:
    import l
def late():
    import m
    importlib.import_module("n.o")
    import_module(variable)
    import_string("p.q.R")
    __import__("s")
if TYPE_CHECKING:
    import never
else:
    import t
try:
    import u
except ImportError:
    import v
@task.virtualenv(requirements=["w"])
def elsewhere():
    import w
def called():
    import x
def called_here_too():
    import y
PythonVirtualenvOperator(python_callable=called)
ExternalPythonOperator(python_callable=called_here_too)
PythonOperator(python_callable=called_here_too)
"""


def test_imports_are_found_wherever_they_stand() -> None:
    found = {(one.module, one.name, one.level): one for one in imports_of(SOURCE)}
    assert set(found) == {
        *(("__future__", "annotations", 0), ("a.b", "", 0), ("c", "", 0), ("e", "f", 0), ("e", "g", 0)),
        *(("", "h", 1), ("i", "j", 2), ("k", "", 0), ("l", "", 0), ("m", "", 0), ("n.o", "", 0)),
        *(("p.q", "R", 0), ("s", "", 0), ("t", "", 0), ("u", "", 0), ("v", "", 0), ("w", "", 0)),
        *(("x", "", 0), ("y", "", 0)),
    }
    assert [one.module for one in found.values() if one.optional] == ["u", "v"]
    assert {one.module: one.elsewhere for one in found.values() if one.elsewhere} == {
        "w": "@task.virtualenv",
        "x": "PythonVirtualenvOperator",
    }
    assert found["a.b", "", 0].place("dag.py") == "dag.py:3"


@pytest.mark.parametrize(
    "source", [b"def (", b"x\0y", b"\xff\xfe", b"x=" + b"(" * 5000 + b")" * 5000, b"-" * 200_000 + b"1"]
)
def test_what_is_no_python_is_told_without_its_text(source: bytes) -> None:
    with pytest.raises(UnreadableSourceError, match=r"no Python that this envman reads: [A-Za-z0-9 ]+$"):
        imports_of(source)


@pytest.mark.parametrize(
    ("path", "module"),
    [
        ("a/__init__.py", "a"),
        ("a/b.py", "a.b"),
        ("a/c.cpython-312-x86_64-linux-gnu.so", "a.c"),
        ("a-1.0.dist-info/METADATA", ""),
        ("a-1.0.dist-info/x.py", ""),
        ("../../bin/tool.py", ""),
        ("a/__pycache__/b.cpython-312.pyc", ""),
        ("single.py", "single"),
    ],
)
def test_the_module_of_an_installed_file(path: str, module: str) -> None:
    assert module_of(path) == module


def distribution(name: str, *modules: str, requires: tuple[str, ...] = ()) -> InstalledDistribution:
    return InstalledDistribution(Package(name, "1.0", requires), frozenset(modules))


INDEX = ModuleIndex.of(
    [
        distribution("core", "airflow", "airflow.models", "airflow.models.dag", "airflow.operators"),
        distribution("amazon", "airflow.providers.amazon", "airflow.providers.amazon.s3"),
        distribution("six", "six"),
        distribution("one-half", "shop.till"),
        distribution("other-half", "shop.shelf"),
        distribution("twin", "yaml", "twin"),
        distribution("yaml", "yaml"),
    ]
)


@pytest.mark.parametrize(
    ("module", "name", "owners"),
    [
        ("airflow.models", "dag", "core"),
        ("airflow.models", "ANYTHING", "core"),
        ("airflow.providers.amazon.s3", "Hook", "amazon"),
        ("airflow.providers.absent.hooks", "Hook", ""),
        ("airflow.operators.python", "made by the package above", "core"),
        ("six.moves.urllib", "", "six"),
        ("shop", "till", "one-half"),
        ("shop.shelf", "", "other-half"),
        ("shop.door", "", ""),
        ("yaml", "", "twin yaml"),
        ("absent", "", ""),
    ],
)
def test_the_distributions_that_an_import_needs(module: str, name: str, owners: str) -> None:
    assert INDEX.owners(module, name) == tuple(owners.split())


def code(**sources: str) -> BundleCode:
    """A bundle; in the names of its files `__` is a slash."""
    files = {}
    for name, text in sources.items():
        path = f"{name.replace('__', '/')}.py"
        files[path] = CodeFile(path, imports_of(text.encode()), "dag" in path)
    return BundleCode("bundle", "/bundle", files)


def test_own_modules_are_followed_and_installed_ones_win() -> None:
    bundle = code(
        sales__dag="from common.db import session\nimport yaml, absent, json\nfrom . import beside\nimport local",
        sales__beside="import six",
        sales__local="import shop.till",
        common__db="import airflow.providers.amazon.s3",
        yaml="import never_reached",
        json="",
        unreached="import twin",
    )
    needs = CodeReach(bundle, INDEX).needs(bundle.dags())
    assert needs.packages == {
        "twin": "sales/dag.py:2",
        "yaml": "sales/dag.py:2",
        "six": "sales/beside.py:1",
        "one-half": "sales/local.py:1",
        "amazon": "common/db.py:1",
    }
    assert needs.own == {"common/db.py", "sales/beside.py", "sales/local.py"}
    assert needs.tops == {"common": "sales/dag.py:1"}
    assert needs.missing == {"absent": "sales/dag.py:2"}
    assert needs.hidden == {
        "yaml": ("sales/dag.py:2", "twin, yaml"),
        "json": ("sales/dag.py:2", "the standard library"),
    }


def test_modules_that_import_each_other_are_read_once() -> None:
    bundle = code(dag="import a", a="import b, six", b="import a")
    assert CodeReach(bundle, INDEX).needs(["dag.py"]).own == {"a.py", "b.py"}


OWNERS = """
* @company/platform
/dags/sales/ @company/sales
dags/risk @company/quant ann@company.example   # two
docs/* ann@company.example
[Data][2] @company/data
ml/**/x.py
[x]y @never
/own/
"""


@pytest.mark.parametrize(
    ("path", "team"),
    [
        ("a.py", "platform"),
        ("dags/sales/deep/b.py", "sales"),
        ("dags/risk/c.py", "quant"),
        ("docs/d.py", "ann"),
        ("docs/deep/e.py", "platform"),
        ("ml/x.py", "data"),
        ("ml/a/b/x.py", "data"),
        ("xy", "platform"),
        ("own/f.py", "data"),
    ],
)
def test_the_last_line_of_codeowners_that_fits_counts(path: str, team: str) -> None:
    assert team_name(owner_of(parse_owners(OWNERS), path)) == team


def test_a_file_that_nobody_owns_and_patterns_that_are_meant_to_take_long() -> None:
    assert owner_of(parse_owners("* @a\n/free/\n"), "free/x.py") == ""
    hostile = parse_owners("*a" * 500 + "*b @x\n" + "**/a/" * 100 + "b @x\n")
    assert owner_of(hostile, "a" * 2000) == owner_of(hostile, "a/" * 200 + "c") == ""


def test_units_are_folders_teams_or_bundles() -> None:
    first = code(top_dag="", sales__dag="", risk__dag="", risk__deep__dag="", common__db="")
    owners = {"sales/dag.py": "@c/sales", "risk/dag.py": "@c/quant", "risk/deep/dag.py": "@c/sales"}

    def owner(_bundle: str, path: str) -> str:
        return owners.get(path, "")

    def names(by: SplitBy) -> dict[str, list[str]]:
        found, _ = split_units([first], by, owner)
        return {name: [unit.words() for unit in units] for name, units in found.items()}

    assert names(SplitBy.bundle) == {"bundle": ["bundle"]}
    assert names(SplitBy.folder) == {
        "bundle": ["bundle"],
        "risk": ["bundle/risk"],
        "sales": ["bundle/sales"],
    }
    assert names(SplitBy.team) == {
        "unowned": ["bundle"],
        "quant": ["bundle/risk"],
        "sales": ["bundle/sales"],
    }
    _, (mixed,) = split_units([first], SplitBy.team, owner)
    assert (mixed.folder, mixed.teams, mixed.given_to) == ("risk", ("quant", "sales"), "quant")


def test_folders_whose_names_come_out_the_same_stay_apart() -> None:
    bundle = BundleCode("b", "/b", {p: CodeFile(p, (), True) for p in ("a b/x.py", "a-b/x.py", "a,b/x.py")})
    found, _ = split_units([bundle], SplitBy.folder, lambda _bundle, _path: "", "p-")
    assert {name: units[0].folder for name, units in found.items()} == {
        "p-a-b": "a b",
        "p-a-b-2": "a,b",
        "p-a-b-3": "a-b",
    }
    twice, _ = split_units([bundle], SplitBy.folder, lambda _bundle, _path: "", "x" * 70)
    assert sorted(map(len, twice)) == [61, 61, 64]


@pytest.mark.parametrize("text", ["", "..", "a b", "../../x", "all", "ä" * 100, "-", "team@x!", "a" * 100])
def test_any_folder_gives_a_name_that_an_environment_may_have(text: str) -> None:
    assert name_problem(environment_name(text)) is None


MARKERS = {"python_full_version": "3.12.1", "python_version": "3.12", "sys_platform": "linux"}
PACKAGES = [
    Package("frame", "1.5", ("grid<2", "sheet; extra == 'excel'", "never; sys_platform == 'win32'")),
    Package("grid", "1.1"),
    Package("sheet", "1.0", ("frame",)),
    Package("report", "1.0", ("grid>=1", "requests")),
    Package("requests", "2.0", ("socks; extra == 'socks'",)),
    Package("socks", "1.0"),
    Package("other", "1.0", ("requests[socks]",), requires_python=">=3.8,<3.13"),
    Package("bound", "1.0", ("grid!=1.5", "requests<9")),
]


@pytest.mark.parametrize(
    ("requirements", "needed"),
    [
        (["frame==1.5"], "frame grid"),
        (["frame[excel]==1.5"], "frame grid sheet"),
        (["report"], "grid report requests"),
        (["report", "other"], "grid other report requests socks"),
        ([], ""),
    ],
)
def test_a_closure_has_what_is_needed_and_nothing_else(requirements: list[str], needed: str) -> None:
    assert " ".join(closure(PACKAGES, requirements, MARKERS)) == needed


def test_an_upgrade_is_free_where_only_others_hold_it_back() -> None:
    versions = {one.name: one.version for one in PACKAGES} | {"python": "3.12.1"}
    environments = {
        "a": closure(PACKAGES, ["report"], MARKERS),
        "b": closure(PACKAGES, ["frame"], MARKERS),
    }
    found = held_upgrades(versions, environments, demands(PACKAGES, MARKERS))
    told = {
        name: [(one.package, one.holder, one.environments) for one in held] for name, held in found.items()
    }
    assert told == {  # the package `bound` refuses neither the next grid nor the next requests
        "a": [("grid", "frame", ("b",)), ("python", "other", ())],
        "b": [("python", "other", ())],
    }


def test_folders_are_read_with_archives_links_and_what_is_no_file(tmp_path: Path) -> None:
    dag = "import six  # a dag of airflow\n"
    (tmp_path / "tests").mkdir()
    for name in ("dag.py", "tests/test_dag.py", "tests/kept.py"):
        (tmp_path / name).write_text(dag)
    (tmp_path / ".airflowignore").write_text("tests/\n!tests/kept.py\n# none\n")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "gone.py").symlink_to("nowhere")
    (tmp_path / "wrong.py").write_text("def (")
    (tmp_path / "wrong.zip").write_text("no archive")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__/x.py").write_text(dag)
    import os

    os.mkfifo(tmp_path / "pipe.py")
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        archive.writestr("inner.py", dag + "from own import x")
        archive.writestr("own/x.py", "")
    found = read_code("bundle", tmp_path)
    assert found.dags() == ["dag.py", "packed.zip/inner.py", "tests/kept.py"]
    assert [path for path, _ in found.unread] == ["gone.py", "wrong.py", "wrong.zip"]
    assert CodeReach(found, INDEX).needs(found.dags()).own == {"packed.zip/own/x.py"}
    every = read_code("bundle", tmp_path, DagDiscovery(safe_mode=False)).dags()
    assert "packed.zip/own/x.py" in every
    assert "tests/test_dag.py" not in every
    by_expression = read_code("bundle", tmp_path, DagDiscovery(globs=False))
    assert "tests/test_dag.py" in by_expression.dags()
    assert by_expression.unread[0][0] == ".airflowignore"


def test_what_a_shared_folder_imports_is_needed_too(tmp_path: Path) -> None:
    sources = {
        "a/dag.py": "import common.clean, helpers.x, top  # a dag of airflow\n",
        "a/top/__init__.py": "",
        "a/helpers/x.py": "",
        "common/clean.py": "from common import more  # airflow, dag\n",
        "common/more.py": "import six\n",
        "helpers/x.py": "import yaml\n",
    }
    for name, text in sources.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    bundle = with_shared(read_code("a", tmp_path / "a"), ["../common", "../helpers", "../gone"])
    needs = CodeReach(bundle, INDEX).needs(bundle.dags())
    assert bundle.dags() == ["dag.py"]
    assert needs.packages == {"six": "common/more.py:1"}  # helpers are the bundle's own
    assert (needs.missing, sorted(needs.tops)) == ({}, ["helpers", "top"])


def test_what_a_source_of_plain_modules_imports_is_needed_too(tmp_path: Path) -> None:
    """Its metadata names no dependency; a project's does."""
    for path, text in {
        "s/six.py": "import yaml, six",
        "y/a.py": "import twin",
        "p/setup.py": "import six",
    }.items():
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).write_text(text)
    folders = {"six": tmp_path / "s", "yaml": tmp_path / "y", "twin": tmp_path / "p", "gone": tmp_path / "g"}
    behind = behind_plain_modules(folders, INDEX)
    assert {name: sorted(packages) for name, packages in behind.items()} == {
        "six": ["twin", "yaml"],
        "yaml": ["twin"],
    }
    needs = CodeReach(code(dag="import six"), INDEX, behind=behind).needs(["dag.py"])
    assert needs.packages["yaml"] == "six.py:1"


def test_a_source_is_taken_over_where_it_is_needed_and_pinned_nowhere() -> None:
    imported = (ImportedPackage("rules", "0+c1", (), "dag.py:1"), ImportedPackage("six", "1", (), "dag.py:1"))
    proposed = ProposedEnvironment(
        "sales", (), imported, {"rules": "0+c1", "six": "1"}, (), (), (), (), (), ()
    )
    old = {"sources": ["../libs/rules", {"path": "../libs/other"}], "dependencies": ["six==1"]}
    own = {"libs/rules": "rules", "libs/other": "other"}
    spec = tomllib.loads(spec_text(proposed, "everything", old, lambda _: True, own))
    assert (spec["sources"], spec["dependencies"]) == (["../libs/rules"], ["six==1"])


def test_what_airflows_configuration_names_is_needed_everywhere(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins/ours.py").write_text("import six")
    configuration = AirflowConfiguration(
        {
            "AIRFLOW_HOME": str(tmp_path),
            "AIRFLOW__SECRETS__BACKEND": "shop.till.Backend",
            "AIRFLOW__CORE__XCOM_BACKEND": "no module",
            "AIRFLOW__LOGGING__REMOTE_LOGGING": "true",
            "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER": "s3://SECRET@logs",
        }
    )
    found = configured_code(configuration, read_code)
    needs = [CodeReach(one, INDEX).needs(one.files).packages for one in found]
    assert needs == [
        {"six": "ours.py:1"},
        {
            "amazon": "Airflow's configuration: [logging] remote_base_log_folder",
            "one-half": "Airflow's configuration: [secrets] backend",
        },
    ]


def test_constraints_hold_what_is_needed_and_what_is_locked_for_other_machines() -> None:
    proposed = ProposedEnvironment("sales", (), (), {"needed": "1.0"}, (), (), (), (), (), ())
    pins = [Pin(name, "1.0", marker, ("sha256:0",)) for name, marker in PINS.items()]
    text = constraints_text(proposed, "everything", pins, MARKERS)
    assert [line for line in text.splitlines() if not line.startswith("#")] == [
        "needed==1.0",
        'of-windows==1.0 ; sys_platform == "win32"',
    ]


PINS = {"needed": "", "of-others": "", "of-windows": 'sys_platform == "win32"'}
