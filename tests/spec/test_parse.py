from __future__ import annotations

from typing import Any

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from envman.spec.parse import dotted, parse_environment, parse_project, parse_toml
from tests.strategies import law

FILE = "environments/env_a.toml"


def test_a_spec_is_read() -> None:
    spec, problems = parse_environment('requires-python = "==3.12.*"\ndependencies = ["pandas"]\n', FILE)
    assert problems == []
    assert spec is not None
    assert (spec.requires_python, spec.dependencies) == ("==3.12.*", ("pandas",))


def test_a_project_is_read() -> None:
    text = '[bundles]\nbundle_a = { environment = "env_a" }\n[teams.team_b]\nenvironment = "env_b"\n'
    project, problems = parse_project(text, "envman.toml")
    assert problems == []
    assert project is not None
    assert project.bundles["bundle_a"].environment == "env_a"
    assert project.teams["team_b"].environment == "env_b"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("dependencies = [\n  'a'\n", "end of document"),
        ("a = 1\nb =\n", "line 2, column 4"),
        ("a = 1\na = 2\n", "line 2"),
        ("[checks]\n[checks]\n", "line 2"),
        ("dependencies = ['a\n", "end of document"),
    ],
)
def test_a_syntax_error_is_one_problem_with_its_line(text: str, place: str) -> None:
    spec, problems = parse_environment(text, FILE)
    assert spec is None
    assert [problem.where for problem in problems] == [FILE]
    assert "not valid TOML" in problems[0].what
    assert place in problems[0].what
    assert problems[0].remedy


def test_a_file_that_ends_too_early_is_a_syntax_error() -> None:
    data, problems = parse_toml("a = [", FILE)
    assert data == {}
    assert len(problems) == 1


def test_every_error_of_a_file_is_found_in_one_run() -> None:
    text = """
requires-python = "3.12"
dependencies = ["ok", "not ok at all", 3]
dependancies = []
airflow = "yes"
[variables.set]
PATH = "/x"
[checks]
imports = ["a b"]
commands = [[]]
"""
    spec, problems = parse_environment(text, FILE)
    assert spec is None
    assert [problem.where for problem in problems] == [
        f"{FILE}: {place}"
        for place in (
            "requires-python",
            "dependencies[1]",
            "dependencies[2]",
            "airflow",
            "variables.set.PATH",
            "checks.imports[0]",
            "checks.commands[0]",
            "dependancies",
        )
    ]
    assert all(problem.what and problem.remedy for problem in problems)


def test_every_error_of_how_workloads_run_is_found_in_one_run() -> None:
    text = """
warm = "no"
preload = ["numpy", "a b"]
user = "root"
group = "Team A"
memory = "2G"
[limits]
memory = "2GB"
cpu = inf
pids = 1
cpus = 2
[variables]
pass = ["A*B"]
"""
    places = (
        "warm preload[1] user group limits.memory limits.cpu limits.pids limits.cpus variables.pass[0] memory"
    )
    for parse, start, table in (
        (parse_environment, "environments/env_a.toml: ", text),
        (parse_project, "envman.toml: defaults.", f"[defaults]{text}".replace("\n[", "\n[defaults.")),
    ):
        model, problems = parse(table, start.partition(":")[0])
        assert model is None
        assert [problem.where for problem in problems] == [f"{start}{place}" for place in places.split()]
        assert all(problem.what and problem.remedy for problem in problems)


@pytest.mark.parametrize(
    ("text", "place", "offered"),
    [
        ("preloads = []", "preloads", "preload"),
        ("[limit]\ncpu = 1", "limit", "limits"),
        ("[limits]\nmem = '1G'", "limits.mem", "memory"),
        ("[variables]\npas = []", "variables.pas", "pass"),
        ("dependency = []", "dependency", "dependencies"),
        ("[checks]\nimport = []", "checks.import", "imports"),
        ("[variables]\nkeepout = []", "variables.keepout", "keep-out"),
        ("[[pyprojects]]\npath = 'p'\nextra = ['a']", "pyprojects[0].extra", "extras"),
    ],
)
def test_an_unknown_key_of_a_spec_names_the_nearest_one(text: str, place: str, offered: str) -> None:
    _, problems = parse_environment(text, FILE)
    assert [(problem.where, problem.what) for problem in problems] == [(f"{FILE}: {place}", "unknown key")]
    assert f"Did you mean '{offered}'?" in problems[0].remedy


@pytest.mark.parametrize(
    ("text", "place", "offered"),
    [
        ("default_environment = 'a'", "default_environment", "default-environment"),
        ("[bundles]\nb = { enviroment = 'a' }", "bundles.b.enviroment", "environment"),
        ("[teams]\nt = { environment = 'a', environments = 1 }", "teams.t.environments", "environment"),
        ("[defaults.check]\nimports = []", "defaults.check", "checks"),
        ("[defaults.checks]\nimport = []", "defaults.checks.import", "imports"),
    ],
)
def test_an_unknown_key_of_the_project_names_the_nearest_one(text: str, place: str, offered: str) -> None:
    _, problems = parse_project(text, "envman.toml")
    assert [(problem.where, problem.what) for problem in problems] == [
        (f"envman.toml: {place}", "unknown key")
    ]
    assert f"Did you mean '{offered}'?" in problems[0].remedy


@pytest.mark.parametrize(
    ("text", "place", "word"),
    [
        ("dependencies = 'a'", "dependencies", "list"),
        ("requires-python = 3.12", "requires-python", "quotes"),
        ("abstract = 'true'", "abstract", "true or false"),
        ("checks = ['a']", "checks", "table"),
        ("[variables]\nset = ['A=1']", "variables.set", "table"),
        ("[[pyprojects]]", "pyprojects[0].path", "Add the key"),
        ("platforms = ['linux']", "platforms[0]", "values named"),
        ("platforms = []", "platforms", "leave the key out"),
        ("warm = 'no'", "warm", "true or false"),
        ("user = 1001", "user", "quotes"),
        ("limits = '2G'", "limits", "table"),
        ("[limits]\nmemory = 2", "limits.memory", "quotes"),
        ("[limits]\ncpu = '2'", "limits.cpu", "without quotes"),
        ("[limits]\ncpu = true", "limits.cpu", "a number"),
        ("[limits]\ncpu = 0", "limits.cpu", "greater"),
        ("[limits]\ncpu = nan", "limits.cpu", "leave the key out"),
        ("[limits]\npids = 4.5", "limits.pids", "whole number"),
        ("[limits]\npids = 3", "limits.pids", "greater"),
        ("[limits]\npids = 9999999", "limits.pids", "smaller"),
    ],
)
def test_a_value_of_the_wrong_type_says_what_to_write(text: str, place: str, word: str) -> None:
    _, problems = parse_environment(text, FILE)
    assert [problem.where for problem in problems] == [f"{FILE}: {place}"]
    assert word in problems[0].remedy


@pytest.mark.parametrize("text", ["dependencies = 'a'", "checks = 1"])
def test_a_type_is_called_as_toml_calls_it(text: str) -> None:
    (problem,) = parse_environment(text, FILE)[1]
    assert not any(word in problem.what for word in ("tuple", "dictionary"))


@pytest.mark.parametrize(
    ("text", "cause", "remedy"),
    [
        ("requires-python = '3.12'", "'3.12' is not a version specifier (PEP 440)", "==3.12.*"),
        ("extends = ['a b']", "the name may hold letters", "env_a"),
        ("checks = { commands = [[]] }", "the command is empty", "python"),
        ("airflow = 'no'", "input should be a valid ", "true or false"),
        ("user = 'root'", "'root' may do everything on the host", "for themselves"),
        ("user = 'nobody'", "'nobody' is whom other programs of the host run as", "for themselves"),
        ("user = '65534'", "'65534' is whom other programs of the host run as", "for themselves"),
        ("user = '065534'", "'065534' is whom other programs of the host run as", "for themselves"),
        ("group = 'A'", "'A' is not the name or number of an account", "team_a"),
        ("user = '4294967295'", "'4294967295' is no account's number", "4294967294"),
        ("[limits]\nmemory = '2GB'", "'2GB' is not a size", "512M"),
        ("[limits]\nmemory = '1M'", "'1M' is not between 16M and", "512M"),
        ("[variables]\npass = ['A B']", "'A B' holds a space", "'*'"),
    ],
)
def test_a_value_that_can_not_be_used_says_why_and_what_could(text: str, cause: str, remedy: str) -> None:
    (problem,) = parse_environment(text, FILE)[1]
    assert problem.what.startswith(cause)
    assert remedy in problem.remedy


def test_a_wrong_name_of_a_bundle_is_told_by_its_own_path() -> None:
    _, problems = parse_project("[bundles]\n'a b' = {}\n", "envman.toml")
    assert [problem.where for problem in problems] == ["envman.toml: bundles.a b"]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("a",), "a"),
        (("pyprojects", 0, "extras", 2), "pyprojects[0].extras[2]"),
        (("bundles", "b", "[key]"), "bundles.b"),
    ],
)
def test_a_place_is_written_as_a_dotted_path(path: tuple[int | str, ...], text: str) -> None:
    assert dotted(path) == text


scalars = st.sampled_from(["", "a", "env_a", "==3.12.*", "pandas>=2"]) | st.integers(0, 3) | st.booleans()
keys = st.sampled_from(
    [
        *("dependencies", "requires-python", "set", "keep-out", "imports", "commands", "path", "extends"),
        *("warm", "preload", "user", "group", "memory", "cpu", "pids", "pass", "other"),
    ]
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)
documents = st.dictionaries(
    keys
    | st.sampled_from(
        ["variables", "checks", "limits", "pyprojects", "platforms", "bundles", "teams", "defaults"]
    ),
    values,
    max_size=4,
)


@law
@given(documents)
def test_any_table_gives_either_a_model_or_problems_with_place_and_remedy(document: dict[str, Any]) -> None:
    text = tomlkit.dumps(document)
    for parse in (parse_environment, parse_project):
        model, problems = parse(text, "f.toml")
        assert (model is None) == bool(problems)
        assert all(problem.where.startswith("f.toml: ") and problem.remedy for problem in problems)
