"""Assemble a generation of a release in its final place. It counts once the manifest stands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from envman.errors import ImageError, Problem, StoreError
from envman.image.oci_values import Descriptor
from envman.release.blob_sources import BlobSource
from envman.release.document import Released
from envman.release.fitness import Host
from envman.release.known_layers import KnownLayers
from envman.release.layer_archive import UnfitLayerError
from envman.release.layer_record import LayerFile, record_text
from envman.release.strangers_json import read_json
from envman.release.unpacking import Expected, Unpacking
from envman.store import layout
from envman.store.folder import Store
from envman.store.inventory import FileEntry, listing_text
from envman.store.manifest import Manifest, generation_identifier, parse_interpreter, parse_manifest
from envman.system.files import sync_file_system, write_atomic, write_new

_AGAIN = "Find out who has pushed it; push it again: envman push"


@dataclass(frozen=True)
class Assembled:
    """Where the layers of a generation came from: those that were fetched, with their bytes, and those that
    the host had.
    """

    fetched: int
    fetched_bytes: int
    linked: int


def released_manifest(released: Released, where: str) -> Manifest:
    """The manifest of a released generation, whose name has to follow from it; raises ImageError."""
    try:
        read_json(released.manifest.encode())
        manifest = parse_manifest(released.manifest, where)
        parse_interpreter(json.dumps(asdict(manifest.interpreter)))
        made = generation_identifier(manifest.lock, manifest.interpreter, manifest.options)
        if manifest.generation != released.generation or released.generation.partition("-")[0] != made:
            raise ValueError(f"it is the manifest of {manifest.generation!r}, made of what is {made}")
        texts = [manifest.environment, manifest.created, manifest.lock_text, manifest.spec]
        texts += [
            text for pairs in (manifest.packages, manifest.tools) for pair in pairs.items() for text in pair
        ]
        if not all(text.isprintable() for text in texts):
            raise ValueError("it says what can't be shown")
        if not (0 < manifest.file_count < 10**7 and 0 <= manifest.size < 2**50):
            raise ValueError("it says nothing that can be of its size")
    except (StoreError, ValueError, RecursionError) as error:
        what = f"the manifest of {released.generation} can't be used: {error}"
        raise ImageError(Problem(where, what, _AGAIN)) from None
    return manifest


@dataclass(frozen=True)
class Assembly:
    """Assembles generations of one release, whose layers' blobs `sizes` describes."""

    store: Store
    source: BlobSource
    known: KnownLayers
    host: Host
    layers: Mapping[str, Descriptor]

    def make(self, released: Released, manifest: Manifest, stamp: str, where: str) -> Assembled:
        """Assemble a generation, under its lock, which the caller holds.

        What the host has is linked, the rest unpacked; all of it together has to be what the manifest says.
        Raises EnvmanError or OSError, and then leaves nothing behind.
        """
        with self.store.being_made(released.generation) as folder:
            folder.mkdir(mode=0o755)
            interpreter = manifest.interpreter
            unpacking = Unpacking(
                folder, Expected(manifest.file_count, manifest.size, interpreter.executable)
            )
            files: dict[str, tuple[LayerFile, ...]] = {}
            fetched: list[int] = []
            try:
                for digest in released.layers:
                    files[digest], was_fetched = self._layer(unpacking, digest)
                    fetched += [self.layers[digest].size] if was_fetched else []
                unpacking.finish()
            except UnfitLayerError as error:
                raise ImageError(Problem(where, f"can't be assembled: {error}", _AGAIN)) from None
            self._write_list(folder, manifest, files, where)
            sizes = {digest: self.layers[digest].size for digest in released.layers}
            write_new(folder / layout.LAYERS, record_text(stamp, sizes, files))
            self.host.check_wheels(folder, interpreter, released.abi, where)
            sync_file_system(folder)  # what the manifest stands for outlives a power cut, or it doesn't stand
            write_atomic(folder / layout.MANIFEST, released.manifest)
        return Assembled(len(fetched), sum(fetched), len(files) - len(fetched))

    def _layer(self, unpacking: Unpacking, digest: str) -> tuple[tuple[LayerFile, ...], bool]:
        """The files of a layer, and whether it was fetched for that."""
        if (found := self.known.find(digest)) is not None:
            source, files = found
            unpacking.linked(source, files)
            return files, False
        blob = self.layers[digest]
        try:
            with self.source.opened(blob) as stream:
                return unpacking.layer(stream, blob), True
        except UnfitLayerError as error:
            self.source.forget(blob)  # so that the next pull fetches it again
            raise UnfitLayerError(f"layer {digest}: {error}") from None

    def _write_list(
        self, folder: Path, manifest: Manifest, files: Mapping[str, tuple[LayerFile, ...]], where: str
    ) -> None:
        """Write the file list, which has to be the one that the manifest was made for."""
        entries = {one.path: FileEntry(one.mode, one.digest) for each in files.values() for one in each}
        listing = listing_text(entries)
        if not manifest.was_made_for(listing.encode()):
            what = f"the files of {manifest.generation} are not those that its manifest was made for"
            raise ImageError(
                Problem(where, what, f"{_AGAIN}; if only this host says so: envman pull --fresh")
            )
        write_new(folder / layout.FILES, listing)
