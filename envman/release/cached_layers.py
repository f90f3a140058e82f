"""Where pushes keep the layers that they have made: an OCI layout in envman's cache, without names."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from envman.image.oci_values import Descriptor
from envman.oci.image_layout import Layout

RELEASES = "releases"
"""The layout's folder, below the cache."""

GATHERED = ".push-"
"""How folders begin in which a push gathers the blobs of one release."""


@contextmanager
def gathered(cache: Layout, blobs: Iterable[Descriptor]) -> Iterator[Layout]:
    """A layout of these blobs alone, by links. Raises OSError."""
    with tempfile.TemporaryDirectory(prefix=GATHERED, dir=cache.folder) as folder:
        found = Layout(Path(folder))
        for blob in blobs:
            found.take(blob, cache)
        yield found
