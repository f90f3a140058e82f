"""`envman schema`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from envman.cli.output import write
from envman.spec.schema import SchemaName, schema_text


def schema_command(
    name: Annotated[SchemaName, typer.Argument(help="Of envman.toml, or of an environment's spec.")],
) -> None:
    """Print the JSON Schema of a file, for editors and checks.

    Example: envman schema environment > environment.schema.json
    """
    write(sys.stdout, schema_text(name))
