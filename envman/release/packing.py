"""Make the layers of a generation that stands below a root folder."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from envman.errors import Problem, StoreError
from envman.image.entries import Entry, Kind
from envman.image.oci_values import Descriptor
from envman.oci.layers import LayerStore
from envman.release.parts import in_parts
from envman.store import layout
from envman.store.folder import Store
from envman.store.inventory import FileEntry, parse_inventory, recorded
from envman.store.manifest import Manifest, parse_manifest
from envman.system.digests import Digests

_LARGEST_FILE = 8 * 1024**3
"""Bytes of a file of which a header can tell."""


@dataclass(frozen=True)
class Packed:
    """A generation as it is pushed: its manifest and that as text, its layers; `made` of them are new."""

    manifest: Manifest
    text: str
    layers: tuple[Descriptor, ...]
    made: int


@dataclass(frozen=True)
class Packing:
    """Makes layers, or finds those that an earlier push has made; `digests` are of files that it has read."""

    store: Store
    layers: LayerStore
    digests: Digests

    def generation(self, environment: str, generation: str) -> Packed:
        """The layers of a generation, each file of which was compared with its list.

        Raises StoreError where the generation is not as it was built, ImageError, OSError.
        """
        where = f"environment '{environment}'"
        path = layout.manifest_path(self.store.root, generation)
        text = Path(path).read_bytes().decode(errors="replace")
        manifest = parse_manifest(text, path)
        folder = self.store.folder(generation)
        listed = _listed(folder, manifest, where)
        entries = {path: self._entry(folder, path, entry, where) for path, entry in listed.items()}
        layers: dict[str, Descriptor] = {}
        made = 0
        for paths in in_parts(listed, _by_package(folder), _apart(folder, entries)):
            ordered = sorted((entries[path] for path in paths), key=lambda one: one.path.encode())
            layer, was_there = self.layers.layer(ordered, generation)
            layers[layer.blob.digest] = layer.blob
            made += not was_there
        return Packed(manifest, text, tuple(layers.values()), made)

    def _entry(self, folder: Path, path: str, listed: FileEntry, where: str) -> Entry:
        source = f"{folder}/{path}"
        try:
            path.encode()
            status = os.lstat(source)
        except (OSError, UnicodeEncodeError) as error:
            raise StoreError(_changed(where, path, str(error))) from None
        mode = stat.S_IMODE(status.st_mode)
        if f"{status.st_mode:o}" != listed.mode or (mode & ~0o775 and not stat.S_ISLNK(status.st_mode)):
            raise StoreError(_changed(where, path, f"its mode is {mode:o}"))
        if stat.S_ISLNK(status.st_mode):
            target = os.readlink(source)  # noqa: PTH115  # of tens of thousands: no Path for each
            if hashlib.sha256(os.fsencode(target)).hexdigest() != listed.digest:
                raise StoreError(_changed(where, path, "it leads elsewhere"))
            return Entry(path, Kind.SYMBOLIC_LINK, 0o777, target=target)
        if stat.S_ISDIR(status.st_mode):
            return Entry(path, Kind.FOLDER, mode)
        if self.digests.of(source, status) != listed.digest or status.st_size >= _LARGEST_FILE:
            raise StoreError(_changed(where, path, "its content is another one"))
        return Entry(path, Kind.FILE, mode, source, listed.digest, status.st_size)


def _listed(folder: Path, manifest: Manifest, where: str) -> dict[str, FileEntry]:
    content = (folder / layout.FILES).read_bytes()
    try:
        if manifest.was_made_for(content):
            return parse_inventory(content.decode())
    except (ValueError, RecursionError):
        pass
    raise StoreError(_changed(where, layout.FILES, "its content is another one"))


def _by_package(folder: Path) -> Mapping[str, set[str]]:
    found: dict[str, set[str]] = {}
    for package, path, _ in recorded(folder):
        found.setdefault(package, set()).add(path)
    return found


def _apart(folder: Path, entries: Mapping[str, Entry]) -> set[str]:
    """What goes with no package: links, empty folders, and scripts, which have the generation's path."""
    return {
        path
        for path, one in entries.items()
        if one.kind is not Kind.FILE or (path.startswith("bin/") and _is_script(folder / path))
    }


def _is_script(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(2) == b"#!"


def _changed(where: str, path: str, what: str) -> Problem:
    remedy = "See what else: envman verify. Build it again: envman build --rebuild"
    return Problem(where, f"{path} is not as it was built: {what}", remedy)
