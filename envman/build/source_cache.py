"""What builds from source fetch and make, in envman's cache; each file is believed by its digest alone."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from envman.build.built_wheel import copy_wheel
from envman.errors import BuildError, Problem
from envman.lock.source_only import SourceFile
from envman.system.digests import Digests
from envman.system.files import mark_used, remove_tree
from envman.uv.indexes import index_account
from envman.uv.runner import Source

SOURCES = "sources"
WHEELS = "wheels"
TEXTS = "metadata"
"""Folders of the cache: one folder with one file for each digest, and for each build."""

LARGEST_SOURCE = 4 * 1024**3
_ARCHIVE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!~-]*\.(tar\.gz|tgz|tar\.bz2|tar\.xz|tar|zip)")


@dataclass(frozen=True)
class BuiltWheel:
    """A wheel that was built here, alone in its folder, and its SHA-256 in hexadecimal."""

    path: Path
    sha256: str


class SourceCache:
    """Sources and built wheels below a cache's folder, for one source of files."""

    def __init__(self, folder: Path, source: Source) -> None:
        self._folder = folder
        self._source = source

    def source(self, file: SourceFile) -> Path:
        """A source distribution, fetched where it is not there yet; it has the digest that the lock has.

        Raises BuildError, LockError for a damaged netrc, SpecError for a damaged uv.toml, OSError.
        """
        name = unquote(urlsplit(file.url).path).rpartition("/")[2]
        if not _ARCHIVE.fullmatch(name):
            what = f"'{name}' is no file of a source distribution"
            raise BuildError(Problem(str(file), what, "Lock a version that has a wheel, or another source."))
        place = self._folder / SOURCES / file.sha256
        there = _number(place)
        if _is_as_kept(place / name, file.sha256):
            mark_used(place)
        else:
            with _new_folder(place, there) as new:
                self._fetch(file, new / name)
        return place / name

    def hashed(self, file: SourceFile) -> SourceFile:
        """The source with its digest, read from the file where nobody tells it. Raises as `source` does."""
        if file.sha256:
            return file
        with tempfile.TemporaryDirectory(prefix="envman-source-") as folder:
            return replace(file, sha256=self._fetched(file, Path(folder) / "source"))

    def _fetch(self, file: SourceFile, target: Path) -> None:
        found = self._fetched(file, target)
        if found != file.sha256:
            what = f"{file.url} has the hash sha256:{found}, and not the locked sha256:{file.sha256}"
            remedy = "The file is not the one that was locked. Find out why; to accept it, lock anew with -P."
            raise BuildError(Problem(str(file), what, remedy))

    def _fetched(self, file: SourceFile, target: Path) -> str:
        """Write the file; returns its SHA-256 in hexadecimal."""
        if self._source.offline and not file.url.startswith("file:"):
            what = "its source is not in envman's cache, and --offline forbids to fetch it"
            remedy = "Fill a wheelhouse (envman wheelhouse), or leave --offline out."
            raise BuildError(Problem(str(file), what, remedy))
        from envman.system.remote import fetch_file  # HTTP, which no wheel needs

        account = index_account(os.environ, self._source.config, file.url)
        try:
            with target.open("xb") as stream:
                return fetch_file(file.url, stream, file.size or LARGEST_SOURCE, account)
        except OSError as error:
            if error.filename:  # one of this machine's
                raise
            remedy = "Check the index in uv's configuration, its credentials, the proxy and the network."
            what = f"{file.url} can't be fetched: {getattr(error, 'reason', None) or error}"
            raise BuildError(Problem(str(file), what, remedy)) from None

    def text(self, key: str) -> str | None:
        """A text that was kept; None where there is none that is as it was. Raises OSError."""
        for kept in sorted((self._folder / TEXTS / key).glob("*")):
            with suppress(FileNotFoundError):  # removed meanwhile
                content = kept.read_bytes()
                if hashlib.sha256(content).hexdigest() == kept.name:
                    mark_used(kept.parent)
                    return content.decode("utf-8")
        return None

    def keep_text(self, key: str, text: str) -> str:
        """Keep a text; returns it. Raises OSError."""
        place = self._folder / TEXTS / key
        there, content = _number(place), text.encode("utf-8")
        if self.text(key) is not None:  # another build's
            return text
        with _new_folder(place, there) as new:
            (new / hashlib.sha256(content).hexdigest()).write_bytes(content)
        return text

    def built(self) -> frozenset[str]:
        """The digests of those sources that a wheel was built from, in whichever way; raises OSError."""
        folder = self._folder / WHEELS
        names = (entry.name for entry in folder.iterdir()) if folder.is_dir() else ()
        return frozenset(name.partition("-")[0] for name in names)

    def wheel(self, key: str) -> BuiltWheel | None:
        """The wheel of a build, None where there is none that is as it was kept; raises OSError.

        `key` begins with the source's digest, and a dash.
        """
        for wheel in sorted((self._folder / WHEELS / key).glob("*/*.whl")):
            with suppress(FileNotFoundError):  # removed meanwhile
                if _is_as_kept(wheel, wheel.parent.name):
                    mark_used(self._folder / WHEELS / key)
                    return BuiltWheel(wheel, wheel.parent.name)
        return None

    def keep(self, key: str, result: Path, check: Callable[[str, BinaryIO], None]) -> BuiltWheel:
        """Take the wheel of a build out of the folder that a guest has left it in; see `copy_wheel`.

        Where another build has kept one meanwhile, that one counts.
        """
        place = self._folder / WHEELS / key
        there = _number(place)
        if (kept := self.wheel(key)) is not None:
            return kept
        with _new_folder(place, there) as new:
            name, sha256 = copy_wheel(result, new, check)
            (new / sha256).mkdir()
            (new / name).rename(new / sha256 / name)
        kept = self.wheel(key)  # which another build may have put there meanwhile
        if kept is None:
            raise OSError(errno.EIO, "was not kept as it was written", str(place))
        return kept


def _is_as_kept(file: Path, sha256: str) -> bool:
    try:
        return file.is_file() and not file.is_symlink() and Digests().of(str(file)) == sha256
    except FileNotFoundError:  # removed meanwhile
        return False


def _number(place: Path) -> int | None:
    """The number of what stands at a place (inode), None where nothing does."""
    try:
        return place.lstat().st_ino
    except FileNotFoundError:
        return None


@contextmanager
def _new_folder(place: Path, damaged: int | None) -> Iterator[Path]:
    """A folder that takes its place once it is whole; what another build has put there meanwhile stays.

    What was there before, and was found damaged, is removed: it is known by its number, which nothing new has
    while it is there.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=".new-", dir=place.parent))
    try:
        yield new
        if damaged is not None and _number(place) == damaged:
            remove_tree(place)
        try:
            new.rename(place)
        except OSError:
            if not place.is_dir():
                raise
    finally:
        remove_tree(new)
