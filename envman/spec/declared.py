"""What is declared, as digests: for signatures, and for the manifests of what is built from it.

What is not stated is left out, so that a key that a later envman brings changes no digest.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields, is_dataclass
from typing import Any

from envman.resolver.credential import Credential
from envman.spec.inputs import digest
from envman.spec.project import Environment, Project

_OF_THE_HOST = frozenset({"directory", "root", "environments", "uv_config"})
"""Where a project stands and publishes, and what has a digest of its own."""


def spec_digest(environment: Environment) -> str:
    """Digest of the whole declared environment, inheritance applied; what `dev` says is in no generation."""
    unstated = Environment(environment.name, "", "", (), ())
    return digest([environment.name, _text(environment, unstated, frozenset({"name", "dev"}))])


def project_digest(project: Project) -> str:
    """Digest of what `envman.toml` says of the deployment: its bundles, teams, images and components."""
    unstated = Project("", "", None, None, None, None, False, {}, {}, {}, {}, (), "")
    return digest([_text(project, unstated, _OF_THE_HOST)])


def _text(declared: Environment | Project, unstated: Environment | Project, without: frozenset[str]) -> str:
    stated = {
        field.name: getattr(declared, field.name)
        for field in fields(declared)
        if field.name not in without and getattr(declared, field.name) != getattr(unstated, field.name)
    }
    return json.dumps(stated, sort_keys=True, default=_plain)


def _plain(value: Any) -> object:
    """A value within a declared one: a credential, limits, or a table of the file's model."""
    if isinstance(value, Credential):
        return value.text()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return value.model_dump(exclude_defaults=True)
