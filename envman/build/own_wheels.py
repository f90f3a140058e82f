"""Wheels of code of one's own (`sources` of a spec): made twice for a lock, and once more from it.

What builds a project is a stranger's, as any backend is, and runs in the quarantine. The wheel of plain
modules is made here.
"""

from __future__ import annotations

import json
import posixpath
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from packaging.requirements import Requirement
from packaging.utils import parse_wheel_filename
from packaging.version import Version

from envman.build.built_wheel import check_name, check_wheel
from envman.build.source_archive import UnfitError
from envman.build.source_backend import MOST_TEXT
from envman.build.source_builds import OwnBuild, SourceBuilds
from envman.build.source_cache import BuiltWheel
from envman.build.source_metadata import declared
from envman.build.wheel_file import modules_version, rewrite_wheel, write_module_wheel
from envman.errors import BuildError, Problem
from envman.lock.lockfile import LockedSource, Pin
from envman.lock.source_only import SourceFile
from envman.names import nearest
from envman.spec.load import ProjectFiles
from envman.spec.own_code import OwnSource, SourceKind, own_sources
from envman.spec.project import Environment
from envman.spec.source_tree import read_tree, unchanged
from envman.system.digests import Digests
from envman.system.files import strangers_folder
from envman.uv.known_packages import KnownMetadata

_SCM = ("SETUPTOOLS_SCM_PRETEND_VERSION", "PDM_BUILD_SCM_VERSION", "POETRY_DYNAMIC_VERSIONING_BYPASS")
"""Variables by which backends take a version that they would ask Git for: hatch-vcs obeys the first."""

_SHOWN = 10
_REMEDY = "Correct it, or serve a wheel of it from an index."


@dataclass(frozen=True)
class OwnWheel:
    """The wheel of a source, what its metadata says, and what it was built with."""

    source: OwnSource
    wheel: BuiltWheel
    metadata: KnownMetadata
    built_with: tuple[str, ...]

    @property
    def pin(self) -> Pin:
        """The same as a package of a lock, for all platforms."""
        return Pin(self.metadata.name, self.metadata.version, "", (f"sha256:{self.wheel.sha256}",))

    @property
    def locked(self) -> LockedSource:
        """The same as a source of a lock."""
        return LockedSource(self.metadata.name, self.source.path, self.built_with)


class OwnWheels:
    """Makes the wheels of a project's sources, for one environment; `directory` is the project's folder."""

    def __init__(self, directory: str, builds: SourceBuilds) -> None:
        self._directory = directory
        self._builds = builds

    def for_lock(self, source: OwnSource, tree: str, locked: LockedSource | None) -> OwnWheel:
        """The wheel of a source whose files have this digest; of a project a second one is built, to see that
        it is the same. What it was `locked` with is used again.

        Raises BuildError, SpecError, OSError.
        """
        if source.kind is SourceKind.MODULES:
            return _described(source, self._modules(source, tree), ())
        cache, note = self._builds.cache, self._key(source, tree, ("noted",))
        noted = None if locked else cache.text(note)
        built_with = locked.built_with if locked else tuple(json.loads(noted or "[]"))
        if (locked or noted) and (kept := cache.wheel(self._key(source, tree, built_with))):
            return _described(source, kept, built_with)
        with strangers_folder("envman-own-") as folder:
            first, made_with = self._built(source, tree, built_with, folder / "first")
            again, _ = self._built(source, tree, made_with, folder / "again")
            if first.sha256 != again.sha256:
                what = f"two builds of it give two wheels: {_difference(first.path, again.path)}"
                raise BuildError(Problem(source.path, what, _REMEDY))
            kept = self._kept(source, tree, made_with, again)
        if not locked:
            cache.keep_text(note, json.dumps(made_with))
        return _described(source, kept, made_with)

    def all_from_lock(
        self, environment: Environment, own: Mapping[Pin, LockedSource]
    ) -> dict[Pin, BuiltWheel]:
        """The wheels that an environment's lock has of sources, by their pins; raises as `from_lock` does."""
        files = ProjectFiles(Path(self._directory))
        sources = {one.path: one for one in own_sources(environment.sources, files)[0]}
        return {
            pin: self.from_lock(sources[locked.path], files.tree(locked.path), locked, pin)
            for pin, locked in own.items()
        }

    def from_lock(self, source: OwnSource, tree: str, locked: LockedSource, pin: Pin) -> BuiltWheel:
        """The wheel that a lock has of a source, whose files have the digest that it was locked with.

        Raises BuildError where what is built is another one; SpecError, OSError.
        """
        wanted = {value.removeprefix("sha256:") for value in pin.hashes}
        if source.kind is SourceKind.MODULES:
            made = self._modules(source, tree)
        elif found := self._in_wheelhouse(pin.name, wanted):
            return found
        elif kept := self._builds.cache.wheel(self._key(source, tree, locked.built_with)):
            made = kept
        else:
            with strangers_folder("envman-own-") as folder:
                built, _ = self._built(source, tree, locked.built_with, folder / "wheel")
                made = self._kept(source, tree, locked.built_with, built) if built.sha256 in wanted else built
        if made.sha256 not in wanted:
            what = f"its wheel has the hash sha256:{made.sha256}, and not the locked {', '.join(pin.hashes)}"
            remedy = (
                "Its build makes something else here than where it was locked: see what it takes from the "
                f"machine, or from its Python. {_REMEDY}"
            )
            raise BuildError(Problem(source.path, what, remedy))
        return made

    def _key(self, source: OwnSource, tree: str, built_with: tuple[str, ...]) -> str:
        """The name of a build in the cache."""
        further = source.path, source.name, source.version, *built_with
        return self._builds.key(_name(source), tree.removeprefix("sha256:"), *further)

    def _modules(self, source: OwnSource, expected: str) -> BuiltWheel:
        """The wheel of plain modules, which needs no build."""
        key = self._key(source, expected, ())
        if kept := self._builds.cache.wheel(key):
            return kept
        with strangers_folder("envman-own-") as folder:
            copy, result = folder / "copy", folder / "result"
            copy.mkdir()
            result.mkdir()
            tree = read_tree(self._directory, source.path, copy)
            unchanged(source.path, tree, expected)
            named = source.name, source.version or modules_version(tree), posixpath.basename(source.path)
            try:
                write_module_wheel(copy, tree, named, result)
                return self._builds.cache.keep(key, result, lambda name, _: check_name(name))
            except UnfitError as error:
                remedy = "Put its modules, or folders with them, right below it; or add a pyproject.toml."
                raise BuildError(Problem(source.path, str(error), remedy)) from None

    def _built(
        self, source: OwnSource, tree: str, built_with: tuple[str, ...], folder: Path
    ) -> tuple[BuiltWheel, tuple[str, ...]]:
        """A project's wheel, built into a new folder and written anew; and what it was built with."""

        def fill(target: Path) -> None:
            unchanged(source.path, read_tree(self._directory, source.path, target), tree)

        def check(name: str, content: BinaryIO) -> None:
            _check(source, name)
            found, version, *_ = parse_wheel_filename(name)
            check_wheel(name, content, (found, str(version)), self._builds.tags())

        name = _name(source)
        stated = dict.fromkeys(_SCM, source.version) if source.version else {}
        package = SourceFile(name, f"({source.path})", "", tree.removeprefix("sha256:"))
        own = OwnBuild(package, fill, built_with, {"PYTHONHASHSEED": "0", **stated})
        raw, new = folder / "raw", folder / "new"
        raw.mkdir(parents=True)
        new.mkdir()
        file, made_with = self._builds.own_wheel(own, raw, check)
        try:
            rewrite_wheel(raw / file, new / file)
        except UnfitError as error:
            raise BuildError(Problem(source.path, str(error), _REMEDY)) from None
        return BuiltWheel(new / file, Digests().of(str(new / file))), made_with

    def _kept(
        self, source: OwnSource, tree: str, built_with: tuple[str, ...], wheel: BuiltWheel
    ) -> BuiltWheel:
        key = self._key(source, tree, built_with)
        return self._builds.cache.keep(key, wheel.path.parent, lambda name, _: check_name(name))

    def _in_wheelhouse(self, name: str, wanted: set[str]) -> BuiltWheel | None:
        """The locked wheel in the wheelhouse that packages come from, if it is there."""
        if not self._builds.wheelhouse:
            return None
        for file in sorted(Path(self._builds.wheelhouse).glob(f"{name.replace('-', '_')}-*.whl")):
            if file.is_file() and (sha256 := Digests().of(str(file))) in wanted:
                return BuiltWheel(file, sha256)
        return None


def _name(source: OwnSource) -> str:
    """What a build is called whose package's name only it tells."""
    return source.name or posixpath.basename(source.path)


def _check(source: OwnSource, file: str) -> None:
    """Raises UnfitError for a wheel of another name or version, or one that is not for every machine."""
    check_name(file)
    name, version, _, tags = parse_wheel_filename(file)
    if source.name not in {"", name}:
        raise UnfitError(f"{file!r} is not {source.name}")
    if source.version and version != Version(source.version):
        raise UnfitError(f"{file!r} has not the stated version {source.version}; take `version` out")
    if wrong := sorted(str(tag) for tag in tags if (tag.abi, tag.platform) != ("none", "any")):
        what = f"its wheel is for some machines alone ({wrong[0]}), and a lock is for all its platforms"
        raise UnfitError(f"{what}: build it in CI for each, and serve the wheels from an index")


def _described(source: OwnSource, wheel: BuiltWheel, built_with: tuple[str, ...]) -> OwnWheel:
    """A wheel with what its metadata says; raises BuildError for what no lock can hold."""
    name, version, *_ = parse_wheel_filename(wheel.path.name)
    file = SourceFile(name, str(version), "", wheel.sha256)
    with zipfile.ZipFile(wheel.path) as archive:
        infos = [one for one in archive.infolist() if one.filename.endswith(".dist-info/METADATA")]
        if len(infos) != 1 or infos[0].file_size > MOST_TEXT:
            raise BuildError(Problem(source.path, "its wheel has no metadata that can be read", _REMEDY))
        text = archive.read(infos[0]).decode("utf-8", errors="replace")
    metadata = declared(file, text)
    problems = [
        Problem(source.path, f"asks for '{one.name}' by its address", "Name a version, or make it a source.")
        for one in map(Requirement, metadata.requires_dist)
        if one.url
    ]
    problems += [
        Problem(source.path, f"has no extra '{extra}'", nearest(extra, metadata.provides_extra))
        for extra in source.extras
        if extra not in metadata.provides_extra
    ]
    if problems:
        raise BuildError(problems)
    return OwnWheel(source, wheel, metadata, built_with)


def _difference(first: Path, again: Path) -> str:
    """Which files of two wheels differ."""
    with zipfile.ZipFile(first) as one, zipfile.ZipFile(again) as other:
        mine, theirs = ({info.filename: info.CRC for info in archive.infolist()} for archive in (one, other))
    names = sorted(name for name in {*mine, *theirs} if mine.get(name) != theirs.get(name))
    code = [name for name in names if not name.endswith(".dist-info/RECORD")]
    return f"{', '.join(code[:_SHOWN])} differ in them"
