"""`envman adopt split`: an environment for each folder, team or bundle, out of the one that all share."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from envman.errors import Problem, UsageError
from envman.launch.airflow_configuration import AirflowConfiguration
from envman.lock.lockfile import parse_lock
from envman.packages.installed import site_packages
from envman.resolver.table import Table
from envman.spec.load import PROJECT_FILE, load_inputs
from envman.spec.merge import ENVIRONMENTS, spec_file
from envman.spec.parse import parse_toml
from envman.spec.workspace import Workspace, open_workspace
from envman.splitting.everywhere import configured_code
from envman.splitting.module_owners import STANDARD_LIBRARY, ModuleIndex
from envman.splitting.ownership import Ownership
from envman.splitting.proposal import (
    InstalledNow,
    ProposedEnvironment,
    UnneededPackage,
    proposals,
    unneeded,
)
from envman.splitting.proposed_specs import (
    BundleChange,
    constraints_file,
    constraints_text,
    project_text,
    spec_text,
)
from envman.splitting.read_code import CodeReach, Needs
from envman.splitting.reading import (
    DagDiscovery,
    behind_plain_modules,
    read_code,
    read_installed,
    with_shared,
    without_dags_below,
)
from envman.splitting.split_units import MixedFolder, SplitBy, SplitUnit, free_name, split_units
from envman.splitting.written_files import write_new_files
from envman.store import layout
from envman.store.folder import Store
from envman.store.root import current_generation, take_snapshot
from envman.usecases.add_remove import alone


@dataclass(frozen=True)
class SplitRequest:
    """What is split, and by what; `folders` are checkouts of bundles, `prefix` begins the new names. `only`
    are the new environments that are written: none for all.
    """

    environment: str
    by: SplitBy = SplitBy.folder
    codeowners: Path | None = None
    folders: Mapping[str, Path] | None = None
    prefix: str = ""
    only: tuple[str, ...] = ()


@dataclass(frozen=True)
class SharedModule:
    """A name at a bundle's top that several units import, and the environments that they would have."""

    bundle: str
    module: str
    environments: tuple[str, ...]


@dataclass(frozen=True)
class SplitOutcome:
    """The proposal, and what no environment of it has.

    `shared` are packages that files for several environments import. `other_bundles` are those of the
    environment whose folder is not here; `unread` files that no parser takes; `unreached` Python files that
    no Dag file imports, as bundle and path. `written` are files of the project, none without --write.
    """

    environment: str
    generation: str
    packages: int
    proposals: tuple[ProposedEnvironment, ...]
    shared: Mapping[str, tuple[str, ...]]
    shared_modules: tuple[SharedModule, ...]
    mixed: tuple[MixedFolder, ...]
    unneeded: tuple[UnneededPackage, ...]
    other_bundles: tuple[str, ...]
    unread: tuple[tuple[str, str, str], ...]
    unreached: tuple[tuple[str, str], ...]
    kept_bundles: tuple[str, ...] = ()
    written: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """The same as values that JSON has, with names for what is a pair here."""
        document = asdict(self)
        for one in document["proposals"]:
            one["dags"] = sum(len(unit["dags"]) for unit in one["units"])
            one["missing"] = [_named(pair, "module place") for pair in one["missing"]]
            one["elsewhere"] = [_named(item, "name place runs_by") for item in one["elsewhere"]]
            one["top_imports"] = [_named(pair, "module place") for pair in one["top_imports"]]
            one["hidden"] = [_named(item, "module place by") for item in one["hidden"]]
        document["unread"] = [_named(item, "bundle file why") for item in self.unread]
        document["unreached"] = [_named(item, "bundle file") for item in self.unreached]
        return document


def _named(values: Iterable[str], keys: str) -> dict[str, str]:
    return dict(zip(keys.split(), values, strict=True))


class _Split:
    """What was read for one split."""

    def __init__(self, workspace: Workspace, request: SplitRequest, environ: Mapping[str, str]) -> None:
        self.workspace = workspace
        self.request = request
        self.old = workspace.choose([request.environment])[0]
        store = Store(workspace.project.root)
        self.generation = current_generation(store.root, self.old.name)
        self.folders, self.others = _folders(workspace, request, environ)
        configuration = AirflowConfiguration(environ)
        discovery = _discovery(configuration)
        self.code = [
            with_shared(read, _shared_folders(workspace, read.bundle))
            for read in (
                without_dags_below(read_code(bundle, folder, discovery), _declared_folders(workspace))
                for bundle, folder in self.folders.items()
            )
        ]
        manifest = store.manifest(self.generation)
        if manifest is None:
            what = f"its generation {self.generation} is missing or incomplete"
            remedy = f"Run: envman build {self.old.name}"
            raise UsageError(Problem(f"environment '{self.old.name}'", what, remedy))
        generation = Path(layout.generation_path(store.root, self.generation))
        stated = set(
            parse_toml(workspace.files.read(self.old.file), self.old.file)[0].get("dependencies", ())
        )
        inputs, _ = load_inputs(workspace.files, self.old, workspace.project.airflow_version)
        self.now = InstalledNow(
            distributions=read_installed(site_packages(generation)),
            marker_environment=manifest.interpreter.marker_environment(),
            requirements=tuple(line for lines in inputs.requirements.values() for line in lines),
            inherited=tuple(line for line in self.old.dependencies if line not in stated),
        )
        lock = (generation / layout.LOCK_COPY).read_text(encoding="utf-8")
        locked = parse_lock(lock, layout.LOCK_COPY, self.old.name)
        self.pins = tuple(pin for pin in locked.pins if pin not in locked.own())
        self.sources = {source.path: source.name for source in locked.sources}
        self.index = ModuleIndex.of(self.now.distributions)
        self.everywhere = configured_code(configuration, read_code)
        own = {name: Path(workspace.project.directory, folder) for folder, name in self.sources.items()}
        behind = behind_plain_modules(own, self.index)
        self.reaches = {one.bundle: CodeReach(one, self.index, self.everywhere, behind) for one in self.code}

    def needed_everywhere(self) -> Needs:
        found = Needs()
        for one in self.everywhere:
            found.add(CodeReach(one, self.index, self.everywhere).needs(one.files))
        return found


def adopt_split(
    workspace: Workspace, request: SplitRequest, environ: Mapping[str, str], write: bool
) -> SplitOutcome:
    """Propose an environment for each unit; `write` their specs and the changed envman.toml.

    Raises UsageError where there is no folder to read, or a file to be written is there already, ResolveError
    for an environment that is not built, SpecError for what would be no project.
    """
    split = _Split(workspace, request, environ)
    ownership = Ownership(split.folders, request.codeowners if request.by is SplitBy.team else None)
    if request.by is SplitBy.team:
        ownership.read()
    units, mixed = split_units(split.code, request.by, ownership.owner, request.prefix)
    pinned = bool(workspace.project.airflow_version) and split.old.airflow
    proposed = proposals(split.now, units, split.reaches, split.needed_everywhere(), pinned)
    chosen = _chosen(request, proposed)
    changes, kept = _changes(split, chosen, proposed) if write else ([], ())
    return SplitOutcome(
        environment=split.old.name,
        generation=split.generation,
        packages=len(split.now.distributions),
        proposals=proposed,
        shared=_shared(proposed),
        shared_modules=tuple(_shared_modules(split, proposed)),
        mixed=tuple(mixed),
        unneeded=unneeded(split.now, proposed),
        other_bundles=tuple(split.others),
        unread=tuple((one.bundle, file, why) for one in split.code for file, why in one.unread),
        unreached=tuple(_unreached(split)),
        kept_bundles=tuple(kept),
        written=_write(split, chosen, changes) if write else (),
    )


def _folders(
    workspace: Workspace, request: SplitRequest, environ: Mapping[str, str]
) -> tuple[dict[str, Path], list[str]]:
    """The folders of the environment's bundles, and the bundles that have none here."""
    project, configuration = workspace.project, AirflowConfiguration(environ)
    snapshot = take_snapshot(project.root, configuration.bundles, Table(workspace.table()))
    answers = snapshot.answers().environments
    given = dict(request.folders or {})
    local = {name: Path(folder) for name, folder in configuration.local_folders().items()}
    declared = _declared_folders(workspace)
    bundles = [bundle for bundle, environment in answers.items() if environment == request.environment]
    if unknown := [name for name in given if name not in bundles]:
        what = f"no bundle of {request.environment} is called so"
        raise UsageError(
            Problem(f"--path {name}=", what, f"Its bundles: {', '.join(bundles)}.") for name in unknown
        )
    found = {bundle: (local | declared | given).get(bundle) for bundle in bundles}
    folders = {bundle: folder.absolute() for bundle, folder in found.items() if folder and folder.is_dir()}
    if not bundles:
        what = "no bundle is mapped to it, in envman.toml or in Airflow's configuration"
        remedy = "Name the environment that the bundles have now: envman list"
        raise UsageError(Problem(f"environment '{request.environment}'", what, remedy))
    if not folders:
        what = "none of its bundles is a folder here"
        remedy = f"Pass a checkout: envman adopt split {request.environment} --path BUNDLE=FOLDER"
        raise UsageError(Problem(f"environment '{request.environment}'", what, remedy))
    return folders, [bundle for bundle in bundles if bundle not in folders]


def _declared_folders(workspace: Workspace) -> dict[str, Path]:
    project = workspace.project
    return {name: Path(project.directory, one.path) for name, one in project.bundles.items() if one.path}


def _shared_folders(workspace: Workspace, bundle: str) -> tuple[str, ...]:
    entry = workspace.project.bundles.get(bundle)
    return entry.shared if entry else ()


def _discovery(configuration: AirflowConfiguration) -> DagDiscovery:
    syntax = configuration.option("core", "dag_ignore_file_syntax") or "glob"
    option = "dag_discovery_safe_mode"
    safe_mode = configuration.option("core", option) is None or configuration.is_on("core", option)
    return DagDiscovery(safe_mode, syntax.strip().lower() == "glob")


def _shared(proposed: Iterable[ProposedEnvironment]) -> dict[str, tuple[str, ...]]:
    users: dict[str, list[str]] = {}
    for one in proposed:
        for entry in one.imported:
            users.setdefault(entry.package, []).append(one.environment)
    return {package: tuple(names) for package, names in sorted(users.items()) if len(names) > 1}


def _shared_modules(split: _Split, proposed: Iterable[ProposedEnvironment]) -> Iterable[SharedModule]:
    users: dict[tuple[str, str], dict[str, None]] = {}
    for one in proposed:
        for unit in one.units:
            for module in split.reaches[unit.bundle].needs(unit.dags).tops:
                users.setdefault((unit.bundle, module), {})[one.environment] = None
    for (bundle, module), names in sorted(users.items()):
        if len(names) > 1:
            yield SharedModule(bundle, module, tuple(names))


def _unreached(split: _Split) -> Iterable[tuple[str, str]]:
    for code in split.code:
        dags = code.dags()
        reached = {*dags, *split.reaches[code.bundle].needs(dags).own}
        for path in code.files:
            is_shared = path.partition("/")[0] in code.shared
            if path not in reached and not (is_shared or path.endswith("__init__.py")):
                yield code.bundle, path


def _chosen(
    request: SplitRequest, proposed: tuple[ProposedEnvironment, ...]
) -> tuple[ProposedEnvironment, ...]:
    """The proposals that are written; raises UsageError for one that is none."""
    names = [one.environment for one in proposed]
    if unknown := [name for name in request.only if name not in names]:
        what = f"no such environment is proposed: {', '.join(names)}"
        raise UsageError(Problem(f"--only {name}", what, "Name one of these.") for name in unknown)
    return tuple(one for one in proposed if not request.only or one.environment in request.only)


def _changes(
    split: _Split, chosen: Collection[ProposedEnvironment], proposed: Iterable[ProposedEnvironment]
) -> tuple[list[BundleChange], list[str]]:
    """What becomes of the bundles, and those that keep their folder though folders in it become bundles."""
    declared = split.workspace.project.bundles
    units = [(unit, one.environment) for one in chosen for unit in one.units]
    rest = {unit.bundle: environment for unit, environment in units if not unit.folder}
    waiting = {unit.bundle for one in proposed if one not in chosen for unit in one.units}
    if early := sorted(rest.keys() & waiting):
        what = "would leave its folders without their packages, as they stay in the bundle"
        remedy = "Name the environments of its folders before it, or all of them together."
        raise UsageError(
            Problem(f"--only {rest[bundle]}: bundle '{bundle}'", what, remedy) for bundle in early
        )
    units = [(unit, name) for unit, name in units if not unit.folder or rest.get(unit.bundle) != name]
    taken = {*declared, *split.folders}
    changes: list[BundleChange] = []
    for unit, environment in units:
        if not unit.folder:
            changes.append(BundleChange(unit.bundle, environment))
            continue
        name = free_name(f"{split.request.prefix}{unit.folder}", taken)
        taken.add(name)
        changes.append(BundleChange(name, environment, _path(split, unit), unit.bundle, _beside(split, unit)))
    parted = dict.fromkeys(unit.bundle for unit, _ in units if unit.folder)
    kept = [bundle for bundle in parted if bundle in rest or bundle in waiting]
    gone = [BundleChange(bundle, None) for bundle in parted if bundle not in kept]
    return [*changes, *gone], kept


def _beside(split: _Split, unit: SplitUnit) -> tuple[str, ...]:
    """The folders at the bundle's top that a folder's files import from there, relative to it."""
    code = split.reaches[unit.bundle].code
    tops = split.reaches[unit.bundle].needs(unit.dags).tops
    return tuple(f"../{top}" for top in sorted(tops) if code.is_folder(top))


def _path(split: _Split, unit: SplitUnit) -> str:
    """The path of a folder that becomes a bundle; raises UsageError where its bundle is no folder."""
    declared = split.workspace.project.bundles.get(unit.bundle)
    if not unit.folder.isprintable():
        what = f"its folder '{unit.folder}' has a name that no file can be written with"
        raise UsageError(Problem(f"bundle '{unit.bundle}'", what, "Rename the folder."))
    if declared and declared.path:
        return posixpath.join(declared.path, unit.folder)
    if unit.bundle in (split.request.folders or {}) or (declared and declared.classpath):
        what = "it is no folder of this host, so its folders can't become bundles"
        remedy = "Pass --by bundle; or declare a bundle for each folder, and run this again."
        raise UsageError(Problem(f"bundle '{unit.bundle}'", what, remedy))
    return str(split.folders[unit.bundle] / unit.folder)


def _write(
    split: _Split, chosen: Iterable[ProposedEnvironment], changes: Iterable[BundleChange]
) -> tuple[str, ...]:
    """Write the specs, then envman.toml, all or nothing; what is written is a project, or nothing is."""
    workspace = split.workspace
    with alone(workspace):
        old = parse_toml(workspace.files.read(split.old.file), split.old.file)[0]
        texts: dict[str, str] = {}
        for one in chosen:

            def keeps(module: str, packages: Mapping[str, str] = one.packages) -> bool:
                owners = split.index.owners(module)
                is_standard = module.partition(".")[0] in STANDARD_LIBRARY
                return is_standard or (bool(owners) and all(name in packages for name in owners))

            texts[spec_file(one.environment)] = spec_text(one, split.old.name, old, keeps, split.sources)
            texts[f"{ENVIRONMENTS}/{constraints_file(one.environment)}"] = constraints_text(
                one, split.old.name, split.pins, split.now.marker_environment
            )
        project = project_text(workspace.files.read(PROJECT_FILE), changes)
        open_workspace(Path(workspace.project.directory), {**texts, PROJECT_FILE: project})
        write_new_files(workspace.files.directory, texts, {PROJECT_FILE: project})
    return (*texts, PROJECT_FILE)
