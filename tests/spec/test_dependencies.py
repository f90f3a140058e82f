from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from envman.errors import UsageError
from envman.spec.dependencies import add_dependencies, remove_dependencies
from envman.spec.parse import parse_toml
from tests.strategies import law, packages, versions

FILE = "environments/env_a.toml"
SPEC = """\
# The environment of team a.
requires-python = "==3.12.*"   # as on the workers
dependencies = [
    "pandas>=2",  # the frames
    # numpy comes with pandas
    "polars",
]

[checks]  # before it counts
imports = ["pandas"]
"""


def dependencies(text: str) -> list[str]:
    data, problems = parse_toml(text, FILE)
    assert problems == []
    found = data["dependencies"]
    assert isinstance(found, list)
    return found


def test_a_new_requirement_goes_below_the_others_and_all_else_stays() -> None:
    assert add_dependencies(SPEC, FILE, ["attrs"]) == SPEC.replace('"polars",', '"polars",\n    "attrs",')


def test_a_requirement_for_a_package_that_is_there_takes_its_place() -> None:
    assert add_dependencies(SPEC, FILE, ["Pandas[excel]>=3"]) == SPEC.replace("pandas>=2", "Pandas[excel]>=3")


def test_a_requirement_with_another_marker_stands_beside_the_first() -> None:
    edited = add_dependencies(SPEC, FILE, ["pandas<2; python_version < '3.12'"])
    assert dependencies(edited) == ["pandas>=2", "polars", "pandas<2; python_version < '3.12'"]
    again = add_dependencies(edited, FILE, ['pandas<1 ; python_version<"3.12"'])
    assert dependencies(again) == ["pandas>=2", "polars", 'pandas<1 ; python_version<"3.12"']


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# alone\n",
        "[checks]\nimports = []\n",
        "dependencies = []\n",
        "dependencies = [\n]\n",
        "dependencies = [\n  # none yet\n]\n[checks]\nimports = []\n",
    ],
)
def test_the_first_requirement_of_a_spec_finds_its_place(text: str) -> None:
    assert dependencies(add_dependencies(text, FILE, ["pandas"])) == ["pandas"]


@pytest.mark.parametrize(
    "text",
    [
        'dependencies = ["a", "b"]\n',
        'dependencies = ["a",\n  "b"]\n',
        'dependencies = [\n "a",\n "b" # x\n]\n',
    ],
)
def test_a_list_of_any_layout_grows(text: str) -> None:
    assert dependencies(add_dependencies(text, FILE, ["c", "d>=1"])) == ["a", "b", "c", "d>=1"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("[]", '["x"]'),
        ('["a"]', '["a", "x"]'),
        ('["a", "b"]', '[\n    "a",\n    "b",\n    "x",\n]'),
        ('[\n    "a",\n]', '[\n    "a",\n    "x",\n]'),
        ('[\n  "a"\n]', '[\n  "a",\n  "x"\n]'),
    ],
)
def test_a_list_gets_a_line_for_each_requirement_once_it_has_three(before: str, after: str) -> None:
    assert add_dependencies(f"dependencies = {before}\n", FILE, ["x"]) == f"dependencies = {after}\n"


@pytest.mark.parametrize(
    ("requirement", "word"),
    [
        ("pandas=>2", "PEP 508"),
        ("", "PEP 508"),
        ("./a.whl", "PEP 508"),
        ("a @ https://index.example/a.whl", "URL"),
    ],
)
def test_what_is_no_requirement_is_refused(requirement: str, word: str) -> None:
    with pytest.raises(UsageError) as caught:
        add_dependencies(SPEC, FILE, ["attrs", requirement])
    (problem,) = caught.value.problems
    assert problem.where == f"'{requirement}'"
    assert word in problem.what
    assert problem.remedy


def test_a_package_is_taken_out_with_its_own_comment_and_no_other() -> None:
    edited, removed = remove_dependencies(SPEC, FILE, ["Pandas"])
    assert removed == ("pandas>=2",)
    assert edited == SPEC.replace('    "pandas>=2",  # the frames\n', "")


def test_all_lines_of_a_package_are_taken_out_in_their_order() -> None:
    text = "dependencies = [\"a<1 ; python_version < '3.12'\", 'b', \"A>=1 ; python_version >= '3.12'\"]\n"
    edited, removed = remove_dependencies(text, FILE, ["a", "a"])
    assert removed == ("a<1 ; python_version < '3.12'", "A>=1 ; python_version >= '3.12'")
    assert dependencies(edited) == ["b"]


@pytest.mark.parametrize("text", ["", "[checks]\nimports = []\n", SPEC])
def test_a_package_that_is_not_in_the_list_can_not_be_taken_out(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        remove_dependencies(text, FILE, ["numpy"])
    assert [problem.where for problem in caught.value.problems] == [f"{FILE}: dependencies"]
    assert "'numpy'" in str(caught.value)


def test_each_package_that_is_not_in_the_list_is_told_its_own_nearest_one() -> None:
    with pytest.raises(UsageError) as caught:
        remove_dependencies(SPEC, FILE, ["panda", "polars", "polar"])
    first, second = caught.value.problems
    assert "Did you mean 'pandas'?" in first.remedy
    assert "Did you mean 'polars'?" in second.remedy


@pytest.mark.parametrize(
    ("text", "before"),
    [
        ("", []),
        (SPEC, []),
        (f'{SPEC}\n[dev]\ndependencies = ["attrs"]  # ours\n', ["attrs"]),
        ("[dev]\n[checks]\n", []),
        ('dev = { dependencies = ["attrs"] }\n', ["attrs"]),
        ('dev.dependencies = ["attrs"]\n[checks]\n', ["attrs"]),
    ],
)
def test_with_dev_the_list_of_dev_alone_is_edited(text: str, before: list[str]) -> None:
    old, _ = parse_toml(text, FILE)
    edited = add_dependencies(text, FILE, ["pytest>=8"], dev=True)
    new, problems = parse_toml(edited, FILE)
    assert problems == []
    assert new == old | {"dev": {"dependencies": [*before, "pytest>=8"]}}
    removed, taken = remove_dependencies(edited, FILE, ["PyTest"], dev=True)
    assert taken == ("pytest>=8",)
    assert parse_toml(removed, FILE)[0] == old | {"dev": {"dependencies": before}}
    with pytest.raises(UsageError, match=r"It is in \[dev\]: pass --dev"):
        remove_dependencies(edited, FILE, ["pytest"])


def test_a_package_of_the_environment_is_none_of_dev() -> None:
    with pytest.raises(UsageError, match="leave --dev out"):
        remove_dependencies(SPEC, FILE, ["pandas"], dev=True)


lines = st.lists(
    st.tuples(st.booleans(), packages, st.sampled_from(["", ">=1", "==2.0"]), st.booleans()),
    max_size=4,
    unique_by=lambda line: line[1],
)


def spec_text(drawn: list[tuple[bool, str, str, bool]], one_line: bool) -> str:
    if one_line:
        listed = ", ".join(f'"{package}{version}"' for _, package, version, _ in drawn)
        return f"# before\ndependencies = [{listed}]  # beside\n\n[checks]\nimports = []\n"
    rows = []
    for number, (above, package, version, beside) in enumerate(drawn):
        rows += [f"    # above {number}"] if above else []
        rows.append(f'    "{package}{version}",' + (f"  # beside {number}" if beside else ""))
    return "\n".join(
        ["# before", "dependencies = [", *rows, "    # last", "]", "", "[checks]", "imports = []", ""]
    )


def comments(text: str) -> list[str]:
    return [line.partition("#")[2].strip() for line in text.splitlines() if "#" in line]


@law
@given(lines, st.booleans(), packages, versions)
def test_adding_and_removing_a_package_leaves_list_and_comments_as_they_were(
    drawn: list[tuple[bool, str, str, bool]], one_line: bool, package: str, version: str
) -> None:
    present = [line for line in drawn if line[1] != package]
    text = spec_text(present, one_line)
    added = add_dependencies(text, FILE, [f"{package}=={version}"])
    assert dependencies(added) == [*dependencies(text), f"{package}=={version}"]
    removed, taken = remove_dependencies(added, FILE, [package])
    assert taken == (f"{package}=={version}",)
    assert dependencies(removed) == dependencies(text)
    assert comments(added) == comments(removed) == comments(text)


@law
@given(lines.filter(bool), st.booleans(), st.data())
def test_removing_takes_out_exactly_what_was_named(
    drawn: list[tuple[bool, str, str, bool]], one_line: bool, data: st.DataObject
) -> None:
    text = spec_text(drawn, one_line)
    chosen = data.draw(st.lists(st.sampled_from([line[1] for line in drawn]), min_size=1, unique=True))
    edited, removed = remove_dependencies(text, FILE, chosen)
    before = dependencies(text)
    assert list(removed) == [line for line in before if Requirement(line).name in chosen]
    assert dependencies(edited) == [line for line in before if line not in removed]
    assert {c for c in comments(text) if not c.startswith("beside ")} <= set(comments(edited))
