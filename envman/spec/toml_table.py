"""What all tables of `envman.toml` and of specs have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


def _kebab(field: str) -> str:
    return field.replace("_", "-")


class TomlTable(BaseModel):
    """A TOML table: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=_kebab)
