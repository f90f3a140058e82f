from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from envman.spec.model import EnvironmentSpec, ProjectSpec
from envman.spec.parse import parse_toml
from envman.spec.schema import FILE_NAMES, SchemaName, schema_text
from envman.spec.starter import starter_files

MODELS = {SchemaName.project: ProjectSpec, SchemaName.environment: EnvironmentSpec}


def validator(name: SchemaName) -> Draft202012Validator:
    return Draft202012Validator(json.loads(schema_text(name)))


@pytest.mark.parametrize("name", SchemaName)
def test_a_schema_is_one_of_the_draft_that_it_names(name: SchemaName) -> None:
    schema = json.loads(schema_text(name))
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("name", SchemaName)
def test_a_schema_ends_in_one_newline_and_is_the_same_every_time(name: SchemaName) -> None:
    assert schema_text(name).endswith("}\n")
    assert schema_text(name) == schema_text(name)


@pytest.mark.parametrize("name", SchemaName)
def test_every_key_has_a_description_and_is_written_as_in_the_file(name: SchemaName) -> None:
    schema = json.loads(schema_text(name))
    tables = [schema, *schema["$defs"].values()]
    properties = [item for table in tables for item in table.get("properties", {}).items()]
    assert len(properties) > len(tables)
    assert [key for key, value in properties if not value.get("description")] == []
    assert [key for key, _ in properties if "_" in key] == []


def test_each_schema_has_its_own_file() -> None:
    assert {
        SchemaName.project: "project.schema.json",
        SchemaName.environment: "environment.schema.json",
    } == FILE_NAMES


@pytest.mark.parametrize(
    ("name", "path"),
    [(SchemaName.project, "envman.toml"), (SchemaName.environment, "environments/env_a.toml")],
)
def test_the_starter_answers_its_schemas(name: SchemaName, path: str) -> None:
    data, _ = parse_toml(starter_files("3.3.2", ["3.12.1"])[path], path)
    assert data
    assert list(validator(name).iter_errors(data)) == []


@pytest.mark.parametrize(
    ("name", "data"),
    [
        (SchemaName.environment, {"dependancies": []}),
        (SchemaName.environment, {"dependencies": "pandas"}),
        (SchemaName.environment, {"platforms": []}),
        (SchemaName.environment, {"platforms": ["linux"]}),
        (SchemaName.environment, {"airflow": "no"}),
        (SchemaName.environment, {"checks": {"import": []}}),
        (SchemaName.environment, {"pyprojects": [{}]}),
        (SchemaName.environment, {"variables": {"set": {"A": 1}}}),
        (SchemaName.environment, {"warm": "no"}),
        (SchemaName.environment, {"user": 1001}),
        (SchemaName.environment, {"server-idle": 600}),
        (SchemaName.project, {"servers": {"memory": 25}}),
        (SchemaName.environment, {"limits": {"cpu": 0}}),
        (SchemaName.environment, {"limits": {"cpu": True}}),
        (SchemaName.environment, {"limits": {"pids": 3}}),
        (SchemaName.environment, {"limits": {"pids": 4.5}}),
        (SchemaName.environment, {"limits": {"memory": 1}}),
        (SchemaName.environment, {"limits": {"disk": "1G"}}),
        (SchemaName.project, {"defaults": {"variables": {"pass": "A"}}}),
        (SchemaName.project, {"bundles": {"b": {"enviroment": "a"}}}),
        (SchemaName.project, {"bundles": {"b": "a"}}),
        (SchemaName.project, {"teams": {"t": {}}}),
        (SchemaName.project, {"defaults": {"extends": ["a"]}}),
        (SchemaName.project, {"root": 1}),
    ],
)
def test_an_editor_marks_what_envman_refuses(name: SchemaName, data: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        MODELS[name].model_validate(data)
    assert not validator(name).is_valid(data)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        (SchemaName.environment, {}),
        (SchemaName.environment, {"extends": ["a"], "abstract": True, "airflow": False}),
        (SchemaName.environment, {"pyprojects": [{"path": "p", "dependency-groups": ["g"]}]}),
        (SchemaName.environment, {"variables": {"set": {"A": ""}, "keep-out": ["AWS_*"]}}),
        (SchemaName.environment, {"checks": {"commands": [["python", "-V"]]}}),
        (SchemaName.environment, {"warm": False, "preload": ["a.b"], "user": "a", "group": "1"}),
        (SchemaName.environment, {"limits": {"memory": "1G", "cpu": 1, "pids": 4}, "server-idle": "10m"}),
        (SchemaName.project, {"servers": {"memory": "25%"}}),
        (SchemaName.project, {"defaults": {"limits": {"cpu": 1.5}, "variables": {"pass": ["A*"]}}}),
        (SchemaName.project, {"root": ".venvs", "airflow-version": "3.3.2", "uv-config": "uv.toml"}),
        (SchemaName.project, {"bundles": {"b": {}}, "teams": {"t": {"environment": "a"}}}),
        (SchemaName.project, {"defaults": {"platforms": ["linux-x86_64"]}}),
    ],
)
def test_an_editor_accepts_what_envman_accepts(name: SchemaName, data: dict[str, Any]) -> None:
    MODELS[name].model_validate(data)
    assert list(validator(name).iter_errors(data)) == []
