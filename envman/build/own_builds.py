"""What commands besides `build` make wheels of code of one's own with, and read sources with."""

from __future__ import annotations

import os
from pathlib import Path

from envman.build.machine import ThisMachine
from envman.build.source_builds import SourceOptions, SourceTools
from envman.spec.load import ProjectFiles
from envman.spec.own_code import own_sources
from envman.spec.project import Environment
from envman.spec.workspace import Workspace
from envman.store.manifest import BaseInterpreter
from envman.system.events import Report
from envman.uv.indexes import places_of_files
from envman.uv.runner import Uv


def own_names(environment: Environment, directory: str) -> frozenset[str]:
    """The names of an environment's own sources, as far as they are stated; its project is in a folder."""
    if not environment.sources:
        return frozenset()
    found, _ = own_sources(environment.sources, ProjectFiles(Path(directory)))
    return frozenset(source.name for source in found if source.name)


def building_of(
    workspace: Workspace,
    environment: Environment,
    uv: Uv,
    report: Report,
    sandbox_required: bool,
    interpreter: BaseInterpreter | None = None,
) -> tuple[SourceOptions, SourceTools]:
    """For whom sources are built on this machine, and what with: by default the newest interpreter that fits.

    What is built sees neither the project nor the root folder nor a cache. Raises BuildError where no
    interpreter fits the environment.
    """
    machine, source, project = ThisMachine(), uv.source, workspace.project
    caches = (machine.cache, uv.cache_folder())
    hidden = [project.root, project.directory, source.wheelhouse or ""]
    hidden += [str(cache) for cache in caches if cache]
    options = SourceOptions(
        environment=environment.name,
        interpreter=interpreter or machine.choose(environment),
        network=environment.build_network,
        variables=environment.build_variables,
        hidden=(*hidden, *places_of_files(os.environ, source.config)),
        sandbox_required=sandbox_required,
        own=own_names(environment, project.directory),
    )
    return options, SourceTools(workspace.processes, uv, machine, report)
