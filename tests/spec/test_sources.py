from __future__ import annotations

from typing import Any

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from envman.spec.model import PyprojectSource
from envman.spec.sources import (
    Flattened,
    flatten_pyproject,
    flatten_requirements_file,
    flatten_requirements_text,
)
from tests.strategies import law, reader, requirements

HASH = "--hash=sha256:" + 64 * "0"


def flattened(text: str, **others: str) -> Flattened:
    """Flatten a requirements.txt that may include the others: `sub_a` is the file sub/a.txt."""
    files = {f"{name.replace('_', '/')}.txt": content for name, content in others.items()}
    return flatten_requirements_file("requirements.txt", reader({"requirements.txt": text, **files}))


def pyproject(text: str, **parts: list[str]) -> Flattened:
    keys = {key.replace("_", "-"): value for key, value in parts.items()}
    source = PyprojectSource.model_validate({"path": "team/pyproject.toml", **keys})
    return flatten_pyproject(source, reader({"team/pyproject.toml": text}))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("# nothing\n\n   \n", []),
        ("pandas", ["pandas"]),
        ("pandas>=2 # why\n", ["pandas>=2"]),
        ("  pandas >= 2 , <3\n", ["pandas<3,>=2"]),
        ("pandas[excel]>=2 ; python_version < '3.13'", ['pandas[excel]>=2; python_version < "3.13"']),
        ("\N{ZERO WIDTH NO-BREAK SPACE}pandas\r\nnumpy\r\n", ["pandas", "numpy"]),
        (f"pandas==2 {HASH}", ["pandas==2"]),
        (f"pandas==2 \\\n    {HASH} \\\n    {HASH}\nnumpy", ["pandas==2", "numpy"]),
        ("pandas==2 --hash sha256:00", ["pandas==2"]),
        ("pandas \\\n >=2", ["pandas>=2"]),
        ("pandas\\", ["pandas"]),
    ],
)
def test_requirement_lines_are_read_as_pip_reads_them(text: str, expected: list[str]) -> None:
    result = flattened(text)
    assert (result.requirements, result.constraints, result.problems) == (expected, [], [])


def test_a_comment_that_ends_in_a_backslash_swallows_nothing() -> None:
    assert flattened("# see C:\\wheels\\\npandas\n").requirements == ["pandas"]


decoration = st.sampled_from(["", "\n", "# a comment\n", "   \n", "\t# -r gone.txt\n"])
ending = st.sampled_from(
    ["\n", "  \n", " # why\n", f" {HASH}\n", f" \\\n  {HASH}\n", f" {HASH} # why\n", "\r\n"]
)


@law
@given(st.lists(st.tuples(decoration, requirements, ending), max_size=5))
def test_comments_blank_lines_and_hashes_do_not_count(lines: list[tuple[str, str, str]]) -> None:
    result = flattened("".join(before + requirement + after for before, requirement, after in lines))
    assert result.problems == []
    assert result.requirements == [str(Requirement(requirement)) for _, requirement, _ in lines]


@pytest.mark.parametrize(
    "line",
    ["-r sub/a.txt", "-rsub/a.txt", "--requirement sub/a.txt", "--requirement=sub/a.txt", "-r ./sub/a.txt"],
)
def test_an_included_file_is_read_at_its_place(line: str) -> None:
    result = flattened(f"pandas\n{line}  # more\nattrs\n", sub_a="numpy\n")
    assert (result.requirements, result.constraints) == (["pandas", "numpy", "attrs"], [])


@pytest.mark.parametrize("line", ["-c sub/a.txt", "--constraint sub/a.txt", "--constraint=sub/a.txt"])
def test_an_included_constraints_file_gives_constraints_all_the_way_down(line: str) -> None:
    result = flattened(f"pandas\n{line}\n", sub_a="numpy<2\n-r b.txt\n", sub_b="attrs<20\n")
    assert (result.requirements, result.constraints) == (["pandas"], ["numpy<2", "attrs<20"])


def test_an_included_path_counts_from_the_file_that_names_it() -> None:
    result = flattened("-r sub/a.txt\n", sub_a="-r b.txt\n-r ../c.txt\n", sub_b="b\n", c="c\n")
    assert result.requirements == ["b", "c"]


def test_a_file_may_be_included_twice_but_not_by_itself() -> None:
    twice = flattened("-r a.txt\n-r a.txt\n", a="numpy\n")
    assert (twice.requirements, twice.problems) == (["numpy", "numpy"], [])
    result = flattened("pandas\n-r a.txt\n", a="-r ./requirements.txt\n")
    assert [problem.where for problem in result.problems] == ["requirements.txt"]
    assert "requirements.txt -> a.txt -> requirements.txt" in result.problems[0].what
    assert result.requirements == ["pandas"]


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("-i https://index.example/whatever", "names an index"),
        ("--index-url=https://index.example/whatever", "names an index"),
        ("--extra-index-url https://index.example/whatever", "names an index"),
        ("-f wheels", "names an index"),
        ("--find-links wheels", "names an index"),
        ("--no-index", "names an index"),
        ("--trusted-host index.example", "names an index"),
        ("-e .", "editable install"),
        ("--editable=.", "editable install"),
        ("--pre", "'--pre' is not supported"),
        ("--requirements a.txt", "'--requirements' is not supported"),
        ("--constraints=a.txt", "'--constraints' is not supported"),
        ("pandas=>2", "not a requirement"),
        ("./wheels/a.whl", "not a requirement"),
        ("https://index.example/a.whl", "not a requirement"),
        ("a @ https://index.example/a.whl", "by URL"),
        ("pandas --global-option=x", "not a requirement"),
    ],
)
def test_a_line_that_can_not_be_locked_is_named_with_its_number(line: str, word: str) -> None:
    result = flattened(f"# a comment\npandas\n{line}\nnumpy\n")
    assert [problem.where for problem in result.problems] == ["requirements.txt:3"]
    assert word in result.problems[0].what
    assert result.problems[0].remedy
    assert result.requirements == ["pandas", "numpy"]


@pytest.mark.parametrize("option", ["-r", "-c"])
def test_an_include_by_url_is_refused_at_its_line_with_the_url_as_it_is_written(option: str) -> None:
    result = flattened(f"pandas\n{option} https://index.example/constraints.txt\nnumpy\n")
    assert result.requirements == ["pandas", "numpy"]
    assert [problem.where for problem in result.problems] == ["requirements.txt:2"]
    assert "https://index.example/constraints.txt" in result.problems[0].what


def test_a_line_that_spans_several_is_named_by_its_first() -> None:
    result = flattened("pandas\nnot a \\\n requirement\n-r \\\n gone.txt\n")
    assert [problem.where for problem in result.problems] == ["requirements.txt:2", "gone.txt"]


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (FileNotFoundError("gone"), "no such file"),
        (IsADirectoryError("a folder"), "a folder"),
        (PermissionError("not allowed"), "not allowed"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "invalid start byte"),
    ],
)
def test_a_file_that_can_not_be_read_is_a_problem(error: Exception, word: str) -> None:
    def read(path: str) -> str:
        raise error

    for result in (
        flatten_requirements_file("a.txt", read),
        flatten_pyproject(PyprojectSource.model_validate({"path": "a.txt"}), read),
    ):
        assert [problem.where for problem in result.problems] == ["a.txt"]
        assert word in result.problems[0].what
        assert result.problems[0].remedy


def test_text_that_was_fetched_holds_requirements_alone() -> None:
    result = flatten_requirements_text("pandas==2\n# x\n-r a.txt\nnumpy\nno no\n", "env_a: constraints[0]")
    assert result.requirements == ["pandas==2", "numpy"]
    assert [problem.where for problem in result.problems] == [
        "env_a: constraints[0]:3",
        "env_a: constraints[0]:5",
    ]
    assert "'-r' is not supported" in result.problems[0].what


TEAM = """
[project]
name = "Team_A"
dependencies = ["pandas>=2"]
[project.optional-dependencies]
"Excel.Files" = ["openpyxl"]
parquet = ["pyarrow", "team-a[excel-files]"]
all = ["team.a[Parquet]", "numpy"]
loop = ["team-a[all, loop]"]
[dependency-groups]
test = ["pytest"]
dev = ["ruff", { include-group = "test" }]
"""


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({}, ["pandas>=2"]),
        ({"extras": ["excel-files"]}, ["pandas>=2", "openpyxl"]),
        ({"extras": ["EXCEL_files"]}, ["pandas>=2", "openpyxl"]),
        ({"extras": ["all"]}, ["pandas>=2", "numpy", "pyarrow", "openpyxl"]),
        ({"extras": ["loop"]}, ["pandas>=2", "numpy", "pyarrow", "openpyxl"]),
        ({"dependency_groups": ["test"]}, ["pytest"]),
        ({"dependency_groups": ["dev"]}, ["ruff", "pytest"]),
        (
            {"dependency_groups": ["Dev"], "extras": ["parquet"]},
            ["pandas>=2", "pyarrow", "openpyxl", "ruff", "pytest"],
        ),
    ],
)
def test_a_pyproject_gives_the_parts_that_are_named(parts: dict[str, list[str]], expected: list[str]) -> None:
    result = pyproject(TEAM, **parts)
    assert (result.requirements, result.problems) == (expected, [])


def test_a_marker_on_an_extra_of_the_project_itself_is_not_lost() -> None:
    text = (
        "[project]\nname = 'a'\n[project.optional-dependencies]\n"
        "old = ['polars']\nall = [\"a[old] ; python_version < '3.11'\"]\n"
    )
    result = pyproject(text, extras=["all"])
    assert result.problems or "polars" not in result.requirements


@pytest.mark.parametrize(
    ("text", "parts", "place", "word"),
    [
        ("[project\n", {}, "", "not valid TOML"),
        ("[tool.x]\n", {}, ": project", "no [project] table"),
        ("project = 1\n", {}, ": project", "no [project] table"),
        ("[project]\nname = 'a'\ndynamic = ['dependencies']\n", {}, ": project", "dynamic"),
        (
            "[project]\nname = 'a'\ndynamic = ['optional-dependencies']\n",
            {"extras": ["x"]},
            ": project",
            "dynamic",
        ),
        ("[project]\ndependencies = 'pandas'\n", {}, ": project.dependencies", "not a list"),
        ("[project]\ndependencies = ['a', 'b b']\n", {}, ": project.dependencies[1]", "not a requirement"),
        ("[project]\ndependencies = [1]\n", {}, ": project.dependencies[0]", "not a"),
        (TEAM, {"extras": ["parket"]}, ": project.optional-dependencies.parket", "no such extra"),
        (TEAM, {"dependency_groups": ["tests"]}, ": dependency-groups.tests", "no such dependency group"),
        (
            "[dependency-groups]\na = [{ include-group = 'a' }]\n",
            {"dependency_groups": ["a"]},
            ": dependency-groups.a",
            "",
        ),
        (
            "[dependency-groups]\na = [{ include-group = 'gone' }]\n",
            {"dependency_groups": ["a"]},
            ": dependency-groups.a",
            "gone",
        ),
        (
            "[dependency-groups]\na = ['x', 'y y']\n",
            {"dependency_groups": ["a"]},
            ": dependency-groups.a",
            "y y",
        ),
    ],
)
def test_what_is_wrong_in_a_pyproject_is_named_with_its_path(
    text: str, parts: dict[str, list[str]], place: str, word: str
) -> None:
    (problem,) = pyproject(text, **parts).problems
    assert problem.where.startswith(f"team/pyproject.toml{place}")
    assert word in problem.what
    assert problem.what
    assert problem.remedy


def test_a_misspelt_extra_or_group_is_told_the_nearest_one() -> None:
    (extra,) = pyproject(TEAM, extras=["parket"]).problems
    (group,) = pyproject(TEAM, dependency_groups=["tests"]).problems
    assert "'parquet'" in extra.remedy
    assert "'test'" in group.remedy


def test_dynamic_extras_do_not_matter_to_who_takes_the_dependencies_alone() -> None:
    text = (
        "[project]\nname = 'a'\ndynamic = ['optional-dependencies', 'version']\ndependencies = ['pandas']\n"
    )
    result = pyproject(text)
    assert (result.requirements, result.problems) == (["pandas"], [])


def test_one_wrong_line_or_extra_does_not_hide_the_others() -> None:
    text = (
        "[project]\nname = 'a'\ndependencies = [1, 'x', 'y y', 'z']\noptional-dependencies = { b = ['c'] }\n"
    )
    result = pyproject(text, extras=["gone", "b"])
    assert result.requirements == ["x", "z", "c"]
    assert [problem.where for problem in result.problems] == [
        "team/pyproject.toml: project.dependencies[0]",
        "team/pyproject.toml: project.dependencies[2]",
        "team/pyproject.toml: project.optional-dependencies.gone",
    ]


foreign = st.recursive(
    st.sampled_from(["a", "pandas", "dependencies", "x y"]) | st.integers(0, 3) | st.booleans(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "include-group", "all"]), inner, max_size=3)
    ),
    max_leaves=5,
)
foreign_files = st.fixed_dictionaries(
    {},
    optional={
        "project": foreign
        | st.fixed_dictionaries(
            {},
            optional={
                "name": foreign,
                "dynamic": foreign,
                "dependencies": foreign,
                "optional-dependencies": foreign,
            },
        ),
        "dependency-groups": foreign,
    },
)


@law
@given(foreign_files, st.lists(st.sampled_from(["a", "all"]), max_size=2), st.lists(st.just("a"), max_size=1))
def test_a_pyproject_of_any_shape_gives_requirements_or_problems(
    document: dict[str, Any], extras: list[str], groups: list[str]
) -> None:
    result = pyproject(tomlkit.dumps(document), extras=extras, dependency_groups=groups)
    assert all(Requirement(text) for text in result.requirements)
    assert all(
        problem.where.startswith("team/pyproject.toml") and problem.remedy for problem in result.problems
    )


@pytest.mark.parametrize(
    "line",
    [
        "-ihttps://user:s3cret@index.example/x",
        "--index-url https://user:s3cret@index.example/x",
        "-c https://user:s3cret@index.example/c.txt",
        "https://user:s3cret@index.example/a.whl",
    ],
)
def test_credentials_in_a_refused_line_are_not_shown(line: str) -> None:
    (problem,) = flattened(f"{line}\n").problems
    assert "s3cret" not in str(problem)
