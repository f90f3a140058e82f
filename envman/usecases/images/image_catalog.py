"""`envman image inspect`, `diff`, `list`: what images of the cache and of registries tell of themselves."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property

from envman.errors import EnvmanError
from envman.image.labels import ImageLabels, LabelChange, changes, facts_of
from envman.image.oci_values import Descriptor, ImageManifest, digest_of, parse_config, parse_manifest
from envman.image.referrers import is_referrers_tag
from envman.oci.image_layout import Layout
from envman.oci.skopeo import Skopeo
from envman.spec.image_names import reference_argument
from envman.system.files import cache_folder
from envman.system.processes import Processes


@dataclass(frozen=True)
class LayerFacts:
    """A layer of an image: how it came to be, and its compressed size in bytes."""

    note: str
    digest: str
    size: int


@dataclass(frozen=True)
class InspectOutcome:
    """An image as it says of itself; `size` is what a registry stores of it, in bytes."""

    image: str
    digest: str
    size: int
    user: str
    entrypoint: tuple[str, ...]
    created: str
    facts: ImageLabels
    layers: tuple[LayerFacts, ...]


class Images:
    """The images of envman's cache, by tag, and those that skopeo can read."""

    def __init__(self, processes: Processes) -> None:
        self._folder = cache_folder(os.environ) / "images"
        self._skopeo = Skopeo(processes)

    @cached_property
    def layout(self) -> Layout:
        """The images of the cache, for which a place is made where there is none."""
        return Layout(self._folder)

    def names(self) -> dict[str, Descriptor]:
        """The tags in the cache; those of referrers are not among them."""
        if not self._folder.is_dir():  # nothing is made to look: the cache may be read-only
            return {}
        return {tag: one for tag, one in self.layout.names().items() if not is_referrers_tag(tag)}

    def inspect(self, name: str) -> InspectOutcome:
        """What an image says of itself: one of the cache by its tag, else one from where it is.

        Raises UsageError, ImageError.
        """
        found = self.names().get(name)
        if found:
            manifest = parse_manifest(self.layout.read(found.digest), name)
            config = self.layout.read(manifest.config.digest)
            return _inspected(name, found.digest, manifest, config)
        reference = reference_argument(name)
        raw = self._skopeo.raw_manifest(reference)
        manifest = parse_manifest(raw, name)
        return _inspected(name, digest_of(raw), manifest, self._skopeo.config(reference))


def inspect_image(name: str) -> InspectOutcome:
    """What an image says of itself; raises UsageError, ImageError."""
    return Images(Processes()).inspect(name)


def _inspected(name: str, digest: str, manifest: ImageManifest, config_text: bytes) -> InspectOutcome:
    config = parse_config(config_text, name)
    inner = config.get("config") or {}
    notes = [
        str(entry.get("created_by", ""))
        for entry in config.get("history") or ()
        if not entry.get("empty_layer")
    ]
    notes = notes if len(notes) == len(manifest.layers) else [""] * len(manifest.layers)
    return InspectOutcome(
        image=name,
        digest=digest,
        size=sum(layer.size for layer in manifest.layers) + manifest.config.size,
        user=str(inner.get("User") or ""),
        entrypoint=tuple(inner.get("Entrypoint") or ()),
        created=str(config.get("created") or ""),
        facts=facts_of(config, name),
        layers=tuple(
            LayerFacts(note, one.digest, one.size) for note, one in zip(notes, manifest.layers, strict=True)
        ),
    )


@dataclass(frozen=True)
class ImageDiffOutcome:
    """What differs between two images; nothing where their digests are the same."""

    old: str
    new: str
    same: bool
    changes: tuple[LabelChange, ...]


def diff_images(old: str, new: str) -> ImageDiffOutcome:
    """Compare two images by what they say of themselves; raises UsageError, ImageError."""
    images = Images(Processes())
    before, after = images.inspect(old), images.inspect(new)
    return ImageDiffOutcome(
        old, new, before.digest == after.digest, tuple(changes(before.facts, after.facts))
    )


@dataclass(frozen=True)
class ListedImage:
    """An image of envman's cache; `problem` says why it can't be read, else it is empty."""

    tag: str
    digest: str
    environments: tuple[str, ...]
    size: int
    problem: str


def list_images() -> tuple[ListedImage, ...]:
    """The images of envman's cache, sorted by tag."""
    images = Images(Processes())
    listed = []
    for tag, found in sorted(images.names().items()):
        try:
            one = images.inspect(tag)
        except EnvmanError as error:
            listed.append(ListedImage(tag, found.digest, (), 0, error.problems[0].what))
        else:
            listed.append(ListedImage(tag, one.digest, tuple(one.facts.environments), one.size, ""))
    return tuple(listed)
