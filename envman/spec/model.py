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

from envman.redaction import redact
from envman.spec.names import name_problem

RESERVED_VARIABLES = frozenset(
    {"PATH", "VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH", "PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__"}
)
"""Variables that decide which interpreter runs: exec sets or drops them, a spec may not."""

Platform = Literal["linux-x86_64", "linux-aarch64", "macos-arm64", "macos-x86_64", "windows-x86_64"]
DEFAULT_PLATFORMS: tuple[Platform, ...] = ("linux-x86_64", "linux-aarch64")


class WrongValueError(ValueError):
    """A value that has the right type and can't be used; `remedy` says what could."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.remedy = remedy


def _requirement(text: str) -> str:
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0]
        what = f"'{redact(text)}' is not a requirement (PEP 508): {reason}"
        raise WrongValueError(what, "Write one such as 'pandas>=2.2,<3'.") from None
    if requirement.url is not None:
        what = f"'{requirement.name}' is given by URL, and a lock holds none"
        raise WrongValueError(what, "Name a version, and serve the file from an index.")
    return text


def _specifier(text: str) -> str:
    remedy = "Write '==3.12.*', or a range such as '>=3.11,<3.13'."
    try:
        specifier = SpecifierSet(text)
    except InvalidSpecifier:
        raise WrongValueError(f"'{text}' is not a version specifier (PEP 440)", remedy) from None
    if not any(part.operator.startswith((">", "==", "~=")) for part in specifier):
        raise WrongValueError(f"'{text}' has no lower bound", remedy)
    return text


def _version(text: str) -> str:
    try:
        Version(text)
    except InvalidVersion:
        raise WrongValueError(f"'{text}' is not a version (PEP 440)", "Write one such as '3.3.2'.") from None
    return text


def _name(text: str) -> str:
    if problem := name_problem(text):
        raise WrongValueError(problem, "Choose a name such as 'env_a'.")
    return text


def _source(text: str) -> str:
    """A path or an http(s) or file URL; credentials in it are refused."""
    if "://" not in text:
        return _path(text)
    url = urlsplit(text)
    if url.scheme not in {"https", "http", "file"}:
        remedy = "Name a file, or an https, http or file URL."
        raise WrongValueError(f"constraints can't be read from '{url.scheme}'", remedy)
    if url.username or url.password:
        raise WrongValueError("the URL holds credentials", "Put them into a netrc file, never into a spec.")
    return text


def _path(text: str) -> str:
    if not text or not text.isprintable():
        raise WrongValueError("the path is empty or holds characters that can't be printed", "Name a file.")
    return text


def _variable(text: str) -> str:
    if not text or "=" in text or "\0" in text:
        what = f"'{text}' is not the name of an environment variable"
        raise WrongValueError(what, "Write a name such as 'TZ', without '='.")
    if text in RESERVED_VARIABLES:
        what = f"'{text}' decides which interpreter runs"
        raise WrongValueError(what, "Take it out: envman sets or drops it itself.")
    return text


def _value(text: str) -> str:
    if "\0" in text:
        raise WrongValueError("a variable's value can't hold a NUL character", "Take it out.")
    return text


def _pattern(text: str) -> str:
    if not text or "*" in text[:-1] or "=" in text or "\0" in text:
        what = f"'{text}' is not the name of a variable, with or without a '*' at its end"
        raise WrongValueError(what, "Write 'AWS_SECRET_ACCESS_KEY' or 'AWS_*'.")
    return text


def _module(text: str) -> str:
    if not all(part.isidentifier() for part in text.split(".")):
        raise WrongValueError(f"'{text}' is not the name of a module", "Write one such as 'airflow.sdk'.")
    return text


def _queue(text: str) -> str:
    if not text or text != text.strip() or "," in text:
        raise WrongValueError(f"'{text}' is not the name of one queue", "Write one such as 'etl'.")
    return text


def _image(text: str) -> str:
    if not text or any(character.isspace() for character in text):
        remedy = "Write one such as 'registry.example/team/image_a@sha256:...'."
        raise WrongValueError(f"'{text}' is not the name of an image", remedy)
    return text


def _trigger(text: str) -> str:
    parts = (text[:-1].removesuffix(".") if text.endswith("*") else text).split(".")
    whole = text.endswith("*") or len(parts) > 1
    if text != "*" and not (whole and all(part.isidentifier() for part in parts)):
        what = f"'{text}' is not a class with its module, with or without a '*' at its end"
        raise WrongValueError(what, "Write one such as 'airflow.providers.*'.")
    return text


def _command(words: tuple[str, ...]) -> tuple[str, ...]:
    if not words or not words[0]:
        remedy = "Write a list of words, such as ['python', '-m', 'pytest', '--version']."
        raise WrongValueError("the command is empty", remedy)
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
QueueName = Annotated[StrictStr, AfterValidator(_queue)]
ImageName = Annotated[StrictStr, AfterValidator(_image)]
TriggerPattern = Annotated[StrictStr, AfterValidator(_trigger)]
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
    queue: QueueName | None = Field(
        None, description="Queue of its tasks that name none; what `envman launch worker --bundle` serves."
    )


class Team(Table):
    """A team's environment."""

    environment: Name = Field(description="The environment of the team's bundles that name none.")
    queue: QueueName | None = Field(None, description="Queue of the tasks of its bundles that name none.")


class Triggerer(Table):
    """What the shared triggerer may run."""

    allow: tuple[TriggerPattern, ...] = Field(
        (),
        description="Trigger classes that may run; a '*' at the end stands for any ending. Default: all.",
    )


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
    airflow_environment: Name | None = Field(
        None, description="Environment that `envman launch` runs the shared components in."
    )
    uv_config: PathText | None = Field(
        None,
        description="uv configuration file with the indexes. Default: uv.toml beside envman.toml.",
    )
    defaults: Content = Field(Content(), description="What every environment starts from.")
    bundles: dict[Name, Bundle] = Field(default_factory=dict, description="Bundles, by Airflow's name.")
    teams: dict[Name, Team] = Field(default_factory=dict, description="Teams, by Airflow's name.")
    images: dict[Name, ImageName] = Field(
        default_factory=dict,
        description="Images of environments, for Kubernetes pods where each environment is an image.",
    )
    triggerer: Triggerer = Field(Triggerer(), description="Limits of the shared triggerer.")
