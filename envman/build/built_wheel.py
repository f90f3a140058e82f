"""Take the wheel that a guest has built: nothing that it says is believed, and no link of it is followed."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import zipfile
from collections.abc import Callable, Container
from pathlib import Path
from typing import BinaryIO

from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from envman.build.source_archive import MOST_BYTES, MOST_FILES, UnfitError, check_directory
from envman.system.children import CHILDREN

LARGEST_WHEEL = 4 * 1024**3

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def copy_wheel(result: Path, target: Path, check: Callable[[str, BinaryIO], None]) -> tuple[str, str]:
    """Copy the one file of a guest's folder into a folder; returns its name and its SHA-256 in hexadecimal.

    `check` gets the name and the copy. Raises UnfitError where there is anything else, OSError.
    """
    folder = _opened(str(result), _FOLDER)
    try:
        names = os.listdir(folder)  # noqa: PTH208
        if len(names) != 1:
            raise UnfitError(f"it left {len(names)} files, and not one wheel")
        source = _opened(names[0], _FILE, folder)
    finally:
        os.close(folder)
    with _reader(source, names[0]) as stream:
        if os.fstat(source).st_nlink != 1:
            raise UnfitError(f"{names[0]!r} is no file of its own")
        check_name(names[0])
        copy = target / names[0]
        with copy.open("x+b") as written:
            sha256 = _copied(stream, written)
            written.seek(0)
            check(names[0], written)
    return names[0], sha256


def read_result(folder: Path, names: tuple[str, ...], most: int) -> bytes:
    """A file of a guest's folder, by the names of the folders on the way; raises UnfitError, OSError."""
    at = _opened(str(folder), _FOLDER)
    try:
        for name in names[:-1]:
            below = _opened(name, _FOLDER, at)
            os.close(at)
            at = below
        descriptor = _opened(names[-1], _FILE, at)
    finally:
        os.close(at)
    with _reader(descriptor, names[-1]) as stream:
        content = stream.read(most + 1)
    if len(content) > most:
        raise UnfitError(f"{names[-1]!r} is larger than {most} bytes")
    return content


def names_of_result(folder: Path) -> list[str]:
    """The names in a guest's folder, sorted; raises UnfitError where it is none."""
    descriptor = _opened(str(folder), _FOLDER)
    try:
        return sorted(os.listdir(descriptor))  # noqa: PTH208
    finally:
        os.close(descriptor)


def _opened(name: str, flags: int, folder: int | None = None) -> int:
    try:
        return os.open(name, flags, dir_fd=folder)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENOTDIR, errno.ENOENT, errno.ENXIO}:
            raise UnfitError(f"{os.path.basename(name)!r} is a link, or not there") from None  # noqa: PTH119
        raise


def _reader(descriptor: int, name: str) -> BinaryIO:
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise UnfitError(f"{name!r} is no file")


def _copied(source: BinaryIO, target: BinaryIO) -> str:
    digest, size = hashlib.sha256(), 0
    while block := source.read(1 << 20):
        CHILDREN.look()
        size += len(block)
        if size > LARGEST_WHEEL:
            raise UnfitError(f"its wheel is larger than {LARGEST_WHEEL} bytes")
        digest.update(block)
        target.write(block)
    target.flush()
    return digest.hexdigest()


def check_name(name: str) -> None:
    """Raises UnfitError where a name is none of a wheel (PEP 427)."""
    try:
        parse_wheel_filename(name)
    except (InvalidWheelFilename, InvalidVersion, ValueError):
        raise UnfitError(f"{name!r} is no wheel") from None


def check_wheel(file: str, content: BinaryIO, wanted: tuple[str, str], tags: Container[Tag]) -> None:
    """Raises UnfitError where a wheel is of another package, for another Python, or a bomb.

    `wanted` are the package's name and version.
    """
    name, version, _, has = parse_wheel_filename(file)
    if (name, version) != (canonicalize_name(wanted[0]), Version(wanted[1])):
        raise UnfitError(f"{file!r} is not {' '.join(wanted)}")
    if not any(tag in tags for tag in has):
        raise UnfitError(f"{file!r} is for another Python, or another machine")
    try:
        check_directory(content)
        with zipfile.ZipFile(content) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise UnfitError(f"{file!r} can't be read: {error}") from None
    if len(entries) > MOST_FILES or sum(entry.file_size for entry in entries) > MOST_BYTES:
        raise UnfitError(f"{file!r} unpacks to more than {MOST_FILES} files, or {MOST_BYTES} bytes")
