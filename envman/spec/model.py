"""The shape of `envman.toml` and of an environment's spec; the JSON Schemas are generated from it.

Keys follow the standards: `requires-python` and `dependencies` (PEP 621), `dependency-groups` (PEP 735),
requirement strings (PEP 508), version specifiers (PEP 440).
"""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field, StrictBool, StrictStr, model_validator

from envman.spec.cool_down import CoolDown
from envman.spec.toml_table import TomlTable
from envman.spec.values import (
    DEFAULT_PLATFORMS,
    LEAST_IDLE,
    LEAST_MEMORY,
    LEAST_PROCESSES,
    MOST_IDLE,
    AbsolutePath,
    AptPackage,
    BaseImage,
    BundleArgument,
    ClassPath,
    Command,
    GroupName,
    HandedVariable,
    IdleTime,
    ImageName,
    MemoryBudget,
    MemorySize,
    ModuleName,
    Name,
    PackageName,
    PassedPattern,
    PathText,
    Platform,
    ProcessCount,
    Processors,
    QueueName,
    ReadingCommand,
    RequirementText,
    SharedFolder,
    SourceText,
    SpecifierText,
    TriggerPattern,
    UserName,
    VariableName,
    VariablePattern,
    VariableValue,
    VersionText,
    WrongValueError,
)


class PyprojectSource(TomlTable):
    """Dependencies that a team keeps in its `pyproject.toml`.

    Without `extras` and `dependency-groups` it stands for `project.dependencies`; with `extras` for those and
    the extras; with `dependency-groups` alone for the groups alone.
    """

    path: PathText = Field(description="The pyproject.toml, relative to the file that names it.")
    extras: tuple[StrictStr, ...] = Field(
        (), description="Extras of project.optional-dependencies (PEP 621)."
    )
    dependency_groups: tuple[StrictStr, ...] = Field((), description="Dependency groups (PEP 735).")


def _path_alone(schema: dict[str, Any]) -> None:
    """Have a JSON Schema say that a path may stand in place of its table."""
    table = dict(schema)
    schema.clear()
    schema["anyOf"] = [{"type": "string"}, table]


class SourceFolder(TomlTable):
    """Code of your own that is built and locked with the rest: a folder with a pyproject.toml or a setup.py,
    or one with plain modules and packages. A path alone stands for a table with that path.
    """

    model_config = ConfigDict(json_schema_extra=_path_alone)

    path: PathText = Field(description="The folder, relative to the file that names it.")
    name: PackageName | None = Field(
        None, description="Name of the package. Default: the project's own, or the folder's."
    )
    version: VersionText | None = Field(
        None,
        description="Version of plain modules, or of a project that takes its own from Git. Default: the "
        "project's own; of modules one that is made from their content.",
    )
    extras: tuple[StrictStr, ...] = Field((), description="Extras of the project to install.")

    @model_validator(mode="before")
    @classmethod
    def _from_path(cls, value: object) -> object:
        return {"path": value} if isinstance(value, str) else value


class Variables(TomlTable):
    """Environment variables of the processes that envman starts in the environment."""

    set: dict[VariableName, VariableValue] = Field(
        default_factory=dict,
        description="Variables to set. Never a secret: they are published in plain text.",
    )
    keep_out: tuple[VariablePattern, ...] = Field(
        (), description="Variables of the caller to drop; a '*' at the end stands for any ending, 'AWS_*'."
    )
    passed: tuple[PassedPattern, ...] = Field(
        (),
        alias="pass",
        description="Variables of a shared component that its children get besides the usual ones; "
        "a '*' at the end stands for any ending; keep-out wins, and the component's own secrets never pass.",
    )


class CredentialSpec(TomlTable):
    """A secret of the environment: read by the component as a workload starts, and handed to that workload.

    One of `file` and `command`, and one of `variable` and `path-variable`.
    """

    file: AbsolutePath | None = Field(None, description="The file on the component's host that holds it.")
    command: ReadingCommand | None = Field(
        None, description="A command, with an absolute path, whose output it is; it has 10 seconds."
    )
    variable: HandedVariable | None = Field(None, description="The workload's variable that holds it.")
    path_variable: HandedVariable | None = Field(
        None, description="The workload's variable that holds the path of its own copy, in memory."
    )

    @model_validator(mode="after")
    def _one_of_each(self) -> CredentialSpec:
        pairs = ("file", "command"), ("variable", "path-variable")
        for one, other in pairs:
            given = [getattr(self, key.replace("-", "_")) is not None for key in (one, other)]
            if sum(given) != 1:
                both = f"there is both '{one}' and '{other}'"
                what = both if all(given) else f"there is neither '{one}' nor '{other}'"
                raise WrongValueError(what, f"Name one of '{one}' and '{other}'.")
        return self


class Checks(TomlTable):
    """What has to work inside a new generation before it counts."""

    imports: tuple[ModuleName, ...] = Field((), description="Modules that have to import.")
    commands: tuple[Command, ...] = Field(
        (), description="Commands, each a list of words, run with the environment's bin folder first on PATH."
    )


class SourceBuild(TomlTable):
    """How packages without a wheel are built from source: without a network, with the machine's variables."""

    network: tuple[PackageName, ...] = Field(
        (), description="Packages whose build may use the builder's network."
    )
    variables: dict[VariableName, VariableValue] = Field(
        default_factory=dict,
        description="Variables of all these builds, such as CFLAGS. Never a secret: packages read them.",
    )


class Limits(TomlTable):
    """What an environment may use of a host; the workloads of all bundles in it share it."""

    memory: MemorySize | None = Field(
        None,
        description=f"Memory, such as '512M' or '2G'; at least {LEAST_MEMORY}.",
    )
    cpu: Processors | None = Field(None, description="Processors, such as 2 or 1.5.")
    pids: ProcessCount | None = Field(None, description=f"Processes and threads; at least {LEAST_PROCESSES}.")


class Image(TomlTable):
    """What an environment's image stands on."""

    base: BaseImage | None = Field(
        None,
        description="Base image: a registry's name, or oci:FOLDER:NAME, oci-archive:FILE or "
        "docker-archive:FILE with a path relative to the file that names it.",
    )
    apt: tuple[AptPackage, ...] = Field((), description="Debian packages that the environment needs.")


class Dev(TomlTable):
    """What an environment's authors work with, as a layer over it that is never published."""

    dependencies: tuple[RequirementText, ...] = Field(
        (),
        description="Requirements (PEP 508) of the dev overlay, such as pytest, for `envman test` and --dev; "
        "what the environment has already keeps its version.",
    )


class Content(TomlTable):
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
    sources: tuple[SourceFolder, ...] = Field(
        (), description="Folders with code of your own, each built to a wheel that is locked and installed."
    )
    constraints: tuple[SourceText, ...] = Field(
        (), description="Constraints files or URLs, such as Airflow's published ones; read when locking."
    )
    overrides: tuple[RequirementText, ...] = Field(
        (), description="Requirements that replace whatever a package itself asks for."
    )
    exclude_newer: CoolDown | None = Field(
        None,
        description="Only versions count that were uploaded before this date, or this long before locking, "
        "such as '7 days'; kept versions, too.",
    )
    exclude_newer_except: tuple[PackageName, ...] = Field(
        (), description="Packages that exclude-newer does not count for, such as a company's own."
    )
    no_build: StrictBool | None = Field(
        None,
        description="true: only wheels are locked and installed, as a build of a package runs its code. "
        "Default: false.",
    )
    source_builds: SourceBuild = Field(
        SourceBuild(), description="How packages without a wheel are built from source."
    )
    airflow: StrictBool | None = Field(
        None,
        description="false: opt out of the deployment's Airflow; Dags can't be parsed or run in it.",
    )
    warm: StrictBool | None = Field(
        None,
        description="false: each workload starts its own interpreter; true: one fork server of the "
        "environment forks them. Default: true.",
    )
    preload: tuple[ModuleName, ...] = Field(
        (), description="Modules that the fork server imports beforehand."
    )
    server_idle: IdleTime | None = Field(
        None,
        description="Time without a workload after which the fork server ends, such as '90s', '10m' or '2h'; "
        f"from {LEAST_IDLE} to {MOST_IDLE}. Default: 10m.",
    )
    user: UserName | None = Field(
        None, description="User, by name or number, that the workloads run as; never root."
    )
    group: GroupName | None = Field(
        None, description="Group, by name or number, that the workloads run as. Default: the user's."
    )
    limits: Limits = Field(
        Limits(), description="What all workloads of the environment together may use on one host."
    )
    variables: Variables = Field(
        Variables(), description="Environment variables to set, to keep out and to pass on."
    )
    credentials: dict[Name, CredentialSpec] = Field(
        default_factory=dict,
        description="Secrets that workloads are handed as they start, by name; they are published by their "
        "places, never by their contents.",
    )
    checks: Checks = Field(Checks(), description="What has to work before a build counts.")
    image: Image = Field(Image(), description="What an image of the environment stands on.")
    dev: Dev = Field(Dev(), description="What authors of Dags work with besides, in no build and no image.")


class EnvironmentSpec(Content):
    """One environment: `environments/NAME.toml`."""

    extends: tuple[Name, ...] = Field(
        (), description="Specs to take over, in order: a later one, and this file, win over earlier ones."
    )
    abstract: StrictBool = Field(
        False, description="true: only a base for others to extend; it is neither locked nor built."
    )


class Bundle(TomlTable):  # type: ignore[no-redef] # pydantic's plugin has **kwargs of its own
    """A Dag bundle's environment or team, and where its Dags are, as far as nobody else says so."""

    environment: Name | None = Field(None, description="The bundle's own environment.")
    team: Name | None = Field(None, description="The bundle's team; a bundle belongs to at most one.")
    queue: QueueName | None = Field(
        None, description="Queue of its tasks that name none; what `envman launch worker --bundle` serves."
    )
    path: PathText | None = Field(
        None,
        description="Folder of its Dags, relative to envman.toml; `envman airflow-config` writes it into "
        "Airflow's list of bundles.",
    )
    classpath: ClassPath | None = Field(
        None, description="Class of a bundle that is no folder, such as Git's; in place of `path`."
    )
    arguments: dict[StrictStr, BundleArgument] = Field(
        default_factory=dict,
        alias="kwargs",
        description="Arguments of that class. Never a secret: name a Connection.",
    )

    shared: tuple[SharedFolder, ...] = Field(
        (),
        description="Folders relative to the bundle's own that its Dags import by their names, such as "
        "'../common': in the bundle's version, where it has versions.",
    )

    @model_validator(mode="after")
    def _names_once(self) -> Bundle:
        names = [path.rpartition("/")[2] for path in self.shared]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise WrongValueError(f"two shared folders are named '{twice[0]}'", "Take one of them out.")
        return self

    @model_validator(mode="after")
    def _one_source(self) -> Bundle:
        if self.path and self.classpath:
            what = "there is both 'path' and 'classpath'"
            raise WrongValueError(what, "A folder has a path, another bundle a classpath with kwargs.")
        if self.arguments and not self.classpath:
            raise WrongValueError(
                "there are 'kwargs' without a 'classpath'", "Name the class that they are for."
            )
        return self


class Team(TomlTable):
    """A team's environment."""

    environment: Name = Field(description="The environment of the team's bundles that name none.")
    queue: QueueName | None = Field(None, description="Queue of the tasks of its bundles that name none.")


class Triggerer(TomlTable):
    """What the shared triggerer may run."""

    allow: tuple[TriggerPattern, ...] = Field(
        (),
        description="Trigger classes that may run; a '*' at the end stands for any ending. Default: all.",
    )


class Servers(TomlTable):
    """What the fork servers of a host may use together."""

    memory: MemoryBudget | None = Field(
        None,
        description="Memory of their own, such as '4G', or '25%' of the host's: where one more would exceed "
        "it, those end that were used least lately and have no workload. Default: no limit.",
    )


class ProjectSpec(TomlTable):
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
    sandbox_required: StrictBool = Field(
        False,
        description="true: a build fails where what packages run can't be put into a sandbox. "
        "Default: false.",
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
    servers: Servers = Field(Servers(), description="Limits of all fork servers of a host together.")
