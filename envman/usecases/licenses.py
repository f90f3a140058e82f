"""`envman licenses`: under which licenses the installed packages are, and which are not allowed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from packaging.version import InvalidVersion, Version

from envman.errors import Problem, ResolveError
from envman.launch.airflow_configuration import AirflowConfiguration
from envman.packages.installed import read_packages, site_packages
from envman.packages.license import License, license_of
from envman.packages.policy import make_policy
from envman.resolver.table import Table
from envman.spec.workspace import Workspace
from envman.store.folder import Store
from envman.store.root import take_snapshot


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
    store: Store, workspace: Workspace | None, names: Iterable[str], rules: Rules, environ: Mapping[str, str]
) -> tuple[LicenseRow, ...]:
    """The licenses of what is installed in current generations, sorted by package.

    All environments that are declared, or without a project published, where none is named. Raises UsageError
    for an unknown name or rule, ResolveError with all environments that are not built.
    """
    wanted = list(names)
    chosen = (
        [environment.name for environment in workspace.choose(wanted)]
        if workspace
        else wanted or store.environments()
    )
    found = _installed(store, chosen)
    policy = make_policy(rules.allow, rules.deny, {license_ for _, license_ in found})
    declared = Table(workspace.table()) if workspace else None
    snapshot = take_snapshot(store.root, AirflowConfiguration(environ).bundles, declared)
    bundles = snapshot.answers().by_environment()
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


def _installed(store: Store, names: Iterable[str]) -> dict[tuple[str, License], list[tuple[str, str]]]:
    """Packages with their licenses, and where: in which version in which environment."""
    found: dict[tuple[str, License], list[tuple[str, str]]] = {}
    problems: list[Problem] = []
    for name in names:
        try:
            manifest = store.current_manifest(name)
        except ResolveError as error:
            problems += error.problems
            continue
        folder = store.folder(manifest.generation)
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
