"""What source distributions declare, for a resolution: read in the quarantine where only a build tells."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from packaging.metadata import parse_email
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from envman.build.source_builds import SourceBuilds, SourceOptions, SourceTools
from envman.errors import BuildError, Problem
from envman.lock.source_only import SourceFile, source_files
from envman.system.files import strangers_folder
from envman.uv.known_packages import KnownMetadata

if TYPE_CHECKING:
    from collections.abc import Iterator


class SourceMetadata:
    """Reads the metadata of source distributions, each once."""

    def __init__(self, builds: SourceBuilds, tools: SourceTools, requires_python: str) -> None:
        self._builds = builds
        self._uv = tools.uv
        self._requires_python = requires_python
        self._known: dict[tuple[str, str], KnownMetadata] = {}

    @property
    def known(self) -> tuple[KnownMetadata, ...]:
        """What was read so far."""
        return tuple(self._known.values())

    def read(self, package: str, version: str) -> None:
        """Read that of one version. Raises BuildError, LockError, OSError."""
        pylock = self._uv.files_of_version(package, version, self._requires_python)
        found = source_files(pylock, frozenset())
        if not found or (package, version) in self._known:
            what = "has no source distribution that its metadata could be read from"
            raise BuildError(Problem(f"{package} {version}", what, "Lock another version of it."))
        file = self._builds.hashed(found[0])
        self._known[package, version] = declared(file, self._builds.metadata(file))


@contextmanager
def source_builds(options: SourceOptions, tools: SourceTools) -> Iterator[SourceBuilds]:
    """What builds below a folder that goes when the context ends."""
    with strangers_folder("envman-sources-") as folder:
        folder.chmod(0o755)  # what runs there may be another user's
        yield SourceBuilds(folder, options, tools)


@contextmanager
def source_metadata(
    options: SourceOptions, tools: SourceTools, requires_python: str
) -> Iterator[SourceMetadata]:
    """What reads metadata, below a folder that goes when the context ends."""
    with source_builds(options, tools) as builds:
        yield SourceMetadata(builds, tools, requires_python)


def declared(file: SourceFile, text: str) -> KnownMetadata:
    """Core metadata as values; raises BuildError for that of another package, or what can't be read."""
    try:
        fields, _ = parse_email(text)
        name, version = canonicalize_name(fields["name"]), Version(fields["version"])
        requires = tuple(str(Requirement(one)) for one in fields.get("requires_dist", ()))
        requires_python = str(SpecifierSet(fields.get("requires_python", "")))
        extras = tuple(canonicalize_name(one, validate=True) for one in fields.get("provides_extra", ()))
    except (KeyError, ValueError, RecursionError) as error:  # packaging's own are ValueErrors
        what = f"its metadata can't be read: {error or type(error).__name__}"
        raise BuildError(Problem(str(file), what, "Lock another version of it.")) from None
    if (name, version) != (file.name, Version(file.version)):
        what = f"its metadata is that of {name} {version}"
        raise BuildError(Problem(str(file), what, "Lock another version of it."))
    return KnownMetadata(file.name, file.version, requires, requires_python, extras, f"sha256:{file.sha256}")
