"""The declared deployment as frozen values: every inheritance applied, every path relative to the project."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # building the model takes longer than what most commands do that see a declared value
    from envman.resolver.credential import Credential
    from envman.spec.model import Bundle, PyprojectSource, SourceFolder, Team
    from envman.spec.values import Platform


@dataclass(frozen=True)
class ResourceLimits:
    """What an environment's workloads together may use on one host; None: as much as there is.

    `memory` is in bytes, `cpu` in processors, `pids` in processes and threads.
    """

    memory: int | None = None
    cpu: float | None = None
    pids: int | None = None


@dataclass(frozen=True)
class Environment:
    """An environment after `[defaults]` and `extends` are applied.

    Paths are POSIX paths relative to the project (the folder of envman.toml); what the files at them say is
    read by `envman.project.load_inputs`. `user`, `group`, `image_base` and `exclude_newer` are empty where
    none is stated.
    """

    name: str
    file: str
    requires_python: str
    platforms: tuple[Platform, ...]
    dependencies: tuple[str, ...]
    requirements_files: tuple[str, ...] = ()
    pyprojects: tuple[PyprojectSource, ...] = ()
    sources: tuple[SourceFolder, ...] = ()
    constraints: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    exclude_newer: str = ""
    exclude_newer_except: tuple[str, ...] = ()
    no_build: bool = False
    build_network: tuple[str, ...] = ()
    build_variables: Mapping[str, str] = field(default_factory=dict)
    airflow: bool = True
    set_variables: Mapping[str, str] = field(default_factory=dict)
    keep_out: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()
    credentials: tuple[Credential, ...] = ()
    check_imports: tuple[str, ...] = ()
    check_commands: tuple[tuple[str, ...], ...] = ()
    warm: bool = True
    preload: tuple[str, ...] = ()
    server_idle: int | None = None
    user: str = ""
    group: str = ""
    limits: ResourceLimits = ResourceLimits()
    image_base: str = ""
    apt: tuple[str, ...] = ()
    dev: tuple[str, ...] = ()

    @property
    def lock_file(self) -> str:
        """The lock stands beside the spec: `environments/env_a.lock`."""
        return f"{self.file.removesuffix('.toml')}.lock"

    @property
    def dev_lock_file(self) -> str:
        """The lock of the dev overlay, beside it: `environments/env_a.dev-lock`."""
        return f"{self.file.removesuffix('.toml')}.dev-lock"


@dataclass(frozen=True)
class Project:
    """Everything that envman.toml and environments/ declare; `directory` and `root` are absolute.

    `server_memory` is a number of bytes, or a part of the host's ('25%'); empty: no limit.
    """

    directory: str
    root: str
    airflow_version: str | None
    uv_config: str | None
    default_environment: str | None
    airflow_environment: str | None
    sandbox_required: bool
    environments: Mapping[str, Environment]
    bundles: Mapping[str, Bundle]
    teams: Mapping[str, Team]
    images: Mapping[str, str]
    allowed_triggers: tuple[str, ...]
    server_memory: str
