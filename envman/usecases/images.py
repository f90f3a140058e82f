"""`envman image push`, `inspect`, `diff` and `list`: images in envman's cache, and in registries."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from envman.errors import EnvmanError, Problem, UsageError
from envman.files import cache_folder
from envman.image.facts import Change, ImageFacts, changes, facts_of
from envman.image.oci import INDEX, Descriptor, Manifest, digest_of, parse_config, parse_manifest
from envman.image.referrers import index, is_referrers_tag, joined, parse_index, referrers_tag
from envman.oci.layout import Layout
from envman.oci.skopeo import Skopeo, layout_reference
from envman.processes import Processes, stop_signals
from envman.spec.image_names import FORMS, Reference, parse_reference
from envman.spec.names import nearest
from envman.usecases.events import Event, Report, Stage


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
    facts: ImageFacts
    layers: tuple[LayerFacts, ...]


@dataclass(frozen=True)
class PushOutcome:
    """An image that is in a registry now; `size` in bytes, of which the registry may have had some."""

    image: str
    digest: str
    size: int


class Images:
    """The images of envman's cache, by tag, and those that skopeo can read."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self.layout = Layout(cache_folder(os.environ) / "images")
        self._skopeo = Skopeo(processes)

    def names(self) -> dict[str, Descriptor]:
        """The tags in the cache; those of referrers are not among them."""
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
        reference = _reference(name)
        raw = self._skopeo.raw_manifest(reference)
        manifest = parse_manifest(raw, name)
        return _inspected(name, digest_of(raw), manifest, self._skopeo.config(reference))

    def push(self, name: str, report: Report) -> PushOutcome:
        """Copy an image of the cache to the registry that its tag names; the tag is there once all is.

        Raises UsageError for a tag that is not in the cache, ImageError.
        """
        names = self.names()
        if name not in names:
            what = "there is no such image in envman's cache"
            raise UsageError(Problem(name, what, f"{nearest(name, names)} Build it: envman image build"))
        found = names[name]
        manifest = parse_manifest(self.layout.read(found.digest), name)
        size = sum(blob.size for blob in (*manifest.layers, manifest.config, found))
        target = _reference(name)
        if not target.is_local and self._skopeo.digest(target) == found.digest:
            report(Event(name, Stage.DONE, f"{found.digest}, which is there"))
            return PushOutcome(name, found.digest, size)
        report(Event(name, Stage.PUSHING, f"{size / 1e6:.0f} MB, less what the registry has"))
        if not target.is_local and referrers_tag(found.digest) in self.layout.names():
            self._push_referrers(target, found.digest)
        self._skopeo.copy(layout_reference(self.layout.folder, name), target)
        report(Event(name, Stage.DONE, f"{found.digest}, {size / 1e6:.0f} MB"))
        return PushOutcome(name, found.digest, size)

    def _push_referrers(self, target: Reference, digest: str) -> None:
        """Push an image's documents, beside those that others have attached to it."""
        there = target.with_tag(referrers_tag(digest))
        ours = parse_index(self.layout.read(self.layout.names()[referrers_tag(digest)].digest), str(there))
        with TemporaryDirectory(prefix="envman-referrers-") as folder:
            joint = Layout(Path(folder))
            others: list[Descriptor] = []
            if self._skopeo.digest(there):
                self._skopeo.copy(there, layout_reference(joint.folder, _OTHERS))
                others = parse_index(joint.read(joint.names()[_OTHERS].digest), str(there))
            for one in ours:
                manifest = parse_manifest(self.layout.read(one.digest), str(there))
                for blob in (one, manifest.config, *manifest.layers):
                    joint.take(blob, self.layout)
            together = joint.put(INDEX, index(joined(ours, others)))
            if others and together.digest == joint.names()[_OTHERS].digest:
                return
            joint.name(_OURS, together)
            self._skopeo.copy(layout_reference(joint.folder, _OURS), there)


_OURS, _OTHERS = "ours", "others"


def push_images(names: Sequence[str], report: Report) -> tuple[PushOutcome, ...]:
    """Push images of the cache one after the other; the first that fails ends it."""
    processes = Processes()
    images = Images(processes)
    with stop_signals(processes):
        return tuple(images.push(name, report) for name in names)


def inspect_image(name: str) -> InspectOutcome:
    """What an image says of itself; raises UsageError, ImageError."""
    processes = Processes()
    with stop_signals(processes):
        return Images(processes).inspect(name)


def _reference(name: str) -> Reference:
    try:
        return parse_reference(name)
    except ValueError as error:
        raise UsageError(Problem("", str(error), FORMS)) from None


def _inspected(name: str, digest: str, manifest: Manifest, config_text: bytes) -> InspectOutcome:
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
class DiffOutcome:
    """What differs between two images; nothing where their digests are the same."""

    old: str
    new: str
    same: bool
    changes: tuple[Change, ...]


def diff_images(old: str, new: str) -> DiffOutcome:
    """Compare two images by what they say of themselves; raises UsageError, ImageError."""
    processes = Processes()
    images = Images(processes)
    with stop_signals(processes):
        before, after = images.inspect(old), images.inspect(new)
    return DiffOutcome(old, new, before.digest == after.digest, tuple(changes(before.facts, after.facts)))


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
