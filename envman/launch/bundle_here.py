"""The bundle that a folder belongs to, by what envman.toml and Airflow's configuration say of folders."""

from __future__ import annotations

import os

from envman.errors import Problem, SpecError, UsageError
from envman.launch.airflow_configuration import AirflowConfiguration
from envman.store.root import declared_keys, find_project

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def bundle_here(environ: Mapping[str, str], folder: str) -> str:
    """The bundle whose folder this is, or is above it; the only one of a project, wherever that one's is.

    Raises UsageError where there is none, or more than one; SpecError for files that can't be read.
    """
    project = find_project(environ, folder)
    declared = declared_folders(project) if project else {}
    folders = {name: path for name, path in declared.items() if path}
    for name, path in AirflowConfiguration(environ).local_folders().items():
        folders.setdefault(name, path)
    here = os.path.realpath(folder)
    above = {name: real for name, path in folders.items() if _is_in(here, real := os.path.realpath(path))}
    deepest = max(map(len, above.values()), default=0)
    found = sorted(name for name, path in above.items() if len(path) == deepest)
    if not found and len(declared) == 1:
        return next(iter(declared))
    if len(found) == 1:
        return found[0]
    if found:
        what = f"it is the folder of several bundles: {', '.join(found)}"
        raise UsageError(Problem(here, what, "Name one of them."))
    known = [
        f"{name} ({os.path.relpath(path, here)})"
        for name, path in sorted(folders.items())
        if name in declared
    ]
    listed = f" Those with a folder: {', '.join(known[:_SHOWN])}." if known else ""
    remedy = f"Go to a bundle's folder ('path' in [bundles] of envman.toml), or name the bundle.{listed}"
    raise UsageError(Problem(here, "it is in no bundle's folder", remedy))


_SHOWN = 12


def declared_folders(project: str) -> dict[str, str]:
    """The bundles of a project's envman.toml, each with its folder; empty where it names none."""
    bundles = declared_keys(project).get("bundles", {})
    if not isinstance(bundles, dict) or not all(isinstance(one, dict) for one in bundles.values()):
        raise SpecError(
            Problem(f"{project}/envman.toml: bundles", "are not tables", "Run: envman lock --check")
        )
    folders = {}
    for name, bundle in bundles.items():
        path = bundle.get("path")
        is_one = isinstance(path, str) and path and "\0" not in path
        folders[str(name)] = (
            os.path.normpath(os.path.join(project, os.path.expanduser(path))) if is_one else ""
        )
    return folders


def _is_in(folder: str, other: str) -> bool:
    return folder == other or folder.startswith(f"{other.rstrip('/')}/")
