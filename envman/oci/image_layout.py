"""An OCI image layout (image specification 1.1): blobs by their digest, and an index of names.

images/oci-layout
images/index.json            the images, by name
images/blobs/sha256/3f9c…    layers, configurations and manifests
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Any

from envman.errors import ImageError, Problem
from envman.image.oci_values import INDEX, MANIFEST, REF_NAME, Descriptor, digest_of
from envman.system.children import CHILDREN
from envman.system.files import mark_used, write_atomic
from envman.system.waiting import alone

_NEW = ".new-"
_BLOCK = 1 << 20
_FICLONE = 0x40049409
"""The request that has a file share another one's blocks (ioctl_ficlone(2))."""

_ABANDONED = 86400.0
"""Seconds after which a blob that is still not whole is nobody's."""


class Layout:
    """One layout, made where it is not there; several processes may write to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "blobs/sha256").mkdir(parents=True, exist_ok=True)
        if not (folder / "oci-layout").exists():
            write_atomic(folder / "oci-layout", '{"imageLayoutVersion":"1.0.0"}')

    def path(self, digest: str) -> Path:
        """Where a blob stands."""
        algorithm, _, value = digest.partition(":")
        return self.folder / "blobs" / algorithm / value

    def read(self, digest: str) -> bytes:
        """A small blob; raises ImageError where it is not there or altered."""
        try:
            content = self.path(digest).read_bytes()
        except FileNotFoundError:
            raise ImageError(Problem(str(self.folder), f"has no blob {digest}", _PULL_AGAIN)) from None
        if digest_of(content) != digest:
            raise ImageError(Problem(str(self.path(digest)), "is altered", _PULL_AGAIN))
        return content

    def has(self, blob: Descriptor) -> bool:
        """Whether a blob is there, whole as far as its size tells."""
        try:
            return self.path(blob.digest).stat().st_size == blob.size
        except FileNotFoundError:
            return False

    def is_sound(self, blob: Descriptor) -> bool:
        """Whether a blob is there, and what its digest says: all of it is read. Raises OSError."""
        if not self.has(blob):
            return False
        algorithm, _, wanted = blob.digest.partition(":")
        digest = hashlib.new(algorithm)
        with self.path(blob.digest).open("rb") as stream:
            while block := stream.read(_BLOCK):
                CHILDREN.look()
                digest.update(block)
        return digest.hexdigest() == wanted

    def copy(self, blob: Descriptor, other: Layout) -> None:
        """Have a blob of another layout as a file of its own, which shares blocks where the file system can.

        What stands here is compared with its digest, and replaced where it is damaged. Raises OSError.
        """
        if self.is_sound(blob):
            mark_used(self.path(blob.digest))
            return
        with self.new_blob() as stream, other.path(blob.digest).open("rb") as source:
            try:
                fcntl.ioctl(stream.fileno(), _FICLONE, source.fileno())
            except OSError:  # another file system, or one whose files share no blocks
                shutil.copyfileobj(source, stream, _BLOCK)
            self.keep(stream, blob.digest)

    def take(self, blob: Descriptor, other: Layout) -> None:
        """Have a blob of another layout, as a link where that can be. Raises OSError."""
        if self.has(blob):
            mark_used(self.path(blob.digest))
            return
        with self.new_blob() as stream:
            Path(stream.name).unlink()
            try:
                os.link(other.path(blob.digest), stream.name)
            except OSError:
                shutil.copyfile(other.path(blob.digest), stream.name)
            Path(stream.name).replace(self.path(blob.digest))

    def put(self, media_type: str, content: bytes) -> Descriptor:
        """Write a small blob; returns what is to be said of it."""
        with self.new_blob() as stream:
            stream.write(content)
            digest = digest_of(content)
            self.keep(stream, digest)
        return Descriptor(media_type, digest, len(content))

    @contextlib.contextmanager
    def new_blob(self) -> Iterator[IO[bytes]]:
        """A file to write a blob to; it goes away unless it is kept."""
        blobs = self.folder / "blobs"
        for left in blobs.glob(f"{_NEW}*"):  # a killed run's
            with contextlib.suppress(FileNotFoundError):  # one of a run that goes on gets its name just now
                if left.stat().st_mtime < time.time() - _ABANDONED:
                    left.unlink()
        with tempfile.NamedTemporaryFile(dir=blobs, prefix=_NEW, delete=False) as stream:
            try:
                yield stream
            finally:
                Path(stream.name).unlink(missing_ok=True)

    def keep(self, stream: IO[bytes], digest: str) -> None:
        """Give a new blob its name, once it is on the disk."""
        stream.flush()
        os.fchmod(stream.fileno(), 0o644)
        os.fsync(stream.fileno())
        Path(stream.name).replace(self.path(digest))

    def names(self) -> dict[str, Descriptor]:
        """The images by name."""
        try:
            index = json.loads((self.folder / "index.json").read_bytes())
            found = [Descriptor.from_dict(entry) for entry in index["manifests"]]
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            what = f"is no index: {error}"
            raise ImageError(Problem(str(self.folder / "index.json"), what, "Remove the folder.")) from None
        return {one.annotations[REF_NAME]: one for one in found if REF_NAME in one.annotations}

    def name(self, name: str, image: Descriptor) -> None:
        """Give an image a name, which another may have had."""
        with alone(self.folder / ".lock"):
            named = self.names()
            described = Descriptor(image.media_type, image.digest, image.size, {REF_NAME: name})
            self._write({**named, name: described})

    def forget(self, names: Collection[str]) -> None:
        """Take names away from their images."""
        with alone(self.folder / ".lock"):
            self._write({name: one for name, one in self.names().items() if name not in names})

    def unneeded(self, forgotten: Collection[str], before: float) -> list[Path]:
        """Blobs older than a moment that no image needs; forgotten names don't count."""
        needed = set[str]()
        for name, one in self.names().items():
            if name not in forgotten:
                self._add_needed(one, needed)
        blobs = [path for path in (self.folder / "blobs/sha256").iterdir() if path.stat().st_mtime < before]
        return sorted(path for path in blobs if f"sha256:{path.name}" not in needed)

    def _add_needed(self, one: Descriptor, needed: set[str]) -> None:
        if one.digest in needed:
            return
        needed.add(one.digest)
        if one.media_type in {MANIFEST, INDEX} and self.has(one):
            data = json.loads(self.read(one.digest))
            for part in (*data.get("manifests", ()), *data.get("layers", ()), data.get("config")):
                if part:
                    self._add_needed(Descriptor.from_dict(part), needed)

    def _write(self, named: dict[str, Descriptor]) -> None:
        manifests: list[Any] = [one.to_dict() for _, one in sorted(named.items())]
        data = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
        write_atomic(self.folder / "index.json", json.dumps(data, indent=1) + "\n")


_PULL_AGAIN = "Remove the folder; what stands in it can be made again."
