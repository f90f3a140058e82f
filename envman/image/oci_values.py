"""Descriptors, manifests and configurations of the OCI image specification 1.1, as values."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from envman.errors import ImageError, Problem

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"
LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"

REF_NAME = "org.opencontainers.image.ref.name"
BASE_NAME = "org.opencontainers.image.base.name"
BASE_DIGEST = "org.opencontainers.image.base.digest"


@dataclass(frozen=True)
class Descriptor:
    """What is said of a blob: its media type, digest (`sha256:…`) and size in bytes.

    `artifact_type` is for a manifest that stands for something else than an image.
    """

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As it stands in a manifest."""
        data: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        data |= {"annotations": dict(sorted(self.annotations.items()))} if self.annotations else {}
        return data | ({"artifactType": self.artifact_type} if self.artifact_type else {})

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Descriptor:
        """Read one; raises KeyError, TypeError or ValueError for anything else."""
        size, annotations = data["size"], dict(data.get("annotations") or {})
        if type(size) is not int or not 0 <= size < 2**63:
            raise ValueError("a size is none")
        if not all(isinstance(text, str) for text in annotations.values()):
            raise TypeError("an annotation is no text")
        kind = str(data.get("artifactType") or "")
        return Descriptor(str(data["mediaType"]), checked_digest(data["digest"]), size, annotations, kind)


_DIGEST = re.compile("sha(256:[0-9a-f]{64}|512:[0-9a-f]{128})")


def checked_digest(text: object) -> str:
    """A digest that may become a path; raises ValueError for anything else."""
    if not isinstance(text, str) or _DIGEST.fullmatch(text) is None:
        raise ValueError("a digest is none")
    return text


@dataclass(frozen=True)
class Layer:
    """A layer as its blob is and, by `diff_id`, as its uncompressed archive is."""

    blob: Descriptor
    diff_id: str
    note: str
    """How it came to be, for the image's history."""


@dataclass(frozen=True)
class ImageManifest:
    """An image: its configuration and its layers, the lowest first.

    With an `artifact_type` it is something else, about the image that is its `subject`.
    """

    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str = ""
    subject: Descriptor | None = None

    def to_json(self) -> bytes:
        """The manifest's blob; the same manifest gives the same bytes."""
        data: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            **({"artifactType": self.artifact_type} if self.artifact_type else {}),
            "config": self.config.to_dict(),
            "layers": [layer.to_dict() for layer in self.layers],
        }
        if self.subject:
            data["subject"] = self.subject.to_dict()
        if self.annotations:
            data["annotations"] = dict(sorted(self.annotations.items()))
        return canonical(data)

    def described(self) -> Descriptor:
        """The manifest as it stands in an index."""
        text = self.to_json()
        return Descriptor(MANIFEST, digest_of(text), len(text), self.annotations, self.artifact_type)


def canonical(data: Any) -> bytes:
    """JSON of which there is one way to write it: no spaces; keys in the order that they are given in."""
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode()


def digest_of(content: bytes) -> str:
    """The digest of a blob."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def parse_manifest(text: bytes, where: str) -> ImageManifest:
    """Read an image's manifest; raises ImageError for anything else, an index of several images included."""
    try:
        data = json.loads(text)
        if "manifests" in data:
            raise ValueError("it is an index of several images, not an image")
        return ImageManifest(
            config=Descriptor.from_dict(data["config"]),
            layers=tuple(Descriptor.from_dict(layer) for layer in data["layers"]),
            annotations=dict(data.get("annotations") or {}),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ImageError(Problem(where, f"is no image manifest: {error}", "Name an image.")) from None


def parse_config(text: bytes, where: str) -> dict[str, Any]:
    """Read an image's configuration as it is; raises ImageError for anything else."""
    try:
        data = json.loads(text)
        if not isinstance(data, dict) or not isinstance(data["rootfs"]["diff_ids"], list):
            raise TypeError("it has no layers")
        config = data.get("config") or {}
        texts = [*(config.get("Env") or []), config.get("User") or "", config.get("WorkingDir") or ""]
        texts += (config.get("Labels") or {}).values()
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("its settings have the wrong types")
        return data
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ImageError(Problem(where, f"is no image configuration: {error}", "Name an image.")) from None


@dataclass(frozen=True)
class ImageSettings:
    """What an image of environments sets on top of its base; `created` as RFC 3339."""

    environ: Mapping[str, str]
    entrypoint: Sequence[str]
    command: Sequence[str]
    user: str
    working_folder: str
    labels: Mapping[str, str]
    created: str


def configured(base: Mapping[str, Any], layers: Sequence[Layer], settings: ImageSettings) -> bytes:
    """The configuration of a base with layers and settings on top of it; what is not set stays the base's."""
    config = dict(base.get("config") or {})
    environ = dict(entry.split("=", 1) for entry in config.get("Env") or [] if "=" in entry)
    environ |= settings.environ
    config["Env"] = [f"{name}={value}" for name, value in environ.items()]
    config["Entrypoint"] = list(settings.entrypoint)
    config["Cmd"] = list(settings.command)
    if not settings.command:
        del config["Cmd"]
    config["User"] = settings.user
    config["WorkingDir"] = settings.working_folder
    config["Labels"] = dict(sorted((dict(config.get("Labels") or {}) | dict(settings.labels)).items()))
    history = [*(base.get("history") or [])]
    history += [{"created": settings.created, "created_by": layer.note} for layer in layers]
    rootfs = {"type": "layers", "diff_ids": [*base["rootfs"]["diff_ids"], *(one.diff_id for one in layers)]}
    kept = {key: base[key] for key in ("architecture", "os", "variant", "os.version") if key in base}
    return canonical(
        {"created": settings.created, **kept, "config": config, "rootfs": rootfs, "history": history}
    )
