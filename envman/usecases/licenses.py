"""`envman licenses`: under which licenses the installed packages are, and which are not allowed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.version import InvalidVersion, Version

from envman.errors import Problem, ResolveError
from envman.installed import read_packages, site_packages
from envman.launch.root import read_table
from envman.metadata.license import License, license_of
from envman.metadata.policy import make_policy
from envman.resolver.table import Table
from envman.store import layout
from envman.store.publish import published_environments
from envman.usecases.built import current_manifest
from envman.usecases.listing import bundles_by_environment
from envman.usecases.workspace import Workspace


@dataclass(frozen=True)
class Rules:
    """Names of licenses, as the user gave them; nothing allowed by name: everything that is not denied."""

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


@dataclass(frozen=True)
class LicenseRow:
    """A package with its license, in these versions in these environments, which these bundles use."""

    package: str
    versions: tuple[str, ...]
    license: str
    allowed: bool
    environments: tuple[str, ...]
    bundles: tuple[str, ...]


def list_licenses(
    root: str, workspace: Workspace | None, names: Iterable[str], rules: Rules, environ: Mapping[str, str]
) -> tuple[LicenseRow, ...]:
    """The licenses of what is installed in current generations, sorted by package.

    All environments that are declared, or without a project published, where none is named. Raises UsageError
    for an unknown name or rule, ResolveError with all environments that are not built.
    """
    wanted = list(names)
    chosen = (
        [environment.name for environment in workspace.choose(wanted)]
        if workspace
        else wanted or published_environments(root)
    )
    found = _installed(root, chosen)
    policy = make_policy(rules.allow, rules.deny, {license_ for _, license_ in found})
    bundles = bundles_by_environment(Table(workspace.table()) if workspace else read_table(root), environ)
    rows = [
        LicenseRow(
            package=package,
            versions=tuple(sorted({version for version, _ in users}, key=_version)),
            license=str(license_),
            allowed=policy.allows(license_),
            environments=tuple(sorted({name for _, name in users})),
            bundles=tuple(sorted({bundle for _, name in users for bundle in bundles.get(name, ())})),
        )
        for (package, license_), users in found.items()
    ]
    return tuple(sorted(rows, key=lambda row: (row.package, row.license)))


def _installed(root: str, names: Iterable[str]) -> dict[tuple[str, License], list[tuple[str, str]]]:
    """Packages with their licenses, and where: in which version in which environment."""
    found: dict[tuple[str, License], list[tuple[str, str]]] = {}
    problems: list[Problem] = []
    for name in names:
        try:
            manifest = current_manifest(root, name)
        except ResolveError as error:
            problems += error.problems
            continue
        folder = Path(layout.generation_path(root, manifest.generation))
        for package in read_packages(site_packages(folder)):
            found.setdefault((package.name, license_of(package)), []).append((package.version, name))
    if problems:
        raise ResolveError(problems)
    return found


def _version(text: str) -> tuple[Version, str]:
    try:
        return Version(text), text
    except InvalidVersion:
        return Version("0"), text
