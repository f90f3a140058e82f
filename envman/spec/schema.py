"""JSON Schemas (draft 2020-12) of the two file formats, generated from the model."""

from __future__ import annotations

import json
from enum import Enum

from envman.spec.model import EnvironmentSpec, ProjectSpec
from envman.spec.toml_table import TomlTable


class SchemaName(str, Enum):
    """The two kinds of files that have a schema."""

    project = "project"
    environment = "environment"


_MODELS: dict[SchemaName, type[TomlTable]] = {
    SchemaName.project: ProjectSpec,
    SchemaName.environment: EnvironmentSpec,
}
FILE_NAMES = {name: f"{name.value}.schema.json" for name in SchemaName}


def schema_text(name: SchemaName) -> str:
    """The schema as JSON text, ending in a newline."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_MODELS[name].model_json_schema(by_alias=True),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
