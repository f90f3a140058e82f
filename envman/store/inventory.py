"""The list of a generation's files, and what differs from it.

One JSON array a line: [mode, digest, path]; the mode as git writes it, the digest of a link is of its target.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from envman.store import layout
from envman.system.digests import Digests

OWN_FILES = frozenset({layout.MANIFEST, layout.FILES})


@dataclass(frozen=True)
class FileEntry:
    """A file of a generation: type and permission bits, SHA-256 of its content or of its link's target."""

    mode: str
    digest: str


@dataclass(frozen=True)
class Difference:
    """A file that is not as the generation's list says: 'changed', 'missing' or 'added'."""

    kind: str
    path: str


@dataclass(frozen=True)
class Inventory:
    """All files of a generation by path relative to it, and their size in bytes.

    `unshared` is the size of those files that have no other name, so that nobody else has them.
    """

    entries: dict[str, FileEntry]
    size: int
    unshared: int = 0

    def to_text(self) -> str:
        """One line for each file, sorted by path."""
        return listing_text(self.entries)


def take_inventory(folder: Path, digests: Digests) -> Inventory:
    """Read and digest every file below a folder, links not followed."""
    entries: dict[str, FileEntry] = {}
    size = unshared = 0
    for path in _walk(str(folder)):
        relative = path[len(str(folder)) + 1 :]
        if relative in OWN_FILES:
            continue
        status = os.lstat(path)
        size += status.st_size
        unshared += status.st_size * (status.st_nlink == 1)
        entries[relative] = FileEntry(f"{status.st_mode:o}", _digest(path, status, digests))
    return Inventory(entries, size, unshared)


def _walk(folder: str) -> Iterator[str]:
    for parent, folders, files in os.walk(folder):
        for name in files:
            yield f"{parent}/{name}"
        for name in folders:
            if (Path(parent) / name).is_symlink():
                yield f"{parent}/{name}"


def _digest(path: str, status: os.stat_result, digests: Digests) -> str:
    if stat.S_ISLNK(status.st_mode):
        return hashlib.sha256(os.fsencode(os.readlink(path))).hexdigest()
    return digests.of(path, status) if stat.S_ISREG(status.st_mode) else "-"


def altered_since_packed(folder: Path, inventory: Inventory) -> list[str]:
    """Files whose digest is in none of the RECORDs (PEP 376, PEP 427) that name them.

    Installed files are hard links into uv's cache: an edit in place goes into the cache, and from there into
    every later build. Bytecode, and what has no SHA-256 in a RECORD, is not told of.
    """
    recorded: dict[str, set[str]] = {}
    for record in folder.glob("lib/python3*/site-packages/*.dist-info/RECORD"):
        base = record.parent.parent.relative_to(folder)
        with record.open(encoding="utf-8", errors="replace", newline="") as stream:
            for path, value in (row[:2] for row in csv.reader(stream) if len(row) > 1):
                if value.startswith("sha256=") and not path.endswith(".pyc"):
                    recorded.setdefault(os.path.normpath(f"{base}/{path}"), set()).add(value)
    return sorted(
        path
        for path, values in recorded.items()
        if path in inventory.entries and _as_recorded(inventory.entries[path].digest) not in values
    )


def _as_recorded(digest: str) -> str:
    """A hexadecimal digest as a RECORD has it: base64 for URLs, without padding."""
    try:
        return "sha256=" + base64.urlsafe_b64encode(bytes.fromhex(digest)).rstrip(b"=").decode()
    except ValueError:  # of a device or a socket there is none
        return ""


def listing_text(entries: Mapping[str, FileEntry]) -> str:
    """A list of files: one line for each, sorted by path."""
    lines = (json.dumps([entry.mode, entry.digest, path]) for path, entry in sorted(entries.items()))
    return "".join(f"{line}\n" for line in lines)


def parse_inventory(text: str) -> dict[str, FileEntry]:
    """Read a list of files; raises ValueError for text that is none."""
    entries: dict[str, FileEntry] = {}
    for line in text.splitlines():
        fields = json.loads(line)
        if not isinstance(fields, list) or [type(field) for field in fields] != [str, str, str]:
            raise ValueError(f"not a line of a file list: {line[:80]}")
        mode, digest, path = fields
        entries[path] = FileEntry(mode, digest)
    return entries


def differences(listed: dict[str, FileEntry], found: dict[str, FileEntry]) -> tuple[Difference, ...]:
    """Compare a list with what is there, sorted by path."""
    result: list[Difference] = []
    for path in sorted(listed.keys() | found.keys()):
        if path not in found:
            result.append(Difference("missing", path))
        elif path not in listed:
            result.append(Difference("added", path))
        elif listed[path] != found[path]:
            result.append(Difference("changed", path))
    return tuple(result)


def count_files(folder: Path) -> tuple[int, int]:
    """How many files stand below a folder, and their size in bytes, without reading any of them."""
    count = size = 0
    for path in _walk(str(folder)):
        if path[len(str(folder)) + 1 :] not in OWN_FILES:
            count += 1
            size += os.lstat(path).st_size
    return count, size
