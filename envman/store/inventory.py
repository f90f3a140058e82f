"""The list of a generation's files, and what differs from it.

One JSON array a line: [mode, digest, path]; the mode as git writes it, the digest of a link is of its target.
A folder stands there if it is empty: Python imports it as a package (PEP 420).
"""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import os
import re
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from envman.errors import BuildError, Problem
from envman.store import layout
from envman.system.digests import Digests

OWN_FILES = frozenset({layout.MANIFEST, layout.FILES, layout.LAYERS})


@dataclass(frozen=True)
class FileEntry:
    """A file of a generation, or an empty folder: type and permission bits, SHA-256 of its content or of its
    link's target.
    """

    mode: str
    digest: str


@dataclass(frozen=True)
class Difference:
    """A file that is not as the generation's list says: 'changed', 'missing' or 'added'.

    'replaced' is one that is the environment's own, and that the package `by` says it has brought; 'lost'
    the interpreter, whose base `by` is gone.
    """

    kind: str
    path: str
    by: str = ""


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
    """Read and digest every file below a folder, links not followed; with the empty folders."""
    entries: dict[str, FileEntry] = {}
    size = unshared = 0
    for path in _walk(str(folder)):
        relative = path[len(str(folder)) + 1 :]
        if relative in OWN_FILES:
            continue
        status = os.lstat(path)
        if not stat.S_ISDIR(status.st_mode):
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
        if not files and not folders and parent != folder:
            yield parent


def _digest(path: str, status: os.stat_result, digests: Digests) -> str:
    if stat.S_ISLNK(status.st_mode):
        return hashlib.sha256(os.fsencode(os.readlink(path))).hexdigest()
    return digests.of(path, status) if stat.S_ISREG(status.st_mode) else "-"


def altered_since_packed(folder: Path, inventory: Inventory) -> list[str]:
    """Files whose digest is in none of the RECORDs (PEP 376, PEP 427) that name them.

    Installed files are hard links into uv's cache: an edit in place goes into the cache, and from there into
    every later build. Bytecode, and what has no SHA-256 in a RECORD, is not told of.
    """
    digests: dict[str, set[str]] = {}
    for _, path, value in recorded(folder):
        if value.startswith("sha256=") and not path.endswith(".pyc"):
            digests.setdefault(path, set()).add(value)
    return sorted(
        path
        for path, values in digests.items()
        if path in inventory.entries and _as_recorded(inventory.entries[path].digest) not in values
    )


def contested(folder: Path, packages: Collection[str]) -> list[str]:
    """Files that one of these packages brings, and another package with another content: which one stands
    there is a matter of chance. Packages are named as their folders, such as `own-1.0`.
    """
    brought: dict[str, dict[str, str]] = {}
    for package, path, value in recorded(folder):
        if value:  # none for what the installer has written
            brought.setdefault(path, {})[package] = value
    return [
        f"{path} by {' and '.join(sorted(by))}"
        for path, by in sorted(brought.items())
        if len({*by.values()}) > 1 and not by.keys().isdisjoint(packages)
    ]


def recorded(folder: Path) -> Iterator[tuple[str, str, str]]:
    """What installed packages say that they brought: the package, the path in the generation, the digest.

    Raises BuildError for a RECORD that can't be read.
    """
    for record in sorted(folder.glob("lib/python3*/site-packages/*.dist-info/RECORD")):
        base, package = (
            record.parent.parent.relative_to(folder),
            record.parent.name.removesuffix(".dist-info"),
        )
        try:
            with record.open(encoding="utf-8", errors="replace", newline="") as stream:
                for row in csv.reader(stream):
                    if len(row) > 1:
                        yield package, os.path.normpath(f"{base}/{row[0]}"), row[1]
        except csv.Error as error:
            what = f"its RECORD can't be read: {error}"
            raise BuildError(Problem(f"the package {package}", what, "Lock another version of it.")) from None


_OF_THE_BUILD = re.compile(
    r"pyvenv\.cfg|lib64|bin/python(3(\.[0-9]+)?)?|bin/activate(\.fish)?|envman\.(json|files|layers|lock)"
    r"|lib/python3[^/]*/site-packages/_virtualenv\.(py|pth)"
)
"""What makes a folder an environment, and says what it is: of envman and virtualenv, and of no package."""

_ABOUT = re.compile(r"lib/python3[^/]*/site-packages/([^/]+)\.dist-info/.*")
"""What says what a package is: licenses and bills of materials are read from there."""


def claimed(folder: Path) -> list[tuple[str, str]]:
    """Files that are the build's own, or about another package, and the package whose RECORD names them.

    Raises BuildError.
    """
    found = set[tuple[str, str]]()
    for package, path, _ in recorded(folder):
        about = _ABOUT.fullmatch(path)
        if _OF_THE_BUILD.fullmatch(path) or (about and about[1] != package):
            found.add((path, package))
    return sorted(found)


def replaced(folder: Path, made: Mapping[str, FileEntry]) -> list[str]:
    """Files that are not any more as the build has made them, before it installed packages.

    They are read again, as whoever has changed one may have set its time back, and no link may lead to them.
    A manifest or a file list, which the build writes last, is one of them.
    """
    changed = [
        path for path in (layout.MANIFEST, layout.FILES, layout.LAYERS) if os.path.lexists(folder / path)
    ]
    place = os.path.realpath(folder.parent)
    for path, entry in made.items():
        above = Path(place, folder.name, path).parent
        try:
            status = os.lstat(folder / path)
            same = os.path.realpath(above) == str(above) and entry == FileEntry(
                f"{status.st_mode:o}", _digest(str(folder / path), status, Digests())
            )
        except OSError:
            same = False
        changed += [] if same else [path]
    return sorted(changed)


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
            result += [] if _has_files(path, listed, found) else [Difference("missing", path)]
        elif path not in listed:
            result += [] if _has_files(path, found, listed) else [Difference("added", path)]
        elif listed[path] != found[path]:
            result.append(Difference("changed", path))
    return tuple(result)


def _has_files(path: str, here: dict[str, FileEntry], there: dict[str, FileEntry]) -> bool:
    """Whether it is a folder that is empty here, and there has files, each of which is told of."""
    return here[path].mode.startswith("40") and any(one.startswith(f"{path}/") for one in there)


def count_files(folder: Path) -> tuple[int, int]:
    """How many files stand below a folder, and their size in bytes, without reading any of them."""
    count = size = 0
    for path in _walk(str(folder)):
        if path[len(str(folder)) + 1 :] not in OWN_FILES:
            count += 1
            status = os.lstat(path)
            size += 0 if stat.S_ISDIR(status.st_mode) else status.st_size
    return count, size
