"""Digests of what is declared: another one for whatever is said otherwise, the same one where it is not."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from envman.resolver.credential import Credential
from envman.spec.declared import project_digest, spec_digest
from envman.spec.model import Bundle, PyprojectSource, SourceFolder, Team
from envman.spec.project import Environment, Project, ResourceLimits

ENVIRONMENT = Environment("env_a", "environments/env_a.toml", "==3.12.*", ("linux-x86_64",), ("frame",))
OTHERWISE: dict[str, Any] = {
    "name": "env_b",
    "file": "environments/env_b.toml",
    "requires_python": "==3.13.*",
    "platforms": ("linux-aarch64",),
    "dependencies": ("grid",),
    "requirements_files": ("a.txt",),
    "sources": (SourceFolder.model_validate("libs/own"),),
    "pyprojects": (PyprojectSource.model_validate({"path": "pyproject.toml"}),),
    "constraints": ("c.txt",),
    "overrides": ("frame==1",),
    "exclude_newer": "7 days",
    "exclude_newer_except": ("grid",),
    "no_build": True,
    "build_network": ("frame",),
    "build_variables": {"CFLAGS": "-O0"},
    "airflow": False,
    "set_variables": {"TZ": "UTC"},
    "keep_out": ("AWS_*",),
    "passed": ("MY_*",),
    "credentials": (Credential("token", "command", ("/bin/cat", "/x"), "TOKEN", False),),
    "check_imports": ("frame",),
    "check_commands": (("python", "-V"),),
    "warm": False,
    "preload": ("frame",),
    "server_idle": 60,
    "user": "team_a",
    "group": "team_a",
    "limits": ResourceLimits(memory=2**30),
    "image_base": "debian",
    "apt": ("gcc",),
}
PROJECT = Project("/here", "/venv", None, None, None, None, False, {}, {}, {}, {}, (), "")
OF_A_PROJECT: dict[str, Any] = {
    "airflow_version": "3.3.2",
    "default_environment": "env_a",
    "airflow_environment": "env_a",
    "sandbox_required": True,
    "bundles": {"bundle_a": Bundle(environment="env_a")},
    "teams": {"team_a": Team(environment="env_a")},
    "images": {"env_a": "registry.example/env_a:1"},
    "allowed_triggers": ("airflow.*",),
    "server_memory": "25%",
}


def test_each_thing_that_is_declared_otherwise_has_another_digest() -> None:
    assert OTHERWISE.keys() | {"dev"} == {field.name for field in fields(Environment)}
    assert spec_digest(replace(ENVIRONMENT, dev=("pytest",))) == spec_digest(ENVIRONMENT)  # in no generation
    changed = {spec_digest(replace(ENVIRONMENT, **{key: value})) for key, value in OTHERWISE.items()}
    assert len(changed | {spec_digest(ENVIRONMENT)}) == len(OTHERWISE) + 1


def test_so_has_each_thing_of_a_project_but_where_it_stands() -> None:
    elsewhere = {"directory", "root", "environments", "uv_config"}
    assert OF_A_PROJECT.keys() | elsewhere == {field.name for field in fields(Project)}
    changed = {project_digest(replace(PROJECT, **{key: value})) for key, value in OF_A_PROJECT.items()}
    assert len(changed | {project_digest(PROJECT)}) == len(OF_A_PROJECT) + 1
    moved = replace(PROJECT, directory="/there", root="/srv", uv_config="/there/uv.toml")
    assert project_digest(moved) == project_digest(PROJECT)


@pytest.mark.parametrize(
    "field", ["bundles", "teams"], ids=["another bundle's environment", "another team's environment"]
)
def test_where_work_goes_is_part_of_it(field: str) -> None:
    kind = {"bundles": Bundle, "teams": Team}[field]
    one, other = ({"a": kind(environment=name)} for name in ("env_a", "env_b"))
    first, second = replace(PROJECT, **{field: one}), replace(PROJECT, **{field: other})
    assert project_digest(first) != project_digest(second)


def test_the_same_is_the_same_in_another_process_and_order() -> None:
    """Of all that may be declared: nothing has an address in it, and no order of a table counts."""
    whole = replace(ENVIRONMENT, **OTHERWISE)
    again = replace(
        whole,
        credentials=(Credential("token", "command", ("/bin/cat", "/x"), "TOKEN", False),),
        build_variables=dict(reversed([*{"A": "1", "CFLAGS": "-O0"}.items()])),
    )
    whole = replace(whole, build_variables={"A": "1", "CFLAGS": "-O0"})
    assert spec_digest(whole) == spec_digest(again)


def test_what_is_not_stated_is_not_part_of_it() -> None:
    """A key that a later envman brings leaves all signatures as they are."""
    assert spec_digest(ENVIRONMENT) == spec_digest(replace(ENVIRONMENT, warm=True, limits=ResourceLimits()))
