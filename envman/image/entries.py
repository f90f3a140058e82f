"""What stands in a layer: files in an order of their own, equal ones as links to the first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256


class Kind(Enum):
    """What an entry of a layer is."""

    FOLDER = "folder"
    FILE = "file"
    SYMBOLIC_LINK = "symbolic link"
    HARD_LINK = "hard link"


@dataclass(frozen=True)
class Entry:
    """One entry: `path` in the image without a leading slash, permission bits, and where its content is.

    `source` is the file on this machine, `content` what stands in its place where envman writes it itself.
    `digest` and `size` are a file's; `target` is a link's: of a symbolic link its text, of a hard link the
    path of the entry before. The owner is `user` and group 0.
    """

    path: str
    kind: Kind
    mode: int
    source: str = ""
    digest: str = ""
    size: int = 0
    target: str = ""
    content: bytes | None = None
    user: int = 0


def written(path: str, content: bytes, mode: int = 0o644) -> Entry:
    """A file that envman writes itself."""
    return Entry(
        path, Kind.FILE, mode, digest=sha256(content).hexdigest(), size=len(content), content=content
    )


def folder(path: str, user: int = 0, mode: int = 0o755) -> Entry:
    """A folder."""
    return Entry(path, Kind.FOLDER, mode, user=user)


def portable_mode(mode: int) -> int:
    """Permission bits as umask 022 leaves them: the group and others may what the owner may, but not write.

    Which umask unpacked a wheel into uv's cache is no property of an environment. Set-user-ID, set-group-ID
    and sticky bits stay.
    """
    return mode & 0o7700 | (mode & 0o500) >> 3 | (mode & 0o500) >> 6


def fingerprint(entries: Iterable[Entry]) -> str:
    """A digest of everything that a layer's bytes depend on, without reading its files again."""
    digest = sha256()
    for one in entries:
        parts = (one.path, one.kind.value, f"{one.mode:o}", one.digest, one.target, str(one.user))
        digest.update("\0".join(parts).encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()


def in_order(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Sort by path, and turn each file that stood there before into a hard link to it.

    Equal are content, mode and owner. Hard links do not depend on how the files came to this machine: two
    builds from two caches give one layer. Empty files stay files.
    """
    first: dict[tuple[str, int, int], str] = {}
    for entry in sorted(entries, key=lambda one: one.path.encode("utf-8", "surrogateescape")):
        key = (entry.digest, entry.mode, entry.user)
        if entry.kind is Kind.FILE and entry.size and key in first:
            yield Entry(entry.path, Kind.HARD_LINK, entry.mode, target=first[key], user=entry.user)
            continue
        if entry.kind is Kind.FILE:
            first.setdefault(key, entry.path)
        yield entry
