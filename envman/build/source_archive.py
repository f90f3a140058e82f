"""Unpack a source distribution, whose archive may say anything: nothing leaves its folder, or is endless.

tarfile has filters for that (PEP 706) on some of the Pythons that envman runs on; zip archives have none.
"""

from __future__ import annotations

import errno
import lzma
import os
import posixpath
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from envman.system.children import CHILDREN

MOST_FILES = 500_000
MOST_BYTES = 16 * 1024**3
"""What a source may consist of; the largest ones known have a tenth of it."""

LARGEST_HEADER = 256 * 1024
MOST_HEADERS = 64 * 1024**2
LARGEST_DIRECTORY = 64 * 1024**2
"""Bytes of what is held in memory: one of a tar archive's extended headers, all of them, and what a zip
archive says of its files. Nothing known has a tenth of it.
"""

_EXTENDED = {
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
}
_ENTRY, _LENGTHS = b"PK\x01\x02", struct.Struct("<28xHHH12x")
"""How what a zip archive says of a file begins, and in it the lengths of name, extra field and comment."""

_UNREADABLE = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, struct.error),
    *(ValueError, NotImplementedError, RuntimeError, OverflowError),
)

_MACHINES = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
"""What is wrong with the machine; all others are the archive's: a file that is a folder as well, and such."""


@dataclass(frozen=True)
class Member:
    """A file, folder or link of an archive; `target` is a link's, None for all others.

    `modified` is in seconds since the epoch: a build goes by it where it decides what to generate anew.
    """

    path: str
    size: int = 0
    folder: bool = False
    executable: bool = False
    modified: float = 0
    target: str | None = None


class UnfitError(Exception):
    """What a source distribution or its build gives, and none may."""


def unpack_source(archive: Path, folder: Path) -> Path:
    """Unpack a source distribution into an empty folder; returns the one folder that it consists of.

    Files keep their times and whether they can be run; links lead to what is in the archive. Raises
    UnfitError for an archive that holds anything else or can't be read, OSError where it can't be written.
    """
    try:
        _written(_zipped(archive) if archive.name.endswith(".zip") else _tarred(archive), folder)
    except OSError as error:
        if error.errno in _MACHINES:
            raise
        raise UnfitError(f"its archive can't be unpacked: {error}") from None
    except _UNREADABLE as error:
        raise UnfitError(f"its archive can't be unpacked: {error or type(error).__name__}") from None
    tops = sorted(folder.iterdir())
    if len(tops) != 1 or tops[0].is_symlink() or not tops[0].is_dir():
        raise UnfitError("its archive is not one folder")
    return tops[0]


def _written(members: Iterator[tuple[Member, IO[bytes] | None]], folder: Path) -> None:
    links: list[Member] = []
    size = 0
    for count, (member, content) in enumerate(members):
        CHILDREN.look()
        size += member.size
        if count >= MOST_FILES or size > MOST_BYTES:
            raise UnfitError(f"it has more than {MOST_FILES} files, or {MOST_BYTES} bytes")
        place = folder / _inside(member.path)
        if member.target is not None:
            links.append(member)
        elif member.folder:
            place.mkdir(parents=True, exist_ok=True)
        elif content is not None:
            _write(place, member, content)
    inside = os.path.realpath(folder)
    for link in links:  # so that nothing is written through one
        place = folder / _inside(link.path)
        if os.path.realpath(place.parent) != os.path.dirname(f"{inside}/{_inside(link.path)}"):  # noqa: PTH120
            raise UnfitError(f"{link.path!r} is below a link")
        place.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            place.unlink()
        place.symlink_to(link.target or "")
    for link in links:
        if not os.path.realpath(folder / _inside(link.path)).startswith(f"{inside}/"):
            raise UnfitError(f"the link {link.path!r} leads out of it")


def _write(place: Path, member: Member, content: IO[bytes]) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        place.unlink()  # the archive has the name twice
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(place, flags, 0o755 if member.executable else 0o644)
    with os.fdopen(descriptor, "wb") as stream:
        left = member.size
        while left and (block := content.read(min(left, 1 << 20))):
            stream.write(block)
            left -= len(block)
        if left:
            raise UnfitError(f"{member.path!r} is shorter than it says")
    with suppress(OSError, OverflowError):
        os.utime(place, (member.modified, member.modified))


def _inside(path: str) -> str:
    """A member's path; raises UnfitError for one that is not below the archive's folder."""
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if not parts or path.startswith("/") or ".." in parts or "\0" in path or "\\" in path:
        raise UnfitError(f"the path {path!r} is not below its folder")
    return "/".join(parts)


class _Header(tarfile.TarInfo):
    """A member, whose extended headers are refused before they are read into memory."""

    def _proc_member(self, archive: _Tar) -> tarfile.TarInfo:
        if self.type in _EXTENDED:
            archive.headers += self.size
            archive.of_all += self.size if self.type == tarfile.XGLTYPE else 0
            if not 0 <= self.size <= LARGEST_HEADER or archive.of_all > LARGEST_HEADER:
                raise UnfitError("it has a header that is too large")
            if archive.headers > MOST_HEADERS:
                raise UnfitError("it has too many headers")
        elif self.type == tarfile.GNUTYPE_SPARSE:
            self._refuse_holes()
        return super()._proc_member(archive)  # type: ignore[misc,no-any-return]

    def _refuse_holes(self, *_: object) -> None:
        """A list of holes is read from the file's content, as long as that says."""
        raise UnfitError("it has a file with holes in it (GNU sparse)")

    _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _refuse_holes


class _Tar(tarfile.TarFile):
    tarinfo = _Header
    headers = 0
    """Bytes of the extended headers so far."""

    of_all = 0
    """Those of headers that are all further members'."""


def _members(opened: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members, each forgotten by the next."""
    while (one := opened.next()) is not None:
        if one.size < 0:  # where the next one begins is counted from it
            raise UnfitError(f"{one.name!r} says that it has {one.size} bytes")
        yield one
        opened.members.clear()  # type: ignore[attr-defined]


def _tarred(archive: Path) -> Iterator[tuple[Member, IO[bytes] | None]]:
    with _Tar.open(archive, "r:*") as opened:
        for one in _members(opened):
            if one.isdir() and not one.name.strip("./"):  # the folder itself
                continue
            if one.islnk():
                yield _hard_link(one), None
            elif one.issym():
                yield Member(one.name, target=one.linkname), None
            elif one.isdir():
                yield Member(one.name, folder=True), None
            elif one.isreg():
                run = bool(one.mode & stat.S_IXUSR)
                yield Member(one.name, one.size, executable=run, modified=one.mtime), opened.extractfile(one)
            else:
                raise UnfitError(f"{one.name!r} is neither file, folder nor link")


def _hard_link(one: tarfile.TarInfo) -> Member:
    """A second name for a file of the archive, as a link to the first."""
    target = posixpath.relpath(_inside(one.linkname), posixpath.dirname(_inside(one.name)) or ".")
    return Member(one.name, target=target)


def _zipped(archive: Path) -> Iterator[tuple[Member, IO[bytes] | None]]:
    with archive.open("rb") as stream:
        check_directory(stream)
    with zipfile.ZipFile(archive) as opened:
        for one in opened.infolist():
            mode = one.external_attr >> 16
            if stat.S_IFMT(mode) not in {0, stat.S_IFREG, stat.S_IFDIR}:
                raise UnfitError(f"{one.filename!r} is neither file nor folder")
            if one.is_dir():
                yield Member(one.filename, folder=True), None
                continue
            with opened.open(one) as content:
                yield Member(one.filename, one.file_size, executable=bool(mode & stat.S_IXUSR)), content


def check_directory(archive: IO[bytes]) -> None:
    """Raises UnfitError where a zip archive names more files than may be, BadZipFile where it is none.

    zipfile reads what an archive says of its files as a whole, and makes an object for each.
    """
    end = zipfile._EndRecData(archive)  # type: ignore[attr-defined]  # as zipfile finds it itself
    if not end:
        raise zipfile.BadZipFile("File is not a zip file")
    size = end[5]
    if size > LARGEST_DIRECTORY:
        raise UnfitError(f"what it says of its files has more than {LARGEST_DIRECTORY} bytes")
    archive.seek(max(0, end[9] - size - (76 if end[0] == b"PK\x06\x06" else 0)))
    directory = archive.read(size)
    archive.seek(0)
    at = count = 0
    while directory[at : at + 4] == _ENTRY and len(directory) >= at + _LENGTHS.size:
        at += _LENGTHS.size + sum(_LENGTHS.unpack_from(directory, at))
        count += 1
        if count > MOST_FILES:
            raise UnfitError(f"it has more than {MOST_FILES} files")
