"""Layers in envman's cache: what was written once is found again by what stands in it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from envman.image.entries import Entry, fingerprint
from envman.image.oci_values import Descriptor, Layer
from envman.oci.image_layout import Layout
from envman.oci.layer import Compression, write_layer
from envman.system.files import mark_used, write_atomic


@dataclass(frozen=True)
class LayerStore:
    """Layers of one time (seconds since 1970) and one compression; `jobs` threads compress."""

    layout: Layout
    epoch: int
    compression: Compression
    jobs: int

    def layer(self, entries: Sequence[Entry], note: str) -> tuple[Layer, bool]:
        """A layer of ordered entries, and whether it was there, undamaged. Raises OSError, ImageError."""
        parts = f"{fingerprint(entries)} {self.epoch} {self.compression.describe()}"
        known = self.layout.folder / "layers" / f"{hashlib.sha256(parts.encode()).hexdigest()}.json"
        with suppress(FileNotFoundError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            data = json.loads(known.read_text(encoding="utf-8"))
            blob = Descriptor.from_dict(data["blob"])
            if self.layout.is_sound(blob):
                mark_used(self.layout.path(blob.digest))
                return Layer(blob, str(data["diff_id"]), note), True
        with self.layout.new_blob() as stream:
            written = write_layer(entries, stream, self.epoch, self.compression, self.jobs)
            self.layout.keep(stream, written.digest)
        blob = Descriptor(self.compression.media_type, written.digest, written.size)
        write_atomic(known, json.dumps({"blob": blob.to_dict(), "diff_id": written.diff_id}))
        return Layer(blob, written.diff_id, note), False
