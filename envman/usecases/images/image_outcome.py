"""An image that was made, by whichever engine: into envman's cache, and what is said of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from envman.image.oci_values import MANIFEST
from envman.oci.image_layout import Layout
from envman.spec.workspace import Workspace
from envman.usecases.images.image_documents import Made, attach


@dataclass(frozen=True)
class LayerOutcome:
    """One layer of an image: sizes in bytes, seconds of this run; `reused` where it was there already."""

    note: str
    digest: str
    size: int
    seconds: float
    reused: bool


@dataclass(frozen=True)
class ImageOutcome:
    """One image after a build; `size` is what a registry stores of it, in bytes."""

    environments: tuple[str, ...]
    tag: str
    digest: str
    base: str
    base_digest: str
    size: int
    layers: tuple[LayerOutcome, ...]
    seconds: float

    def describe(self) -> str:
        """Its tag and size, for the progress."""
        return f"{self.tag}, {self.size / 1e6:.0f} MB"


def keep(
    workspace: Workspace,
    layout: Layout,
    made: Made,
    layers: Sequence[LayerOutcome],
    documents: Path | None,
    started: float,
) -> ImageOutcome:
    """Put an image whose blobs are in the layout there, with its documents, under its tag.

    `layers` are those that were made for it, `documents` is a folder for the documents as files, and
    `started` the monotonic time at which the work began. Raises EnvmanError.
    """
    image = layout.put(MANIFEST, made.manifest.to_json())
    attach(workspace, layout, made, documents)
    layout.name(made.tag, image)
    return ImageOutcome(
        environments=tuple(one.name for one in made.wanted.environments),
        tag=made.tag,
        digest=image.digest,
        base=made.base.name,
        base_digest=made.base.digest,
        size=sum(blob.size for blob in (*made.manifest.layers, made.manifest.config, image)),
        layers=tuple(layers),
        seconds=round(time.monotonic() - started, 3),
    )
