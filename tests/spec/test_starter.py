from __future__ import annotations

import ast
import json
from itertools import combinations

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from envman.spec.merge import merge
from envman.spec.parse import parse_environment, parse_project
from envman.spec.project import Environment
from envman.spec.starter import starter_files

PANDAS = ["1.5.3", "2.3.3", "3.0.1"]


def environments(files: dict[str, str]) -> dict[str, Environment]:
    project, problems = parse_project(files["envman.toml"], "envman.toml")
    assert problems == []
    assert project is not None
    specs = {}
    for name in ("env_a", "env_b"):
        spec, problems = parse_environment(files[f"environments/{name}.toml"], name)
        assert problems == []
        assert spec is not None
        specs[name] = spec
    found, problems = merge(specs, project.defaults)
    assert problems == []
    return found


def admitted(environment: Environment) -> set[str]:
    """The releases of pandas that an environment's requirements admit."""
    (pandas,) = (r for r in map(Requirement, environment.dependencies) if r.name == "pandas")
    return {version for version in PANDAS if version in pandas.specifier}


def test_the_deployment_names_its_airflow_and_whose_bundles_use_what() -> None:
    project, _ = parse_project(starter_files("3.3.2", ["3.12.1"])["envman.toml"], "envman.toml")
    assert project is not None
    assert project.airflow_version == "3.3.2"
    assert project.bundles["bundle_a"].environment == "env_a"
    assert project.bundles["bundle_b"].team == "team_b"
    assert project.teams["team_b"].environment == "env_b"


@pytest.mark.parametrize(
    ("pythons", "python_a", "python_b"),
    [
        ([], "==3.12.*", "==3.12.*"),
        (["3.13.1"], "==3.13.*", "==3.13.*"),
        (["3.13.1", "3.12.4"], "==3.13.*", "==3.12.*"),
        (["3.13.1", "3.12.4", "3.10.2", "3.11.9"], "==3.13.*", "==3.10.*"),
        (["3.12.4", "3.12.1"], "==3.12.*", "==3.12.*"),
        (["3.10.2"], "==3.10.*", "==3.10.*"),
        (["3.14.0rc1", "3.10.2"], "==3.14.*", "==3.10.*"),
    ],
)
def test_the_first_python_is_for_a_and_an_older_one_for_b(
    pythons: list[str], python_a: str, python_b: str
) -> None:
    found = environments(starter_files("3.3.2", pythons))
    assert (found["env_a"].requires_python, found["env_b"].requires_python) == (python_a, python_b)


NEWEST_FIRST = ["3.14.0", "3.13.1", "3.12.4", "3.11.9", "3.10.2"]


@pytest.mark.parametrize("pythons", [(), *combinations(NEWEST_FIRST, 1), *combinations(NEWEST_FIRST, 2)])
def test_the_two_environments_conflict_and_pandas_has_releases_for_both(pythons: tuple[str, ...]) -> None:
    found = environments(starter_files("3.3.2", pythons))
    for environment in found.values():
        python = Version(environment.requires_python.removeprefix("==").removesuffix(".*"))
        has_wheels = {"1.5.3": python < Version("3.12"), "2.3.3": True, "3.0.1": python >= Version("3.11")}
        assert any(has_wheels[version] for version in admitted(environment))
    assert not admitted(found["env_a"]) & admitted(found["env_b"])


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_dag_is_python_and_calls_itself(name: str) -> None:
    source = starter_files("3.3.2", ["3.12.1"])[f"bundles/bundle_{name}/hello_{name}.py"]
    body = ast.parse(source).body
    assert [node.name for node in body if isinstance(node, ast.FunctionDef)] == [f"hello_{name}"]
    assert ast.unparse(body[-1]) == f"hello_{name}()"
    assert 'f"python {PYTHON}"' in source


def test_schemas_stand_where_the_files_look_for_them() -> None:
    files = starter_files("3.3.2", ["3.12.1"])
    for path, folder in (("envman.toml", ""), ("environments/env_a.toml", "environments/")):
        first = files[path].splitlines()[0]
        assert first.startswith("#:schema ./")
        assert json.loads(files[folder + first.removeprefix("#:schema ./")])["title"]
