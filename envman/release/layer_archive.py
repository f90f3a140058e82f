"""Read a layer's archive, as strictly as envman writes one. Pure: it reads from a stream that it is given.

gzip members (RFC 1952) with one archive in the pax format (POSIX.1-2001): files, folders and symbolic links,
each with a plain path. Everything else is refused, and nothing is read into memory as long as it says to be:
who could write to the registry may have written this.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

BLOCK = 1 << 18
_RECORD = 512
_LARGEST_HEADER = 1 << 16
"""Bytes of an extended header; one has room for two paths."""

SMALLEST_MEMBER = 1 << 16
"""Bytes that each gzip member but the last has to unpack to: starting one takes time, whatever it holds."""

MOST_LEVELS = 128
"""Folders that a path may be below."""

_OCTAL = re.compile(rb"[0-7]{1,11}[\0 ]*")


class UnfitLayerError(ValueError):
    """A layer holds what none may hold, or is not what its digest and size say."""


class Readable(Protocol):
    """A stream of bytes."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""


class Seekable(Protocol):
    """A file, in which what is not wanted is passed over."""

    def seek(self, offset: int, whence: int, /) -> int:
        """Go on elsewhere: 1 for `whence` is from here on."""


class Gunzip:
    """The bytes of a blob, unpacked while they are read; never more than `most` of them."""

    def __init__(self, stream: Readable, most: int) -> None:
        self._stream = stream
        self._most = self._left = most
        self._members = 1
        self._unpacker = zlib.decompressobj(31)
        self._waiting = b""
        self._ready = bytearray()
        self._digest = hashlib.sha256()
        self.size = 0

    def read(self, size: int) -> bytes:
        """As many bytes as asked for, fewer at the end; raises UnfitLayerError."""
        while len(self._ready) < size and self._more(size):
            pass
        taken = bytes(self._ready[:size])
        del self._ready[:size]
        return taken

    def _more(self, size: int) -> bool:
        if not self._waiting:
            self._waiting = self._stream.read(BLOCK)
            self._digest.update(self._waiting)
            self.size += len(self._waiting)
        if self._unpacker.eof and self._waiting:
            self._start_member()
        if self._unpacker.eof:
            return False
        at_end = not self._waiting
        try:
            block = self._unpacker.decompress(self._waiting, max(size, BLOCK))
        except zlib.error as error:
            raise UnfitLayerError(f"it can't be unpacked: {error}") from None
        self._waiting = self._unpacker.unconsumed_tail or self._unpacker.unused_data
        if at_end and not block:  # what zlib has held back until now has come
            raise UnfitLayerError("it is cut short")
        self._left -= len(block)
        if self._left < 0:
            raise UnfitLayerError("it unpacks to more than it may")
        self._ready += block
        return True

    def _start_member(self) -> None:
        if self._most - self._left < self._members * SMALLEST_MEMBER:
            raise UnfitLayerError(f"it has members of less than {SMALLEST_MEMBER} bytes, or something behind")
        self._members += 1
        self._unpacker = zlib.decompressobj(31)

    def finish(self) -> str:
        """The digest of the blob, once all of it was read; raises UnfitLayerError for what is left of it."""
        if self.read(1):
            raise UnfitLayerError("something stands behind its archive")
        return "sha256:" + self._digest.hexdigest()


def unpacked_blob(stream: Readable, digest: str, size: int, most: int) -> bytes:
    """A blob of one piece, unpacked; raises UnfitLayerError where it is not what its digest and size say."""
    opened = Gunzip(stream, most)
    content = bytearray()
    while block := opened.read(BLOCK):
        content += block
    check_blob(opened, digest, size)
    return bytes(content)


def check_blob(opened: Gunzip, digest: str, size: int) -> None:
    """Raises UnfitLayerError unless a blob, which was read, has this digest and size."""
    if opened.finish() != digest or opened.size != size:
        raise UnfitLayerError("it is not what its digest says")


@dataclass(frozen=True)
class ArchiveEntry:
    """What stands in an archive: `kind` is '0' (file), '2' (symbolic link) or '5' (folder), as there."""

    path: str
    kind: str
    mode: int
    size: int
    target: str


class ArchiveReader:
    """The entries of an archive, one after the other; `content` is the last file's.

    Of a `seekable` stream, what nobody has read of it is passed over.
    """

    def __init__(self, stream: Readable, seekable: Seekable | None = None) -> None:
        self._stream = stream
        self._seekable = seekable
        self._unread = self._padding = 0

    def entries(self) -> Iterator[ArchiveEntry]:
        """All entries, in their order; raises UnfitLayerError."""
        extended: dict[str, str] = {}
        while True:
            if self._seekable:
                self._seekable.seek(self._unread, 1)
                self._unread = 0
            for _ in self.content():
                pass
            header = self._exactly(_RECORD)
            if header == bytes(_RECORD):
                self._end()
                return
            entry = _entry(header, extended)
            if entry.kind == "x":
                if extended or entry.size > _LARGEST_HEADER:
                    raise UnfitLayerError("it has an extended header that is none of envman's")
                extended = _extended(self._exactly(entry.size))
                self._exactly(-entry.size % _RECORD)
                continue
            extended = {}
            self._unread, self._padding = entry.size, -entry.size % _RECORD
            yield entry

    def content(self) -> Iterator[bytes]:
        """What has not been read of the last entry, in blocks; raises UnfitLayerError."""
        while self._unread:
            block = self._stream.read(min(BLOCK, self._unread))
            if not block:
                raise UnfitLayerError("its archive is cut short")
            self._unread -= len(block)
            yield block
        self._exactly(self._padding)
        self._padding = 0

    def _exactly(self, size: int) -> bytes:
        found = bytearray()
        while len(found) < size:
            block = self._stream.read(size - len(found))
            if not block:
                raise UnfitLayerError("its archive is cut short")
            found += block
        return bytes(found)

    def _end(self) -> None:
        """Behind an empty header there is nothing but emptiness."""
        while block := self._stream.read(BLOCK):
            if block.strip(b"\0"):
                raise UnfitLayerError("something stands behind its archive")


def _entry(header: bytes, extended: dict[str, str]) -> ArchiveEntry:
    """Read a header (IEEE Std 1003.1, "ustar Interchange Format")."""
    stated = _number(header[148:156])
    if stated != sum(header) - sum(header[148:156]) + 8 * 32 or header[257:265] != b"ustar\x0000":
        raise UnfitLayerError("a header of its archive is damaged, or of another format")
    kind = chr(header[156] or ord("0"))
    if kind not in {"0", "2", "5", "x"}:
        raise UnfitLayerError(f"it holds an entry of type {kind!r}: no file, folder or symbolic link")
    size, mode = _number(header[124:136]), _number(header[100:108])
    if header[345:500].strip(b"\0") or (size and kind not in {"0", "x"}):
        raise UnfitLayerError("a header of its archive is none of envman's")
    try:
        path = extended.get("path") or header[:100].rstrip(b"\0").decode()
        target = extended.get("linkpath") or header[157:257].rstrip(b"\0").decode()
    except UnicodeDecodeError:
        raise UnfitLayerError("a path is not UTF-8") from None
    if kind == "x":
        return ArchiveEntry("", kind, 0, size, "")
    if kind != "2" and target:
        raise UnfitLayerError(f"{path!r} has a target, and is no symbolic link")
    return ArchiveEntry(_plain(path.removesuffix("/") if kind == "5" else path), kind, mode, size, target)


def _number(field: bytes) -> int:
    if not _OCTAL.fullmatch(field):
        raise UnfitLayerError("a number in a header is none")
    return int(field.strip(b"\0 "), 8)


def _plain(path: str) -> str:
    """A path below the archive's folder, in the one way to write it."""
    if not path or "\0" in path or any(part in {"", ".", ".."} for part in path.split("/")):
        raise UnfitLayerError(f"the path {path[:200]!r} is not below the generation")
    if path.count("/") > MOST_LEVELS:
        raise UnfitLayerError(f"the path {path[:200]!r} is below more than {MOST_LEVELS} folders")
    return path


def _extended(content: bytes) -> dict[str, str]:
    """The records of an extended header: `length key=value`, and a line feed."""
    found: dict[str, str] = {}
    while content:
        length, space, _ = content[:20].partition(b" ")
        end = int(length) if length.isdigit() and space else 0
        record, content = content[len(length) + 1 : end], content[end:]
        key, equals, value = record.partition(b"=")
        if not equals or not value.endswith(b"\n") or key not in {b"path", b"linkpath"} or not value[:-1]:
            raise UnfitLayerError("it has an extended header that is none of envman's")
        try:
            found[key.decode()] = value[:-1].decode()
        except UnicodeDecodeError:
            raise UnfitLayerError("a path is not UTF-8") from None
    return found
