"""Documents that go along with an image (OCI distribution specification 1.1, "Referrers").

Each is a manifest that names the image as its subject, by which a registry with the referrers API finds it.
For one without, an index of them stands under the referrers tag of the image. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from envman.errors import ImageError, Problem
from envman.image.oci_values import EMPTY, INDEX, Descriptor, ImageManifest, canonical, digest_of

TITLE = "org.opencontainers.image.title"
CREATED = "org.opencontainers.image.created"

EMPTY_BLOB = b"{}"
"""The configuration of what has none (image specification 1.1, "Guidance for an Empty Descriptor")."""


@dataclass(frozen=True)
class Document:
    """A file about an image: `annotations` say what of the image it is about."""

    name: str
    media_type: str
    content: bytes
    annotations: Mapping[str, str] = field(default_factory=dict)


def referrers_tag(digest: str) -> str:
    """The tag of the index of an image's referrers, in the image's own repository."""
    return digest.replace(":", "-")


def is_referrers_tag(tag: str) -> bool:
    """Whether a name is that of an index of referrers."""
    return tag.startswith("sha256-")


def referrer(document: Document, image: Descriptor, created: str) -> ImageManifest:
    """The manifest that attaches a document to an image, at a time as RFC 3339."""
    subject = Descriptor(image.media_type, image.digest, image.size)
    config = Descriptor(EMPTY, digest_of(EMPTY_BLOB), len(EMPTY_BLOB))
    blob = Descriptor(
        document.media_type, digest_of(document.content), len(document.content), {TITLE: document.name}
    )
    said = {**document.annotations, CREATED: created}
    return ImageManifest(config, (blob,), said, document.media_type, subject)


def joined(ours: Iterable[Descriptor], others: Iterable[Descriptor]) -> list[Descriptor]:
    """Our referrers beside those that others have attached; older ones of ours go.

    An index that skopeo 1.9 has written does not say the artifacts' types.
    """
    mine = list(ours)

    def is_older(other: Descriptor) -> bool:
        return any(
            other.artifact_type in {"", one.artifact_type} and _about(other) == _about(one) for one in mine
        )

    return [*mine, *(one for one in others if not is_older(one))]


def _about(one: Descriptor) -> dict[str, str]:
    return {key: value for key, value in one.annotations.items() if key != CREATED}


def index(manifests: Iterable[Descriptor]) -> bytes:
    """An index of manifests; the same ones give the same bytes."""
    ordered = sorted(manifests, key=lambda one: (one.artifact_type, one.digest))
    data = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [one.to_dict() for one in ordered]}
    return canonical(data)


def parse_index(text: bytes, where: str) -> list[Descriptor]:
    """Read an index; raises ImageError for anything else."""
    try:
        data: Any = json.loads(text)
        return [Descriptor.from_dict(entry) for entry in data["manifests"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        what = f"is no index of referrers: {error}"
        raise ImageError(Problem(where, what, "Remove that tag from the registry.")) from None
