from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from envman.errors import Problem, SpecError
from envman.lock.lockfile import Lock, parse_lock, render
from envman.resolver.table import Table
from envman.spec.inputs import ConstraintSet, Inputs, fingerprint
from envman.spec.load import ProjectFiles, load_inputs, load_project, with_fetched
from envman.spec.merge import merge
from envman.spec.model import Content, EnvironmentSpec
from envman.spec.project import Project
from envman.spec.publication import project_table
from envman.store.root import find_root
from tests.strategies import free_text, law

PYTHON = 'requires-python = "==3.12.*"\n'
DEFAULTS = f"[defaults]\n{PYTHON}"


def write(folder: Path, files: dict[str, str]) -> ProjectFiles:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return ProjectFiles(folder)


def load(folder: Path, files: dict[str, str]) -> Project:
    return load_project(write(folder, files))


def refused(files: ProjectFiles) -> dict[str, Problem]:
    """The problems by place; every one has a cause and a remedy, and no place is told twice."""
    with pytest.raises(SpecError) as caught:
        load_project(files)
    problems = caught.value.problems
    assert all(problem.what and problem.remedy for problem in problems), problems
    found = {problem.where.partition(" (")[0]: problem for problem in problems}
    assert len(found) == len(problems), problems
    return found


def inputs_of(folder: Path, files: dict[str, str], name: str = "env_a") -> Inputs:
    written = write(folder, {"envman.toml": DEFAULTS, **files})
    project = load_project(written)
    inputs, problems = load_inputs(written, project.environments[name], "3.3.2")
    assert problems == []
    return inputs


def test_a_project_is_loaded_with_everything_applied(tmp_path: Path) -> None:
    project = load(
        tmp_path,
        {
            "envman.toml": 'root = "out"\nairflow-version = "3.3.2"\ndefault-environment = "env_a"\n'
            + DEFAULTS
            + '[bundles]\na = { environment = "env_a" }\nb = { team = "t" }\nc = {}\n'
            + '[teams]\nt = { environment = "env_b" }\n',
            "environments/base.toml": 'abstract = true\ndependencies = ["attrs"]\n',
            "environments/env_a.toml": 'dependencies = ["pandas"]\n',
            "environments/env_b.toml": 'extends = ["base"]\n',
            "environments/env_a.lock": "not a spec",
        },
    )
    assert (project.directory, project.root) == (str(tmp_path), str(tmp_path / "out"))
    assert (project.airflow_version, project.default_environment) == ("3.3.2", "env_a")
    assert {name: entry.dependencies for name, entry in project.environments.items()} == {
        "env_a": ("pandas",),
        "env_b": ("attrs",),
    }
    assert project.environments["env_b"].requires_python == "==3.12.*"
    assert project.bundles["b"].team == "t"
    assert project.teams["t"].environment == "env_b"


def test_all_errors_of_all_files_are_found_in_one_run(tmp_path: Path) -> None:
    files = write(
        tmp_path,
        {
            "envman.toml": "uv-config = 'gone/uv.toml'\n"
            + DEFAULTS
            + '[bundles]\nb = { team = "nobody" }\nc = {}\n[teams]\nt = { environment = "env_x" }\n',
            "environments/all.toml": "",
            "environments/env_a.toml": 'dependencies = ["pandas=>2"]\n[checks]\nimport = ["pandas"]\n',
            "environments/env_b.toml": 'extends = ["gone"]\n',
            "environments/env_c.toml": 'requirements-files = ["gone.txt", "wrong.txt"]\nconstraints = ["../c.txt"]\n',
            "environments/env_d.toml": "dependencies = [\n",
            "environments/env_e.toml": "[[pyprojects]]\npath = '../pyproject.toml'\nextras = ['x']\n",
            "pyproject.toml": "[project]\nname = 'team'\ndependencies = []\n",
            "environments/wrong.txt": "pandas\n-e .\n",
        },
    )
    assert set(refused(files)) == {
        "envman.toml: uv-config",
        "envman.toml: bundles.b.team",
        "envman.toml: bundles.c",
        "envman.toml: teams.t.environment",
        "environments/all.toml",
        "environments/env_a.toml: dependencies[0]",
        "environments/env_a.toml: checks.import",
        "environments/env_b.toml: extends[0]",
        "environments/gone.txt",
        "environments/wrong.txt:2",
        "c.txt",
        "environments/env_d.toml",
        "pyproject.toml: project.optional-dependencies.x",
    }


RUNNING = """\
warm = false
preload = ["a"]
server-idle = "90s"
user = "team_a"
group = "team_a"
limits = { memory = "1G", cpu = 2, pids = 100 }
variables = { pass = ["A_*"] }
"""


def test_how_workloads_run_decides_no_lock(tmp_path: Path) -> None:
    bare = inputs_of(tmp_path, {"environments/env_a.toml": 'dependencies = ["a"]\n'})
    running = inputs_of(tmp_path, {"environments/env_a.toml": f'dependencies = ["a"]\n{RUNNING}'})
    assert running == bare
    assert fingerprint(running.digests()) == fingerprint(bare.digests())


def test_a_group_without_a_user_is_told_with_the_errors_of_the_files(tmp_path: Path) -> None:
    specs = {f"environments/{name}.toml": f"requirements-files = ['{name}.txt']\n" for name in ("a", "b")}
    found = refused(write(tmp_path, {"envman.toml": f"{DEFAULTS}group = 'teams'\n", **specs}))
    assert set(found) == {"envman.toml: defaults.group", "environments/a.txt", "environments/b.txt"}


def test_what_the_shared_components_need_is_loaded(tmp_path: Path) -> None:
    text = (
        'airflow-environment = "env_a"\n'
        + DEFAULTS
        + '[bundles]\na = { environment = "env_a", queue = "etl" }\n[images]\nenv_a = "image_a"\n'
        + '[triggerer]\nallow = ["b.*", "a.Trigger"]\n[servers]\nmemory = "4G"\n'
    )
    specs = {"environments/env_a.toml": ""}
    project = load(tmp_path, {"envman.toml": text, **specs})
    assert project.airflow_environment == "env_a"
    assert project.bundles["a"].queue == "etl"
    assert project.images == {"env_a": "image_a"}
    assert project.allowed_triggers == ("b.*", "a.Trigger")
    assert project.server_memory == str(4 << 30)
    assert Table(project_table(project)).server_memory() == str(4 << 30)
    part = load(tmp_path, {"envman.toml": text.replace("4G", "25%"), **specs})
    assert Table(project_table(part)).server_memory() == "25%"
    assert Table(project_table(replace(project, server_memory=""))).server_memory() == ""


def test_unknown_and_abstract_environments_are_told_wherever_they_are_named(tmp_path: Path) -> None:
    text = (
        'airflow-environment = "bare"\ndefault-environment = "env_b"\n'
        + DEFAULTS
        + '[images]\nenv_a = "image_a"\nenv_x = "image_x"\nbare = "image"\n'
    )
    specs = {"environments/env_a.toml": "", "environments/bare.toml": "abstract = true\n"}
    found = refused(write(tmp_path, {"envman.toml": text, **specs}))
    assert {where: problem.what for where, problem in found.items()} == {
        "envman.toml: airflow-environment": "is abstract: it is never built",
        "envman.toml: default-environment": "there is no spec environments/env_b.toml",
        "envman.toml: images.env_x": "there is no spec environments/env_x.toml",
        "envman.toml: images.bare": "is abstract: it is never built",
    }
    assert "Did you mean 'env_a'?" in found["envman.toml: images.env_x"].remedy


def test_errors_of_envman_toml_do_not_hide_those_of_the_specs(tmp_path: Path) -> None:
    files = write(
        tmp_path,
        {"envman.toml": "root = 1\nroots = 2\n", "environments/env_a.toml": PYTHON + "airflow = 'no'\n"},
    )
    assert set(refused(files)) == {
        "envman.toml: root",
        "envman.toml: roots",
        "environments/env_a.toml: airflow",
    }


def test_a_wrong_spec_is_not_also_called_a_missing_one(tmp_path: Path) -> None:
    files = write(
        tmp_path,
        {
            "envman.toml": "default-environment = 'env_a'\n"
            + DEFAULTS
            + "[bundles]\nb = { environment = 'env_a' }\n",
            "environments/env_a.toml": "airflow = 'no'\n",
            "environments/env_b.toml": "extends = ['env_a']\n",
        },
    )
    assert set(refused(files)) == {"environments/env_a.toml: airflow"}


def test_what_wrong_defaults_would_have_stated_is_not_called_missing(tmp_path: Path) -> None:
    files = write(tmp_path, {"envman.toml": f"rot = 'x'\n{DEFAULTS}", "environments/env_a.toml": ""})
    assert set(refused(files)) == {"envman.toml: rot"}


def test_a_file_that_two_environments_name_is_read_for_both_and_told_of_each(tmp_path: Path) -> None:
    files = write(
        tmp_path,
        {
            "envman.toml": DEFAULTS,
            "environments/env_a.toml": "requirements-files = ['../wrong.txt']\n",
            "environments/env_b.toml": "requirements-files = ['../wrong.txt']\n",
            "wrong.txt": "-e .\n",
        },
    )
    assert set(refused(files)) == {"wrong.txt:1"}


def test_without_envman_toml_there_is_no_project(tmp_path: Path) -> None:
    files = write(tmp_path, {"environments/env_a.toml": PYTHON})
    assert refused(files)["envman.toml"].what == "there is no such file"


@pytest.mark.parametrize("folder", ["environments", "elsewhere"])
def test_without_a_spec_there_is_no_project(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir()
    found = refused(write(tmp_path, {"envman.toml": DEFAULTS}))
    assert list(found) == ["environments/"]


def test_a_spec_that_is_no_text_is_a_problem(tmp_path: Path) -> None:
    files = write(tmp_path, {"envman.toml": DEFAULTS, "environments/env_a.toml": ""})
    (tmp_path / "environments" / "env_b.toml").write_bytes(b"\xff\xfe")
    (tmp_path / "environments" / "env_c.toml").mkdir()
    found = refused(files)
    assert set(found) == {"environments/env_b.toml", "environments/env_c.toml"}
    assert all("can't be read" in problem.what for problem in found.values())


def test_names_that_differ_in_case_alone_are_refused(tmp_path: Path) -> None:
    specs = {f"environments/{name}.toml": "" for name in ("Env_A", "env_a", "env_b")}
    files = write(tmp_path, {"envman.toml": DEFAULTS, **specs, "environments/zoo.toml": "airflow = 1\n"})
    found = refused(files)
    assert list(found) == ["environments/env_a.toml", "environments/zoo.toml: airflow"]
    assert "'Env_A'" in found["environments/env_a.toml"].what


@pytest.mark.parametrize(
    ("text", "place", "word"),
    [
        ('default-environment = "env_x"', "default-environment", "environments/env_x.toml"),
        ('default-environment = "base"', "default-environment", "abstract"),
        ('[bundles]\nb = { environment = "env_x" }', "bundles.b.environment", "environments/env_x.toml"),
        ('[bundles]\nb = { environment = "base" }', "bundles.b.environment", "abstract"),
        ('[teams]\nt = { environment = "env_x" }', "teams.t.environment", "environments/env_x.toml"),
        ('[teams]\nt = { environment = "base" }', "teams.t.environment", "abstract"),
    ],
)
def test_a_reference_to_what_is_never_built_is_refused(
    tmp_path: Path, text: str, place: str, word: str
) -> None:
    files = write(
        tmp_path,
        {
            "envman.toml": f"{text}\n{DEFAULTS}",
            "environments/base.toml": "abstract = true\n",
            "environments/env_a.toml": "",
        },
    )
    found = refused(files)
    assert list(found) == [f"envman.toml: {place}"]
    assert word in found[f"envman.toml: {place}"].what
    assert "env_a" in found[f"envman.toml: {place}"].remedy


@pytest.mark.parametrize(
    ("text", "place", "word"),
    [
        ("[bundles]\nb = {}", "bundles.b", "default-environment"),
        ('[bundles]\nb = { team = "team_aa" }', "bundles.b.team", "Did you mean 'team_a'?"),
    ],
)
def test_a_bundle_without_any_answer_is_refused(tmp_path: Path, text: str, place: str, word: str) -> None:
    files = {
        "envman.toml": f"{DEFAULTS}{text}\n[teams]\nteam_a = {{ environment = 'env_a' }}\n",
        "environments/env_a.toml": "",
    }
    found = refused(write(tmp_path, files))
    assert list(found) == [f"envman.toml: {place}"]
    assert word in found[f"envman.toml: {place}"].remedy
    with_default = {**files, "envman.toml": "default-environment = 'env_a'\n" + files["envman.toml"]}
    assert load(tmp_path, with_default).default_environment == "env_a"


def test_the_uv_configuration_is_the_named_one_else_uv_toml_else_none(tmp_path: Path) -> None:
    files = {"envman.toml": DEFAULTS, "environments/env_a.toml": ""}
    assert load(tmp_path, files).uv_config is None
    assert load(tmp_path, {**files, "uv.toml": ""}).uv_config == str(tmp_path / "uv.toml")
    named = {"envman.toml": f"uv-config = 'etc/indexes.toml'\n{DEFAULTS}", "etc/indexes.toml": ""}
    assert load(tmp_path, {**files, **named}).uv_config == str(tmp_path / "etc" / "indexes.toml")


@pytest.mark.parametrize("root", [".venvs", "./out/venvs", "../venvs", "a/../b", "/venv", "/a/../venv/"])
def test_what_builds_and_what_launches_agree_on_the_root(tmp_path: Path, root: str) -> None:
    folder = tmp_path / "project"
    project = load(folder, {"envman.toml": f'root = "{root}"\n{DEFAULTS}', "environments/env_a.toml": ""})
    assert project.root == find_root({}, None, str(folder))


def test_an_edited_text_is_tried_out_in_place_of_the_file(tmp_path: Path) -> None:
    write(tmp_path, {"envman.toml": DEFAULTS, "environments/env_a.toml": 'dependencies = ["pandas"]\n'})
    edited = ProjectFiles(tmp_path, {"environments/env_a.toml": 'dependencies = ["polars"]\n'})
    assert load_project(edited).environments["env_a"].dependencies == ("polars",)
    assert load_project(ProjectFiles(tmp_path)).environments["env_a"].dependencies == ("pandas",)
    wrong = ProjectFiles(tmp_path, {"environments/env_a.toml": 'dependencies = "polars"\n'})
    assert list(refused(wrong)) == ["environments/env_a.toml: dependencies"]


def test_the_inputs_of_a_lock_hold_what_every_named_file_says(tmp_path: Path) -> None:
    inputs = inputs_of(
        tmp_path,
        {
            "environments/env_a.toml": 'dependencies = ["pandas"]\noverrides = ["numpy<2"]\n'
            "requirements-files = ['../team/r.txt']\n"
            "constraints = ['../c.txt', 'https://index.example/c.txt']\n"
            "[[pyprojects]]\npath = '../team/pyproject.toml'\n",
            "team/r.txt": "attrs  # why\n-c limits.txt\n",
            "team/limits.txt": "attrs<20\n",
            "team/pyproject.toml": "[project]\nname = 'team'\ndependencies = ['polars']\n",
            "c.txt": "numpy<3\n-c more.txt\n",
            "more.txt": "scipy<2\n",
        },
    )
    assert inputs.requirements == {
        "dependencies": ("pandas",),
        "requirements-files team/r.txt": ("attrs",),
        "pyprojects[0] team/pyproject.toml": ("polars",),
    }
    assert inputs.constraints == (
        ConstraintSet("constraints c.txt", None, ("numpy<3", "scipy<2")),
        ConstraintSet("constraints[1]", "https://index.example/c.txt", None),
        ConstraintSet("requirements-files team/r.txt -c", None, ("attrs<20",)),
    )
    assert (inputs.environment, inputs.overrides, inputs.airflow_version) == ("env_a", ("numpy<2",), "3.3.2")


def test_an_environment_that_opts_out_has_no_airflow(tmp_path: Path) -> None:
    assert inputs_of(tmp_path, {"environments/env_a.toml": "airflow = false\n"}).airflow_version is None


def test_a_constraints_url_is_read_on_demand(tmp_path: Path) -> None:
    url = "https://index.example/c.txt"
    inputs = inputs_of(
        tmp_path, {"environments/env_a.toml": f"constraints = ['{url}', '../c.txt']\n", "c.txt": "a<2\n"}
    )
    texts = {url: "numpy<2  # why\n"}
    fetched = with_fetched(inputs, texts.__getitem__)
    assert [entry.lines for entry in fetched.constraints] == [("numpy<2",), ("a<2",)]
    assert with_fetched(fetched, {}.__getitem__) == fetched


def test_a_constraints_url_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    inputs = inputs_of(
        tmp_path, {"environments/env_a.toml": "constraints = ['https://index.example/c.txt']\n"}
    )
    with pytest.raises(SpecError) as caught:
        with_fetched(inputs, lambda url: "<html>\n<p>Sign in\n")
    assert [problem.where for problem in caught.value.problems] == [
        "env_a: constraints[0]:1",
        "env_a: constraints[0]:2",
    ]


@law
@example(["a: b.txt", "a# b.txt", " ", "%3A", "ü"])
@given(st.lists(free_text.filter(lambda path: path and "://" not in path), min_size=1, max_size=3))
def test_the_name_of_a_file_is_refused_or_survives_being_written_into_a_lock(paths: list[str]) -> None:
    """The labels of a lock's inputs hold the names of files, which are the teams' own."""
    try:
        spec = EnvironmentSpec.model_validate({"requires-python": "==3.12.*", "requirements-files": paths})
    except ValidationError:
        assert not all(path.isprintable() for path in paths)
        return
    environment = merge({"env_a": spec}, Content())[0]["env_a"]
    files = ProjectFiles(Path("nowhere"), dict.fromkeys(environment.requirements_files, "attrs\n"))
    inputs, problems = load_inputs(files, environment, None)
    assert problems == []
    lock = Lock("env_a", inputs.digests(), ())
    assert parse_lock(render(lock, "environments/env_a.toml"), "environments/env_a.lock", "env_a") == lock


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    files = write(tmp_path, {"envman.toml": DEFAULTS, "environments/env_a.toml": ""})
    os.mkfifo(tmp_path / "environments/env_b.toml")
    assert "no file" in refused(files)["environments/env_b.toml"].what


def test_specs_that_can_not_be_listed_are_not_said_to_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = f'default-environment = "env_a"\n{DEFAULTS}'
    files = write(tmp_path, {"envman.toml": project, "environments/env_a.toml": ""})

    def denied(path: Path) -> list[str]:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "listdir", denied)
    (problem,) = refused(files).values()
    assert (problem.where, problem.what) == ("environments/", "can't be read: Permission denied")


@pytest.mark.parametrize(
    ("text", "what"),
    [("\ufeff", "byte order mark"), ("a = " + 10_000 * "[", "nested too deeply")],
    ids=["BOM", "nested"],
)
def test_a_text_that_no_parser_takes_is_named(tmp_path: Path, text: str, what: str) -> None:
    files = write(tmp_path, {"envman.toml": DEFAULTS, "environments/env_a.toml": text})
    assert what in refused(files)["environments/env_a.toml"].what
