"""The shape of `envman.toml` and of an environment's spec; the JSON Schemas are generated from it.

Keys follow the standards: `requires-python` and `dependencies` (PEP 621), `dependency-groups` (PEP 735),
requirement strings (PEP 508), version specifiers (PEP 440).
"""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictStr

from envman.spec.names import name_problem

RESERVED_VARIABLES = frozenset({"PATH", "VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH"})
"""Variables that decide which interpreter runs: exec sets or drops them, a spec may not."""

Platform = Literal["linux-x86_64", "linux-aarch64", "macos-arm64", "macos-x86_64", "windows-x86_64"]
DEFAULT_PLATFORMS: tuple[Platform, ...] = ("linux-x86_64", "linux-aarch64")


def _requirement(text: str) -> str:
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"'{text}' is not a requirement (PEP 508): {reason}") from None
    if requirement.url is not None:
        what = f"'{requirement.name}' is given by URL, and a lock holds none"
        raise ValueError(f"{what}: name a version and serve the file from an index")
    return text


def _specifier(text: str) -> str:
    try:
        specifier = SpecifierSet(text)
    except InvalidSpecifier:
        raise ValueError(f"'{text}' is not a version specifier (PEP 440), such as '==3.12.*'") from None
    if not text.strip() or not any(_bounds_below(str(part)) for part in specifier):
        raise ValueError(f"'{text}' has no lower bound; write '==3.12.*' or '>=3.11,<3.13'")
    return text


def _bounds_below(specifier: str) -> bool:
    return specifier.startswith((">", "==", "~="))


def _version(text: str) -> str:
    try:
        Version(text)
    except InvalidVersion:
        raise ValueError(f"'{text}' is not a version, such as '3.3.2'") from None
    return text


def _name(text: str) -> str:
    problem = name_problem(text)
    if problem:
        raise ValueError(problem)
    return text


def _source(text: str) -> str:
    """A path or an http(s) or file URL; credentials in it are refused."""
    if "://" not in text:
        return _path(text)
    url = urlsplit(text)
    if url.scheme not in {"https", "http", "file"}:
        raise ValueError(
            f"constraints are read from files, https, http and file URLs, not from '{url.scheme}'"
        )
    if url.username or url.password:
        raise ValueError("the URL holds credentials; put them into a netrc file (NETRC), never into a spec")
    return text


def _path(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError("the path is empty")
    return text


def _variable(text: str) -> str:
    if not text or "=" in text or "\0" in text:
        raise ValueError(f"'{text}' is not the name of an environment variable")
    if text in RESERVED_VARIABLES:
        raise ValueError(f"'{text}' decides which interpreter runs; envman sets or drops it itself")
    return text


def _value(text: str) -> str:
    if "\0" in text:
        raise ValueError("a variable's value can't hold a NUL character")
    return text


def _pattern(text: str) -> str:
    if not text or "*" in text[:-1] or "=" in text or "\0" in text:
        raise ValueError(f"'{text}' is not a variable's name, with or without a '*' at its end")
    return text


def _module(text: str) -> str:
    if not all(part.isidentifier() for part in text.split(".")):
        raise ValueError(f"'{text}' is not the name of a module")
    return text


def _command(words: tuple[str, ...]) -> tuple[str, ...]:
    if not words or not words[0]:
        raise ValueError("a command is a list of words, such as ['python', '-m', 'pytest', '--version']")
    return words


RequirementText = Annotated[StrictStr, AfterValidator(_requirement)]
SpecifierText = Annotated[StrictStr, AfterValidator(_specifier)]
VersionText = Annotated[StrictStr, AfterValidator(_version)]
Name = Annotated[StrictStr, AfterValidator(_name)]
PathText = Annotated[StrictStr, AfterValidator(_path)]
SourceText = Annotated[StrictStr, AfterValidator(_source)]
VariableName = Annotated[StrictStr, AfterValidator(_variable)]
VariableValue = Annotated[StrictStr, AfterValidator(_value)]
VariablePattern = Annotated[StrictStr, AfterValidator(_pattern)]
ModuleName = Annotated[StrictStr, AfterValidator(_module)]
Command = Annotated[tuple[StrictStr, ...], AfterValidator(_command)]


def _kebab(field: str) -> str:
    return field.replace("_", "-")


class Table(BaseModel):
    """A TOML table: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=_kebab)


class PyprojectSource(Table):
    """Dependencies that a team keeps in its `pyproject.toml`.

    Without `extras` and `dependency-groups` it stands for `project.dependencies`; with `extras` for those and
    the extras; with `dependency-groups` alone for the groups alone.
    """

    path: PathText = Field(description="The pyproject.toml, relative to the file that names it.")
    extras: tuple[StrictStr, ...] = Field(
        (), description="Extras of project.optional-dependencies (PEP 621)."
    )
    dependency_groups: tuple[StrictStr, ...] = Field((), description="Dependency groups (PEP 735).")


class Variables(Table):
    """Environment variables of the processes that `envman exec` starts."""

    set: dict[VariableName, VariableValue] = Field(
        default_factory=dict,
        description="Variables to set. Never a secret: they are published in plain text.",
    )
    keep_out: tuple[VariablePattern, ...] = Field(
        (), description="Variables of the caller to drop; a '*' at the end stands for any ending, 'AWS_*'."
    )


class Checks(Table):
    """What has to work inside a new generation before it counts."""

    imports: tuple[ModuleName, ...] = Field((), description="Modules that have to import.")
    commands: tuple[Command, ...] = Field(
        (), description="Commands, each a list of words, run with the environment's bin folder first on PATH."
    )


class Content(Table):
    """The keys that `[defaults]`, an abstract base and an environment share."""

    requires_python: SpecifierText | None = Field(
        None, description="Python versions that the lock covers (PEP 440), such as '==3.12.*'."
    )
    platforms: tuple[Platform, ...] | None = Field(
        None, min_length=1, description=f"Platforms that the lock covers. Default: {list(DEFAULT_PLATFORMS)}."
    )
    dependencies: tuple[RequirementText, ...] = Field((), description="Requirements (PEP 508).")
    requirements_files: tuple[PathText, ...] = Field(
        (), description="pip requirements files, relative to the file that names them."
    )
    pyprojects: tuple[PyprojectSource, ...] = Field((), description="pyproject.toml files to take from.")
    constraints: tuple[SourceText, ...] = Field(
        (), description="Constraints files or URLs, such as Airflow's published ones; read when locking."
    )
    overrides: tuple[RequirementText, ...] = Field(
        (), description="Requirements that replace whatever a package itself asks for."
    )
    airflow: StrictBool | None = Field(
        None,
        description="false: opt out of the deployment's Airflow; Dags can't be parsed or run in it.",
    )
    variables: Variables = Field(Variables(), description="Environment variables to set and to keep out.")
    checks: Checks = Field(Checks(), description="What has to work before a build counts.")


class EnvironmentSpec(Content):
    """One environment: `environments/NAME.toml`."""

    extends: tuple[Name, ...] = Field(
        (), description="Specs to take over, in order: a later one, and this file, win over earlier ones."
    )
    abstract: StrictBool = Field(
        False, description="true: only a base for others to extend; it is neither locked nor built."
    )


class Bundle(Table):
    """A Dag bundle's environment or team."""

    environment: Name | None = Field(None, description="The bundle's own environment.")
    team: Name | None = Field(None, description="The bundle's team; a bundle belongs to at most one.")


class Team(Table):
    """A team's environment."""

    environment: Name = Field(description="The environment of the team's bundles that name none.")


class ProjectSpec(Table):
    """The deployment: `envman.toml`."""

    root: PathText = Field(
        "/venv", description="Root folder of the published environments, relative to envman.toml."
    )
    airflow_version: VersionText | None = Field(
        None, description="The deployment's Airflow; pins apache-airflow-core and the task SDK everywhere."
    )
    default_environment: Name | None = Field(
        None, description="Environment of known bundles that have neither one of their own nor a team's."
    )
    uv_config: PathText | None = Field(
        None,
        description="uv configuration file with the indexes. Default: uv.toml beside envman.toml.",
    )
    defaults: Content = Field(Content(), description="What every environment starts from.")
    bundles: dict[Name, Bundle] = Field(default_factory=dict, description="Bundles, by Airflow's name.")
    teams: dict[Name, Team] = Field(default_factory=dict, description="Teams, by Airflow's name.")
