"""`envman image push`: images of envman's cache, into the registries that their tags name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from envman.errors import Problem, UsageError
from envman.image.oci_values import INDEX, Descriptor, parse_manifest
from envman.image.referrers import index, joined, parse_index, referrers_tag
from envman.names import nearest
from envman.oci.image_layout import Layout
from envman.oci.skopeo import Skopeo, layout_reference
from envman.spec.image_names import Reference, reference_argument
from envman.system.events import Event, Report, Stage
from envman.system.processes import Processes
from envman.usecases.images.image_catalog import Images


@dataclass(frozen=True)
class PushOutcome:
    """An image that is in a registry now; `size` in bytes, of which the registry may have had some."""

    image: str
    digest: str
    size: int


def push_images(names: Sequence[str], report: Report, sign_by: str | None = None) -> tuple[PushOutcome, ...]:
    """Push images of the cache one after the other; the first that fails ends it. With `sign_by` skopeo signs
    them by that GPG key.

    Raises UsageError for a tag that is not in the cache, ImageError.
    """
    processes = Processes()
    images, skopeo = Images(processes), Skopeo(processes)
    return tuple(_push(name, images, skopeo, report, sign_by) for name in names)


def _push(name: str, images: Images, skopeo: Skopeo, report: Report, sign_by: str | None) -> PushOutcome:
    """Copy an image of the cache to the registry that its tag names; the tag is there once all is."""
    names, layout = images.names(), images.layout
    if name not in names:
        what = "there is no such image in envman's cache"
        raise UsageError(Problem(name, what, f"{nearest(name, names)} Build it: envman image build"))
    found = names[name]
    manifest = parse_manifest(layout.read(found.digest), name)
    size = sum(blob.size for blob in (*manifest.layers, manifest.config, found))
    target = reference_argument(name)
    if not (target.is_local or sign_by) and skopeo.digest(target) == found.digest:
        report(Event(name, Stage.DONE, f"{found.digest}, which is there"))
        return PushOutcome(name, found.digest, size)
    report(Event(name, Stage.PUSHING, f"{size / 1e6:.0f} MB, less what the registry has"))
    if not target.is_local and referrers_tag(found.digest) in layout.names():
        _push_referrers(layout, skopeo, target, found.digest)
    skopeo.copy(layout_reference(layout.folder, name), target, sign_by=sign_by)
    report(Event(name, Stage.DONE, f"{found.digest}, {size / 1e6:.0f} MB"))
    return PushOutcome(name, found.digest, size)


_OURS, _OTHERS = "ours", "others"


def _push_referrers(layout: Layout, skopeo: Skopeo, target: Reference, digest: str) -> None:
    """Push an image's documents, beside those that others have attached to it."""
    there = target.with_tag(referrers_tag(digest))
    ours = parse_index(layout.read(layout.names()[referrers_tag(digest)].digest), str(there))
    with TemporaryDirectory(prefix="envman-referrers-") as folder:
        joint = Layout(Path(folder))
        others: list[Descriptor] = []
        if skopeo.digest(there):
            skopeo.copy(there, layout_reference(joint.folder, _OTHERS))
            others = parse_index(joint.read(joint.names()[_OTHERS].digest), str(there))
        for one in ours:
            manifest = parse_manifest(layout.read(one.digest), str(there))
            for blob in (one, manifest.config, *manifest.layers):
                joint.take(blob, layout)
        together = joint.put(INDEX, index(joined(ours, others)))
        if others and together.digest == joint.names()[_OTHERS].digest:
            return
        joint.name(_OURS, together)
        skopeo.copy(layout_reference(joint.folder, _OURS), there)
