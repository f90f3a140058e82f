"""`envman push`: what is published below a root folder, as a release that hosts pull."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from envman.errors import ImageError, Problem, ResolveError, UsageError
from envman.image.oci_values import EMPTY, INDEX, MANIFEST, Descriptor, digest_of
from envman.image.referrers import EMPTY_BLOB
from envman.names import nearest
from envman.oci.image_layout import Layout
from envman.oci.layer import Compression, compressor
from envman.oci.layers import LayerStore
from envman.oci.skopeo import Skopeo, layout_reference
from envman.release.archiving import write_archive
from envman.release.blob_sources import ArchiveSource, named_place, not_a_place
from envman.release.cached_layers import RELEASES, gathered
from envman.release.document import (
    ARTIFACT,
    DOCUMENT,
    LARGEST_DOCUMENT,
    LARGEST_MANIFEST,
    Release,
    Released,
    page_manifest,
    pages_of,
    release_index,
)
from envman.release.fitness import Host
from envman.release.packing import Packing
from envman.release.strangers_json import MOST_VALUES, has_few_values
from envman.resolver.table import Table
from envman.signing.signers import read_signature
from envman.spec.image_names import Reference
from envman.store import layout
from envman.store.folder import Store
from envman.store.root import read_table
from envman.store.signed import digest
from envman.system.digests import Digests
from envman.system.events import Event, Report, Stage
from envman.system.files import cache_folder
from envman.system.processes import Processes
from envman.system.side_by_side import default_jobs

_NAME = "release"
_FEWER = "Push fewer environments at once, under several tags."


@dataclass(frozen=True)
class ReleasePushed:
    """A release that is where hosts pull it: its digest, its environments with their generations, its layers,
    those of them that this push has made, and their size in bytes, of which the target may have had some.
    """

    target: str
    digest: str
    root: str
    environments: dict[str, str]
    layers: int
    made: int
    size: int


def push(store: Store, target: Reference, names: Iterable[str], report: Report) -> ReleasePushed:
    """Push the current generations of environments and the table; where none is named, of all that are
    published and built.

    The same state gives the same release, with the same digest. Raises UsageError, ResolveError, StoreError,
    PolicyError, ImageError, OSError.
    """
    if target.scheme not in {"docker", "oci", "oci-archive"}:
        raise UsageError(not_a_place(target))
    compressor(Compression.GZIP)  # it has to be there
    _check_archive(target)
    processes = Processes()
    cache = Layout(cache_folder(os.environ) / RELEASES)
    read_table(store.root)
    content = Path(layout.table_path(store.root)).read_bytes()
    host = Host(processes)
    packing = Packing(store, LayerStore(cache, 0, Compression.GZIP, default_jobs()), Digests())
    made = 0
    environments: dict[str, Released] = {}
    layers: dict[str, Descriptor] = {}
    for name, generation in _chosen(store, Table(content), list(names)).items():
        report(Event(name, Stage.PACKING, generation))
        packed = packing.generation(name, generation)
        made += packed.made
        layers |= {one.digest: one for one in packed.layers}
        abi = host.abi(packed.manifest.interpreter, f"environment '{name}'")
        signature = _signature(layout.signature_path(store.root, name, generation))
        order = tuple(one.digest for one in packed.layers)
        environments[name] = Released(generation, packed.text, signature, abi, order)
    table_signature = _signature(layout.table_signature_path(store.root, digest(content)))
    pages = [(page_manifest(page), page) for page in pages_of(layers.values())]
    named = {digest_of(text): {one.digest: one.size for one in page} for text, page in pages}
    release = Release(store.root, content.decode(), table_signature, environments, named)
    index, others = _artifacts(cache, release, [text for text, _ in pages])
    blobs = [*layers.values(), *others]
    size = sum(one.size for one in blobs)
    report(Event(str(target), Stage.PUSHING, f"{size / 1e6:.0f} MB, less what is there"))
    _send(cache, blobs, index, target, processes)
    generations = {name: one.generation for name, one in environments.items()}
    return ReleasePushed(str(target), index.digest, store.root, generations, len(layers), made, size)


def _check_archive(target: Reference) -> None:
    """Raises UsageError where the target's file has another release, or is something else."""
    file, name = named_place(target)
    if target.scheme != "oci-archive" or not file.exists():
        return
    try:
        others = sorted({*ArchiveSource(file, name).names()} - {name})
    except ImageError as error:
        remedy = "Name another file, or remove that one."
        raise UsageError([Problem(one.where, one.what, remedy) for one in error.problems]) from None
    if others:
        what = f"has the release '{others[0]}', and a push writes the whole file"
        raise UsageError(Problem(str(file), what, f"Name another file for '{name}', or push to oci:FOLDER."))


def _chosen(store: Store, table: Table, names: list[str]) -> dict[str, str]:
    """The environments that are pushed, with their generations; raises UsageError, ResolveError."""
    declared = table.names("environment")
    built = {name: generation for name in store.environments() if (generation := store.current(name))}
    unknown = [name for name in names if name not in built or name not in declared]
    if unknown:
        known = [name for name in declared if name in built]
        what = f"is not published and built in {store.root}"
        raise UsageError([Problem(f"environment '{one}'", what, nearest(one, known)) for one in unknown])
    chosen = names or [name for name in declared if name in built]
    if not chosen:
        raise ResolveError(Problem(store.root, "no environment is built there", "Run: envman build"))
    return {name: built[name] for name in chosen}


def _signature(path: str) -> str:
    """A signature that stands beside what was signed; empty where there is none."""
    found = read_signature(path)
    return found.decode(errors="replace") if found else ""


def _artifacts(
    cache: Layout, release: Release, pages: Sequence[bytes]
) -> tuple[Descriptor, list[Descriptor]]:
    """The index of a release, and its blobs besides the layers, all of them written to the cache.

    Raises ImageError where there are too many.
    """
    said = release.to_json()
    if len(said) > LARGEST_DOCUMENT or not has_few_values(said):
        what = f"its document has more than {LARGEST_DOCUMENT} bytes, or {MOST_VALUES} values"
        raise ImageError(Problem("release", what, _FEWER))
    document = cache.put(DOCUMENT, compressor(Compression.GZIP)(said))
    front = page_manifest([document], ARTIFACT)
    manifests = [cache.put(MANIFEST, one) for one in (front, *pages)]
    text = release_index(front, pages)
    if len(text) > LARGEST_MANIFEST:
        what = f"its index of {len(pages)} manifests has more than {LARGEST_MANIFEST} bytes"
        raise ImageError(Problem("release", what, _FEWER))
    return cache.put(INDEX, text), [document, cache.put(EMPTY, EMPTY_BLOB), *manifests]


def _send(
    cache: Layout, blobs: list[Descriptor], index: Descriptor, target: Reference, processes: Processes
) -> None:
    """Put a release where it is pulled; its name leads to it once all of it is there."""
    if target.scheme == "oci":
        folder, name = named_place(target)
        there = Layout(folder)
        for blob in (*blobs, index):
            there.copy(blob, cache)
        there.name(name, index)
        return
    skopeo = Skopeo(processes)
    if target.scheme == "docker" and skopeo.digest(target) == index.digest:
        return
    with gathered(cache, [*blobs, index]) as here:
        if target.scheme == "docker":
            here.name(_NAME, index)
            skopeo.copy(layout_reference(here.folder, _NAME), target)
        else:
            file, name = named_place(target)
            here.name(name, index)
            write_archive(here.folder, file)
