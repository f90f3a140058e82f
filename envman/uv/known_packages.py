"""What uv is told of packages, so that it neither builds nor asks for them; and locks written from that."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class KnownMetadata:
    """What a version of a package declares (core metadata): uv then has nothing to build to read it.

    `file_hash` is its source's, for a folder or an index that tells none: `sha256:` and hexadecimal digits.
    """

    name: str
    version: str
    requires_dist: tuple[str, ...] = ()
    requires_python: str = ""
    provides_extra: tuple[str, ...] = ()
    file_hash: str = ""

    def table(self) -> dict[str, Any]:
        """The same as an entry of uv's `dependency-metadata`."""
        table: dict[str, Any] = {"name": self.name, "version": self.version}
        table["requires-dist"] = list(self.requires_dist)
        if self.requires_python:
            table["requires-python"] = self.requires_python
        if self.provides_extra:
            table["provides-extra"] = list(self.provides_extra)
        return table


@dataclass(frozen=True)
class LocalWheel:
    """A wheel that uv takes from its place, and asks no index for; `extras` are those that are wanted."""

    name: str
    version: str
    path: str
    sha256: str
    extras: tuple[str, ...] = ()

    def requirement(self) -> str:
        """The same as a line of a requirements file, without the hash."""
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        return f"{self.name}{extras} @ {Path(self.path).as_uri()}"

    def locked(self) -> str:
        """The same with the hash."""
        return f"{self.requirement()} \\\n    --hash=sha256:{self.sha256}"


def with_versions(text: str, wheels: Iterable[LocalWheel]) -> str:
    """Pinned requirements in which wheels are named by their versions, not by their places."""
    for wheel in wheels:
        bare = re.escape(f"{wheel.name} @ {Path(wheel.path).as_uri()}")
        text = re.sub(rf"^{bare}(?=\s|$)", f"{wheel.name}=={wheel.version}", text, flags=re.MULTILINE)
    return text


def with_hashes(text: str, known: Iterable[KnownMetadata]) -> str:
    """Pinned requirements with the hashes of files that uv had no reason to read."""
    hashes = {f"{one.name}=={one.version}": one.file_hash for one in known if one.file_hash}

    def complete(line: str) -> str:
        pin = line.partition(";")[0].strip()
        if pin not in hashes or line.endswith("\\"):
            return line
        return f"{line} \\\n    --hash={hashes[pin]}"

    return "".join(f"{complete(line)}\n" for line in text.splitlines())
