"""Whoever may write a spec may not thereby read files of the machine, nor make an error show their lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from envman.errors import LockError, SpecError
from envman.lock.lock_state import lock_state, read_lock_text
from envman.lock.lockfile import parse_pins
from envman.spec.load import LARGEST_FILE, ProjectFiles, load_project
from envman.spec.parse import LARGEST, parse_toml
from envman.spec.sources import DEEPEST, MOST_FILES, flatten_requirements_file, flatten_requirements_text
from envman.spec.workspace import open_workspace
from tests.strategies import reader

SECRET = "s3cr3t"
TEXT = f"{SECRET} = not a requirement\n-{SECRET}\n--{SECRET}=1\n-----BEGIN {SECRET}\nfine\n"
PYTHON = 'requires-python = "==3.12.*"\n'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project, and beside it a file of the machine."""
    made = tmp_path / "project"
    (made / "environments").mkdir(parents=True)
    (made / "envman.toml").write_text("")
    (made / "environments/env_a.toml").write_text(PYTHON)
    (made / "plain.txt").write_text("")
    (tmp_path / "secret").write_text(TEXT)
    return made


def refused(project: Path) -> str:
    with pytest.raises(SpecError) as caught:
        load_project(ProjectFiles(project))
    assert all(problem.remedy for problem in caught.value.problems)
    text = str(caught.value)
    assert SECRET not in text
    return text


KEYS = {
    "requirements": "requirements-files = ['{}']\n",
    "constraints": "constraints = ['{}']\n",
    "pyproject": "[[pyprojects]]\npath = '{}'\n",
    "include": "requirements-files = ['../includes.txt']\n",
    "includes constraints": "constraints = ['../includes.txt']\n",
}


def name(project: Path, key: str, path: str) -> None:
    """Have a spec name a path, which counts from environments/."""
    (project / "environments/env_a.toml").write_text(PYTHON + KEYS[key].format(path))
    option = "-c" if "constraints" in key else "-r"
    (project / "includes.txt").write_text(
        f"a\n{option} environments/{path}\n" if path[0] != "/" else f"-r {path}\n"
    )


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "path", ["../../secret", "{}/secret", "../x/../../secret", "../../../{}/secret", "../.."]
)
def test_a_path_out_of_the_project_is_refused(project: Path, tmp_path: Path, key: str, path: str) -> None:
    name(project, key, path.format(tmp_path))
    assert "is outside of the project's folder" in refused(project)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("target", ["../secret", "{}/secret"])
@pytest.mark.parametrize("by_folder", [False, True])
def test_a_link_out_of_the_project_is_refused(
    project: Path, tmp_path: Path, key: str, target: str, by_folder: bool
) -> None:
    if by_folder:
        (project / "out").symlink_to(str(Path(target.format(tmp_path)).parent))
        name(project, key, "../out/secret")
    else:
        (project / "link").symlink_to(target.format(tmp_path))
        name(project, key, "../link")
    assert "is an absolute link, or one out of the project's folder" in refused(project)


@pytest.mark.parametrize("file", ["envman.toml", "environments/env_a.toml", "uv.toml"])
def test_the_specs_themselves_are_the_projects_own(project: Path, file: str) -> None:
    (project / file).unlink(missing_ok=True)
    (project / file).symlink_to(Path("../" * (file.count("/") + 1), "secret"))
    assert "is an absolute link, or one out of the project's folder" in refused(project)


@pytest.mark.parametrize("path", ["../secret", "/etc/hostname", "link"])
def test_the_uv_configuration_is_the_projects_own(project: Path, path: str) -> None:
    (project / "link").symlink_to("../secret")
    (project / "envman.toml").write_text(f"uv-config = '{path}'\n")
    assert f"envman.toml: uv-config: {path}: is " in refused(project)


def test_a_link_within_the_project_is_followed(project: Path) -> None:
    """As volumes of Kubernetes have them."""
    (project / "..data").mkdir()
    (project / "..data/r.txt").write_text("attrs\n")
    (project / "r.txt").symlink_to("..data/r.txt")
    name(project, "requirements", "../r.txt")
    assert load_project(ProjectFiles(project)).environments["env_a"].requirements_files == ("r.txt",)


def test_an_absolute_link_is_refused_as_one_wherever_it_leads(project: Path) -> None:
    """The same project may stand elsewhere on the next machine."""
    (project / "r.txt").symlink_to(project / "plain.txt")
    name(project, "requirements", "../r.txt")
    said = refused(project)
    assert "is an absolute link" in said
    assert "a link to it is relative" in said


@pytest.mark.parametrize("url", ["file:///etc/passwd", "FILE:///etc/passwd", "file://localhost/etc/passwd"])
def test_a_file_url_is_refused(project: Path, url: str) -> None:
    name(project, "constraints", url)
    assert "constraints can't be read from 'file'" in refused(project)


def test_a_lock_is_the_projects_own(project: Path) -> None:
    (project / "environments/env_a.lock").symlink_to("../../secret")
    workspace = open_workspace(project)
    environment = workspace.project.environments["env_a"]
    with pytest.raises(
        LockError, match="can't be read: it is an absolute link, or one out of the project's folder"
    ) as caught:
        read_lock_text(workspace, environment)
    assert SECRET not in str(caught.value)
    problem = lock_state(workspace, environment).problem
    assert problem is not None
    assert "can't be read" in problem.what


@pytest.mark.parametrize("key", ["requirements", "constraints", "include"])
def test_a_line_that_is_no_requirement_is_not_shown(project: Path, tmp_path: Path, key: str) -> None:
    (tmp_path / "secret").rename(project / "inside.txt")
    name(project, key, "../inside.txt")
    text = refused(project)
    assert [line.split(":")[1] for line in text.splitlines() if line.startswith("inside.txt")] == [
        "1",
        "2",
        "3",
        "4",
    ]


def test_nor_is_one_of_a_url_or_of_a_lock() -> None:
    found = flatten_requirements_text(TEXT, "env_a: constraints[0]")
    assert len(found.problems) == 4
    assert SECRET not in "".join(map(str, found.problems))
    with pytest.raises(LockError, match=r"env_a.lock:1: this line is not a pinned requirement") as caught:
        parse_pins(TEXT, "env_a.lock", "env_a")
    assert SECRET not in str(caught.value)


def test_files_that_include_each_other_without_end_are_refused() -> None:
    deep = {f"{number}": f"-r {number + 1}\n" for number in range(DEEPEST * 3)}
    (problem,) = flatten_requirements_file("0", reader(deep)).problems
    assert "one below the other" in problem.what
    wide = {f"{number}": f"-r {number + 1}\n" * 2 for number in range(DEEPEST - 5)} | {f"{DEEPEST - 5}": ""}
    found = flatten_requirements_file("0", reader(wide))
    assert ["include each other" in problem.what for problem in found.problems] == [True]
    many = "".join(f"-r a{number}\n" for number in range(MOST_FILES - 1))
    files = {"0": many, **{f"a{number}": "" for number in range(MOST_FILES)}}
    assert flatten_requirements_file("0", reader(files)).problems == []


def test_a_file_without_end_is_refused(project: Path) -> None:
    with (project / "huge.txt").open("w") as stream:
        stream.truncate(LARGEST_FILE + 1)
    name(project, "requirements", "../huge.txt")
    assert "huge.txt" in refused(project)
    (project / "environments/env_a.toml").write_text(f"{PYTHON}# {'x' * LARGEST}\n")
    assert "has more than 1,048,576 characters" in refused(project)


DEEP = [
    "a = " + "[" * 5000,
    "a = " + "{a=" * 5000,
    "a = " + "9" * 5000,
    "a" + ".a" * (LARGEST // 2 - 10) + " = 1",
    "[a" + " . 'a'" * (LARGEST // 6 - 10) + "]",
    "[a" + '.\t"a"' * (LARGEST // 5 - 10) + "]",
    f"dependencies = [\"a; {'(' * 3000}os_name == 'x'{')' * 3000}\"]",
    f"dependencies = ['a=={'9' * 5000}']",
    f"requires-python = '>={'9' * 5000}'",
    f"airflow-version = '{'9' * 5000}'",
    f"limits = {{ memory = '{'9' * 5000}' }}",
    f"limits = {{ pids = 0x{'f' * 5000} }}",
]


@pytest.mark.parametrize("text", DEEP, ids=range(len(DEEP)))
def test_deep_and_huge_values_are_a_sentence(project: Path, text: str) -> None:
    (project / "environments/env_a.toml").write_text(text)
    refused(project)
    (project / "environments/env_a.toml").write_text(PYTHON)
    (project / "envman.toml").write_text(text)
    refused(project)
    parse_toml(text, "pyproject.toml")


def test_specs_that_extend_each_other_without_end_are_refused(project: Path) -> None:
    """Nobody's chain of bases is that long; each step of it is a call, and a look at all the others."""
    for number in range(1500):
        (project / f"environments/e{number}.toml").write_text(f"extends = ['e{number + 1}']\n")
    (project / "environments/e1500.toml").write_text(PYTHON)
    assert "environments/e0.toml: extends: more than 50 specs extend each other" in refused(project)
    (project / "environments/e1500.toml").write_text("extends = ['e0']\n")
    assert "more than 50 specs extend each other" in refused(project)


def test_specs_may_extend_each_other_a_little(project: Path) -> None:
    for number in range(20):
        (project / f"environments/e{number}.toml").write_text(f"extends = ['e{number + 1}']\n")
    (project / "environments/e20.toml").write_text(PYTHON)
    assert load_project(ProjectFiles(project)).environments["e0"].requires_python == "==3.12.*"


@pytest.mark.parametrize(("count", "times"), [(40, 2), (3000, 1)])
def test_groups_that_include_each_other_without_end_are_refused(
    project: Path, count: int, times: int
) -> None:
    """Each includes the next one twice: a small file of a trillion requirements."""
    includes = [", ".join([f"{{include-group = 'g{number + 1}'}}"] * times) for number in range(count)]
    lines = [f"g{number} = [{line}]\n" for number, line in enumerate(includes)]
    text = f"[dependency-groups]\n{''.join(lines)}g{count} = ['attrs']\n"
    (project / "pyproject.toml").write_text(text)
    source = "[[pyprojects]]\npath = '../pyproject.toml'\ndependency-groups = ['g0']\n"
    (project / "environments/env_a.toml").write_text(PYTHON + source)
    assert "has more than 10,000 entries" in refused(project)
    (project / "environments/env_a.toml").write_text(PYTHON + source.replace("g0", f"g{count - 5}"))
    load_project(ProjectFiles(project))
