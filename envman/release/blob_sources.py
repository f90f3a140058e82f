"""Where a release is pulled from: a registry, an OCI layout's folder, or an archive of one."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol, cast

from envman.errors import ImageError, Problem, UsageError
from envman.image.oci_values import REF_NAME, Descriptor, digest_of
from envman.oci.image_layout import Layout
from envman.oci.skopeo import FullDiskError, Skopeo, layout_reference
from envman.release.document import (
    LARGEST_DOCUMENT,
    LARGEST_MANIFEST,
    Release,
    parse_front,
    parse_release,
    parse_release_index,
)
from envman.release.layer_archive import ArchiveReader, UnfitLayerError, unpacked_blob
from envman.release.strangers_json import read_json
from envman.spec.image_names import Reference
from envman.system.processes import Processes

LATEST = "latest"
"""The tag of a release where none is named, as registries have it."""

_LARGEST_INDEX = 2**22
_MOST_BLOBS = 100_000
_NAME = "release"


class BlobSource(Protocol):
    """A place that has a release."""

    def index(self) -> bytes:
        """The release's index; raises ImageError."""

    def manifest(self, one: Descriptor) -> bytes:
        """A manifest that the index names; raises ImageError."""

    def fetch(self, wanted: Container[str], page: str, blobs: Iterable[Descriptor]) -> None:
        """Have those blobs of an artifact on this machine that are wanted, and no others; `page` is its
        digest. Raises ImageError, OSError.
        """

    def opened(self, blob: Descriptor) -> contextlib.AbstractContextManager[IO[bytes]]:
        """A blob that was fetched, as a stream; raises ImageError, OSError."""

    def forget(self, blob: Descriptor) -> None:
        """Remove a blob that was fetched, where that is this machine's own copy."""


def blob_source(
    reference: Reference, folder: Path, processes: Processes, held: Sequence[int] = ()
) -> BlobSource:
    """Where a name leads; `folder` is for what a registry sends, by children that inherit the locks `held`.
    Raises UsageError, ImageError, OSError.
    """
    if reference.scheme == "docker":
        return RegistrySource(reference, folder, Skopeo(processes, held))
    if reference.scheme == "oci":
        return FolderSource(*named_place(reference))
    if reference.scheme == "oci-archive":
        return ArchiveSource(*named_place(reference))
    raise UsageError(not_a_place(reference))


def named_place(reference: Reference) -> tuple[Path, str]:
    """A file's or folder's path, and the name of the release in it."""
    path, colon, name = reference.place.rpartition(":")
    return (Path(path), name) if colon and path and "/" not in name else (Path(reference.place), LATEST)


def not_a_place(reference: Reference) -> Problem:
    """The problem of a name that is none of a release."""
    what = f"releases are not pushed to or pulled from '{reference.scheme}'"
    return Problem(str(reference), what, "Write registry/path:tag, oci:FOLDER:NAME or oci-archive:FILE:NAME.")


class RegistrySource:
    """A registry, which skopeo reads; what it sends stands in `folder` until all of it is unpacked.

    skopeo fetches what its target does not have. So blobs that are not wanted are there, as files without
    content, of the right size: it looks at no more. They are told from blobs by that they fill no block, and
    whoever reads a blob compares its digest.
    """

    def __init__(self, reference: Reference, folder: Path, skopeo: Skopeo) -> None:
        self._reference = reference
        self._folder = folder
        self._skopeo = skopeo

    def index(self) -> bytes:
        """The release's index, from which on its tag is not asked again."""
        return self._skopeo.raw_manifest(self._reference)

    def manifest(self, one: Descriptor) -> bytes:
        """A manifest that the index names; raises ImageError."""
        content = self._skopeo.raw_manifest(self._reference.with_digest(one.digest))
        return _checked(content, one, str(self._reference))

    def fetch(self, wanted: Container[str], page: str, blobs: Iterable[Descriptor]) -> None:
        """Have skopeo fetch blobs; those that an earlier pull has fetched are there."""
        layout = Layout(self._folder)
        lacking = False
        for blob in blobs:
            path = layout.path(blob.digest)
            if not _is_whole(path, blob.size):
                path.unlink(missing_ok=True)
                if blob.digest not in wanted:
                    with path.open("wb") as stream:
                        stream.truncate(blob.size)
                lacking = lacking or blob.digest in wanted
        if not lacking:
            return
        try:
            self._skopeo.copy(self._reference.with_digest(page), layout_reference(self._folder, _NAME))
        except FullDiskError:  # of the root's disk: the registry has what was asked for
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._folder)) from None

    @contextlib.contextmanager
    def opened(self, blob: Descriptor) -> Iterator[IO[bytes]]:
        """A blob that skopeo has fetched."""
        with _opened(_blob_path(self._folder, blob.digest), str(self._reference)) as stream:
            yield stream

    def forget(self, blob: Descriptor) -> None:
        """Remove what was fetched."""
        _blob_path(self._folder, blob.digest).unlink(missing_ok=True)


class FolderSource:
    """An OCI layout's folder, from which blobs are read in their places."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name

    def index(self) -> bytes:
        """The release's index."""
        with _opened(self._folder / "index.json", str(self._folder)) as stream:
            names = _names(stream.read(_LARGEST_INDEX + 1), str(self._folder))
        return self.manifest(_named(names, self._name, str(self._folder)))

    def manifest(self, one: Descriptor) -> bytes:
        """A manifest that the index names."""
        with self.opened(one) as stream:
            return _checked(stream.read(LARGEST_MANIFEST + 1), one, str(self._folder))

    def fetch(self, wanted: Container[str], page: str, blobs: Iterable[Descriptor]) -> None:
        """There is nothing to fetch."""

    @contextlib.contextmanager
    def opened(self, blob: Descriptor) -> Iterator[IO[bytes]]:
        """A blob of the folder."""
        with _opened(_blob_path(self._folder, blob.digest), str(self._folder)) as stream:
            yield stream

    def forget(self, blob: Descriptor) -> None:
        """The folder is not this host's own."""


class ArchiveSource:
    """An archive of an OCI layout, from which blobs are read in their places."""

    def __init__(self, file: Path, name: str) -> None:
        self._file = file
        self._name = name
        self._places: dict[str, tuple[int, int]] = {}

    def index(self) -> bytes:
        """The release's index."""
        return self.manifest(_named(self.names(), self._name, str(self._file)))

    def names(self) -> dict[str, Descriptor]:
        """All that the archive has by name; raises ImageError, OSError."""
        where = str(self._file)
        with _opened(self._file, where) as stream:
            try:
                for entry in ArchiveReader(stream, stream).entries():
                    self._places[entry.path] = (stream.tell(), entry.size)
                    if len(self._places) > _MOST_BLOBS:
                        raise UnfitLayerError(f"it has more than {_MOST_BLOBS} files")
            except UnfitLayerError as error:
                raise ImageError(Problem(where, f"is no archive of a release: {error}", _PUSH)) from None
            if "index.json" not in self._places:
                raise ImageError(Problem(where, "is no archive of an OCI layout", _PUSH))
            place, size = self._places["index.json"]
            stream.seek(place)
            return _names(stream.read(min(size, _LARGEST_INDEX + 1)), where)

    def manifest(self, one: Descriptor) -> bytes:
        """A manifest that the index names."""
        with self.opened(one) as stream:
            return _checked(stream.read(LARGEST_MANIFEST + 1), one, str(self._file))

    def fetch(self, wanted: Container[str], page: str, blobs: Iterable[Descriptor]) -> None:
        """There is nothing to fetch."""

    @contextlib.contextmanager
    def opened(self, blob: Descriptor) -> Iterator[IO[bytes]]:
        """A blob of the archive; whoever reads it finds its end by its digest."""
        path = f"blobs/{blob.digest.replace(':', '/')}"
        if path not in self._places:
            raise ImageError(Problem(str(self._file), f"has no blob {blob.digest}", _PUSH))
        with _opened(self._file, str(self._file)) as stream:
            place, size = self._places[path]
            stream.seek(place)
            yield cast("IO[bytes]", _Part(stream, size))

    def forget(self, blob: Descriptor) -> None:
        """The archive is not this host's own."""


class _Part:
    """A part of a file."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self._stream = stream
        self._left = size

    def read(self, size: int, /) -> bytes:
        block = self._stream.read(max(0, min(size, self._left)))
        self._left -= len(block)
        return block


def _is_whole(path: Path, size: int) -> bool:
    """Whether a blob was fetched, and is no file without content in its place."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    full = status.st_blocks * 512 >= size
    return stat.S_ISREG(status.st_mode) and status.st_size == size and full


_PUSH = "Push the release there again: envman push"


def _blob_path(folder: Path, digest: str) -> Path:
    return folder / "blobs" / digest.replace(":", "/")


@contextlib.contextmanager
def _opened(path: Path, where: str) -> Iterator[IO[bytes]]:
    """A regular file to read; no pipe is waited for. Raises ImageError where it is not there."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise ImageError(Problem(where, f"no release is there, or a part of it: no {path}", _PUSH)) from None
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ImageError(Problem(where, f"{path} is no file", _PUSH))
        yield stream


def _names(index: bytes, where: str) -> dict[str, Descriptor]:
    """What an index has by name; raises ImageError."""
    try:
        if len(index) > _LARGEST_INDEX:
            raise ValueError("it is too large")
        found = [Descriptor.from_dict(entry) for entry in read_json(index)["manifests"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ImageError(Problem(where, f"its index can't be read: {error}", _PUSH)) from None
    return {one.annotations[REF_NAME]: one for one in found if REF_NAME in one.annotations}


def _named(names: Mapping[str, Descriptor], name: str, where: str) -> Descriptor:
    """The manifest that has a name; raises ImageError."""
    if name not in names:
        listed = ", ".join(sorted(names)) or "nothing"
        raise ImageError(Problem(where, f"has no release '{name}'; there is: {listed}", "Look at the name."))
    return names[name]


def _checked(content: bytes, one: Descriptor, where: str) -> bytes:
    """A manifest that is what its digest says; raises ImageError."""
    if len(content) > LARGEST_MANIFEST or digest_of(content) != one.digest:
        raise ImageError(Problem(where, f"its manifest is not what its digest {one.digest} says", _PUSH))
    return content


def read_release(source: BlobSource, where: str) -> tuple[str, Release]:
    """A release, with the digest of its index; raises ImageError, OSError."""
    text = source.index()
    if len(text) > LARGEST_MANIFEST:
        raise ImageError(Problem(where, f"its index has more than {LARGEST_MANIFEST} bytes", _PUSH))
    front = parse_release_index(text, where)
    document = parse_front(source.manifest(front), where)
    source.fetch({document.digest}, front.digest, [document])
    try:
        with source.opened(document) as stream:
            content = unpacked_blob(stream, document.digest, document.size, LARGEST_DOCUMENT)
    except UnfitLayerError as error:
        source.forget(document)
        raise ImageError(Problem(where, f"its document can't be used: {error}", _PUSH)) from None
    return digest_of(text), parse_release(content, where)


def fetch_layers(source: BlobSource, release: Release, wanted: Container[str]) -> None:
    """Have layers of a release on this machine; raises ImageError, OSError."""
    layers = release.layers()
    for page, named in release.pages.items():
        if any(digest in wanted for digest in named):
            source.fetch(wanted, page, [layers[digest] for digest in named])
