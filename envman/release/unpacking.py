"""Put files into a generation that is being assembled: from layers that were fetched, and from other
generations of this host.

Each path is taken once, whichever layer brings it, and nothing is written through a link: links are made
when all files stand.
"""

from __future__ import annotations

import errno
import hashlib
import os
import posixpath
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from envman.image.oci_values import Descriptor
from envman.release.layer_archive import (
    ArchiveEntry,
    ArchiveReader,
    Gunzip,
    Readable,
    UnfitLayerError,
    check_blob,
)
from envman.release.layer_record import LayerFile
from envman.store import layout
from envman.system.children import CHILDREN

_FOR_ENTRIES = 4096
"""Bytes that an archive may have for each file besides its content."""

_PYTHON = re.compile(r"bin/python[0-9.]*")
_TARGET = re.compile(r"(\.\./)*[^/]+(/[^/]+)*")
_REFUSED = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX | stat.S_IWOTH
"""What no file of an environment may have: another user's rights, and rights for all."""

_OWN = frozenset({layout.MANIFEST, layout.FILES, layout.LAYERS})
_NO_LINKS = {errno.EXDEV, errno.EMLINK, errno.EPERM, errno.ENOTSUP}
"""Another file system, one link too many, another user's file, a file system without links."""


@dataclass(frozen=True)
class Expected:
    """What a generation's manifest says: its files, their bytes, and the interpreter that `bin/python` is."""

    files: int
    size: int
    interpreter: str


class Unpacking:
    """A generation's folder, empty at first, while it is filled."""

    def __init__(self, folder: Path, expected: Expected) -> None:
        self._folder = str(folder)
        self._expected = expected
        self._folders = {""}
        self._taken: set[str] = set()
        self._links: dict[str, str] = {}
        self._size = 0

    def layer(self, blob: Readable, layer: Descriptor) -> tuple[LayerFile, ...]:
        """Write the files of a fetched layer, and digest them; raises UnfitLayerError, OSError."""
        left = self._expected.size - self._size + _FOR_ENTRIES * (self._expected.files + 16)
        opened = Gunzip(blob, left)
        archive = ArchiveReader(opened)
        files = [self._written(entry, archive) for entry in archive.entries()]
        check_blob(opened, layer.digest, layer.size)
        return tuple(files)

    def linked(self, source: str, files: Iterable[LayerFile]) -> None:
        """Have files of another generation's folder, as links where that can be.

        Raises UnfitLayerError, OSError.
        """
        for file in files:
            kind = int(file.mode, 8)
            self._take(file.path, file.size)
            if stat.S_ISDIR(kind):
                self._make_folder(file.path)
            elif stat.S_ISLNK(kind):
                self._links[file.path] = os.readlink(f"{source}/{file.path}")  # noqa: PTH115  # thousands
            else:
                _link(f"{source}/{file.path}", f"{self._folder}/{file.path}")

    def finish(self) -> None:
        """Make the links, each of which leads to what is inside; raises UnfitLayerError, OSError."""
        for path, target in self._links.items():
            own = _PYTHON.fullmatch(path) and target == self._expected.interpreter
            if not own and not _stays_inside(path, target):
                raise UnfitLayerError(f"the link {path!r} leads out of the generation, to {target[:200]!r}")
            os.symlink(target, f"{self._folder}/{path}")  # noqa: PTH211  # as with files

    def _written(self, entry: ArchiveEntry, archive: ArchiveReader) -> LayerFile:
        CHILDREN.look()
        if entry.kind != "2" and entry.mode & _REFUSED:
            raise UnfitLayerError(f"{entry.path!r} has the mode {entry.mode:o}, which no file may have")
        self._take(entry.path, entry.size)
        if entry.kind == "5":
            self._make_folder(entry.path)
            Path(self._folder, entry.path).chmod(entry.mode)
            return LayerFile(entry.path, f"{stat.S_IFDIR | entry.mode:o}", "-", 0)
        if entry.kind == "2":
            self._links[entry.path] = entry.target
            digest = hashlib.sha256(os.fsencode(entry.target)).hexdigest()
            return LayerFile(entry.path, f"{stat.S_IFLNK | 0o777:o}", digest, 0)
        return LayerFile(entry.path, f"{stat.S_IFREG | entry.mode:o}", self._file(entry, archive), entry.size)

    def _file(self, entry: ArchiveEntry, archive: ArchiveReader) -> str:
        """Write a file; returns its digest."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        path = f"{self._folder}/{entry.path}"
        descriptor = os.open(path, flags, 0o600)
        try:
            digest = hashlib.sha256()
            for block in archive.content():
                digest.update(block)
                _write(descriptor, block, path)
            os.fchmod(descriptor, entry.mode)
        finally:
            os.close(descriptor)
        return digest.hexdigest()

    def _take(self, path: str, size: int) -> None:
        """Make sure of a path: nobody has it, and it is within what the manifest says."""
        if path in self._taken or path in self._folders:
            raise UnfitLayerError(f"{path!r} is there twice")
        if path in _OWN:
            raise UnfitLayerError(f"{path!r} is envman's own")
        self._taken.add(path)
        self._size += size
        if len(self._taken) > self._expected.files or self._size > self._expected.size:
            raise UnfitLayerError("it has more, or larger, files than its manifest says")
        self._make_folder(path.rpartition("/")[0])

    def _make_folder(self, path: str) -> None:
        if path in self._folders:
            return
        self._make_folder(path.rpartition("/")[0])
        if path in self._links:
            raise UnfitLayerError(f"{path!r} is a link and a folder")
        try:
            os.mkdir(f"{self._folder}/{path}", 0o755)  # noqa: PTH102  # as with files
        except FileExistsError:
            raise UnfitLayerError(f"{path!r} is a file and a folder") from None
        self._folders.add(path)


def _stays_inside(path: str, target: str) -> bool:
    """Whether a link stays below the generation, whatever other links are there."""
    parts = target.split("/")
    if not _TARGET.fullmatch(target) or "\0" in target or "" in parts or "." in parts:
        return False
    up = sum(part == ".." for part in parts)
    return ".." not in parts[up:] and up <= posixpath.dirname(path).count("/") + bool(posixpath.dirname(path))


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _copy(source, target)


def _copy(source: str, target: str) -> None:
    descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as original:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        copy = os.open(target, flags, 0o600)
        try:
            while block := original.read(1 << 20):
                _write(copy, block, target)
            os.fchmod(copy, stat.S_IMODE(os.fstat(descriptor).st_mode))
        finally:
            os.close(copy)


def _write(descriptor: int, block: bytes, path: str) -> None:
    view = memoryview(block)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError as error:  # of a descriptor, no name is told
        error.filename = path
        raise
