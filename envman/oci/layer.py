"""Write a layer: an archive whose bytes depend on nothing but what stands in it."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import IO, cast

from envman.errors import ImageError, Problem
from envman.image.entries import Entry, Kind, portable_mode
from envman.image.oci_values import LAYER_GZIP, LAYER_ZSTD
from envman.system.children import CHILDREN
from envman.system.digests import Digests

BLOCK = 1 << 20
"""Bytes of the archive that are compressed at a time, each into a member of its own (RFC 1952)."""

GZIP_LEVEL, ZSTD_LEVEL = 6, 9


class Compression(str, Enum):
    """How layers are compressed. Docker before 23 reads gzip only."""

    GZIP = "gzip"
    ZSTD = "zstd"

    @property
    def media_type(self) -> str:
        """The media type of such a layer."""
        return LAYER_GZIP if self is Compression.GZIP else LAYER_ZSTD

    def describe(self) -> str:
        """What the bytes depend on: the compressor, its version and its level."""
        if self is Compression.GZIP:
            return f"libdeflate (deflate {version('deflate')}), level {GZIP_LEVEL}"
        return f"zstandard {version('zstandard')}, level {ZSTD_LEVEL}"


@dataclass(frozen=True)
class Written:
    """A layer as it was written: digests of the archive and of the blob, and the blob's size in bytes."""

    diff_id: str
    digest: str
    size: int


def entries_below(
    folder: Path, path: str, digests: Digests, left_out: Callable[[str], bool]
) -> Iterator[Entry]:
    """What stands below a folder, as entries below `path` in the image; with the folder itself.

    `left_out` gets paths relative to the folder. Sockets, pipes and devices are left out, too.
    """
    yield Entry(path, Kind.FOLDER, portable_mode(stat.S_IMODE(folder.stat().st_mode)))
    for parent, folders, files in os.walk(folder):
        above = os.path.relpath(parent, folder)
        inside = "" if above == "." else f"{above}/"
        folders[:] = [name for name in folders if not left_out(inside + name)]
        for name in (*folders, *files):
            source = f"{parent}/{name}"
            if not left_out(inside + name) and (entry := _entry(source, f"{path}/{inside}{name}", digests)):
                yield entry


def _entry(source: str, path: str, digests: Digests) -> Entry | None:
    status = os.lstat(source)
    mode = portable_mode(stat.S_IMODE(status.st_mode))
    if stat.S_ISLNK(status.st_mode):
        return Entry(path, Kind.SYMBOLIC_LINK, 0o777, target=os.readlink(source))  # noqa: PTH115  # thousands: no Path for each
    if stat.S_ISDIR(status.st_mode):
        return Entry(path, Kind.FOLDER, mode)
    if stat.S_ISREG(status.st_mode):
        return Entry(path, Kind.FILE, mode, source, digests.of(source, status), status.st_size)
    return None


def write_layer(
    entries: Iterable[Entry], blob: IO[bytes], epoch: int, compression: Compression, jobs: int
) -> Written:
    """Write ordered entries as a compressed archive; all times are `epoch`. Raises OSError, ImageError.

    `jobs` is how many threads compress; the bytes are the same for any number of them.
    """
    with _Compressed(blob, compressor(compression), jobs) as stream:
        # the pax format (POSIX.1-2001), as it has no limits of length or of characters
        with tarfile.open(
            fileobj=cast("IO[bytes]", stream), mode="w|", format=tarfile.PAX_FORMAT, bufsize=BLOCK
        ) as archive:
            for entry in entries:
                _add(archive, entry, epoch)
        return stream.finish()


_TYPES = {
    Kind.FOLDER: tarfile.DIRTYPE,
    Kind.FILE: tarfile.REGTYPE,
    Kind.SYMBOLIC_LINK: tarfile.SYMTYPE,
    Kind.HARD_LINK: tarfile.LNKTYPE,
}


def _add(archive: tarfile.TarFile, entry: Entry, epoch: int) -> None:
    info = tarfile.TarInfo(entry.path + ("/" if entry.kind is Kind.FOLDER else ""))
    info.type = _TYPES[entry.kind]
    info.mode = entry.mode
    info.mtime = epoch
    info.uid = entry.user
    info.linkname = entry.target
    if entry.kind is not Kind.FILE:
        archive.addfile(info)
        return
    info.size = entry.size
    if entry.content is not None:
        archive.addfile(info, io.BytesIO(entry.content))
        return
    with Path(entry.source).open("rb") as source:
        archive.addfile(info, source)


class _Compressed:
    """A stream that digests what it gets, compresses it in threads and writes it to a blob."""

    def __init__(self, blob: IO[bytes], compress: Callable[[bytes], bytes], jobs: int) -> None:
        self._blob = blob
        self._compress = compress
        self._jobs = jobs
        self._pool = ThreadPoolExecutor(jobs)
        self._waiting: deque[Future[bytes]] = deque()
        self._archive = hashlib.sha256()
        self._compressed = hashlib.sha256()
        self._size = 0

    def __enter__(self) -> _Compressed:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def write(self, block: bytes) -> int:
        """Take a block; `tarfile` gives them all the same size but the last."""
        CHILDREN.look()
        self._archive.update(block)
        self._waiting.append(self._pool.submit(self._compress, block))
        while len(self._waiting) > 2 * self._jobs:
            self._write_first()
        return len(block)

    def _write_first(self) -> None:
        member = self._waiting.popleft().result()
        self._compressed.update(member)
        self._size += len(member)
        self._blob.write(member)

    def finish(self) -> Written:
        """Write what is left, and tell what was written."""
        while self._waiting:
            self._write_first()
        archive, compressed = (f"sha256:{one.hexdigest()}" for one in (self._archive, self._compressed))
        return Written(archive, compressed, self._size)


def compressor(compression: Compression) -> Callable[[bytes], bytes]:
    """Compresses one block, into what may be put one after the other: gzip members (RFC 1952), zstd frames
    (RFC 8878), without times or names. Raises ImageError where the library is missing.

    libdeflate and zstd, each at one exact version: others write other bytes, some of them on each processor.
    """
    library = "deflate" if compression is Compression.GZIP else "zstandard"
    try:
        module = import_module(library)
    except ImportError:
        what = f"the library {library}, which compresses layers, is not installed"
        raise ImageError(Problem("envman", what, "Install it: pip install 'envman[images]'")) from None
    if compression is Compression.GZIP:
        return lambda block: bytes(module.gzip_compress(block, GZIP_LEVEL))
    return lambda block: bytes(module.ZstdCompressor(level=ZSTD_LEVEL).compress(block))
