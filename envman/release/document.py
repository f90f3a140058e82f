"""A release: the environments below a root folder, with their table, under one name of a registry.

It is an index of artifacts (OCI image specification 1.1, "Guidelines for Artifact Usage"). The first one has
the document, which says what the release consists of. The others are pages: each names some of the layers, so
that a tool which copies artifacts copies few blobs at once. Whatever is read here is a stranger's. Pure.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from envman.errors import ImageError, Problem
from envman.image.oci_values import (
    EMPTY,
    INDEX,
    LAYER_GZIP,
    MANIFEST,
    Descriptor,
    ImageManifest,
    canonical,
    digest_of,
)
from envman.image.referrers import EMPTY_BLOB
from envman.names import name_problem
from envman.release.strangers_json import read_json

FORMAT = 1
_TYPE = "application/vnd.envman.release."
ARTIFACT = f"{_TYPE}v{FORMAT}"
DOCUMENT = f"{_TYPE}v{FORMAT}+gzip"
PAGE_ARTIFACT = f"{_TYPE}layers.v{FORMAT}"

PAGE = 40
"""Layers of a page. What skopeo does for each blob of an artifact it does again for all: 200 take 2.4 s."""

LARGEST_MANIFEST = 4 * 1024**2
"""Bytes of a manifest or index that skopeo and most registries take."""

LARGEST_DOCUMENT = 16 * 1024**2
"""Bytes of a document, unpacked; that of 200 environments has 3 to 5 MB."""

GENERATION = re.compile("[0-9a-f]{12}(-[0-9]{1,6})?")
_SHA256 = re.compile("sha256:[0-9a-f]{64}")
_FACT = re.compile("[ -~]{0,100}")
"""What an interpreter says of itself."""

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", re.ASCII)
_REMEDY = "Name a release, as envman push has written one."
_UNFIT = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)
"""What reading JSON of strangers raises."""


@dataclass(frozen=True)
class Abi:
    """What decides which extension modules an interpreter loads, as it says itself: see `python_tags.py`."""

    abi: str
    libc: str
    platform: str


@dataclass(frozen=True)
class Released:
    """An environment's generation: its manifest's text, its signature (may be empty), and the digests of its
    layers.
    """

    generation: str
    manifest: str
    signature: str
    abi: Abi
    layers: tuple[str, ...]


@dataclass(frozen=True)
class Release:
    """Environments of one root folder by name; the table that is published with them, and its signature (may
    be empty). `pages` are the digests of their manifests, with the layers that each names, and their sizes.
    """

    root: str
    table: str
    table_signature: str
    environments: Mapping[str, Released]
    pages: Mapping[str, Mapping[str, int]]

    def layers(self) -> dict[str, Descriptor]:
        """All layers by digest."""
        sizes = {digest: size for page in self.pages.values() for digest, size in page.items()}
        return {digest: Descriptor(LAYER_GZIP, digest, size) for digest, size in sizes.items()}

    def to_json(self) -> bytes:
        """The document; the same release gives the same bytes."""
        data = {
            "format": FORMAT,
            "root": self.root,
            "table": self.table,
            "table_signature": self.table_signature,
            "environments": {name: asdict(one) for name, one in sorted(self.environments.items())},
            "pages": self.pages,
        }
        return json.dumps(data, separators=(",", ":"), ensure_ascii=True).encode()


def pages_of(layers: Iterable[Descriptor]) -> tuple[tuple[Descriptor, ...], ...]:
    """Layers by the manifests that name them; the same layers are in the same pages."""
    ordered = sorted(layers, key=lambda one: one.digest)
    return tuple(tuple(ordered[start : start + PAGE]) for start in range(0, len(ordered), PAGE))


def page_manifest(blobs: Sequence[Descriptor], artifact_type: str = PAGE_ARTIFACT) -> bytes:
    """The manifest of an artifact of some blobs; the same blobs give the same bytes."""
    config = Descriptor(EMPTY, digest_of(EMPTY_BLOB), len(EMPTY_BLOB))
    return ImageManifest(config, tuple(blobs), artifact_type=artifact_type).to_json()


def release_index(front: bytes, pages: Iterable[bytes]) -> bytes:
    """The index of a release, by the manifests of its document and of its pages.

    The artifacts' types stand in their manifests alone: skopeo 1.9 drops them from an index that it copies,
    which then has another digest.
    """
    manifests = [Descriptor(MANIFEST, digest_of(one), len(one)).to_dict() for one in (front, *pages)]
    return canonical({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})


def parse_release_index(text: bytes, where: str) -> Descriptor:
    """The manifest of the document, by a release's index; raises ImageError for anything else."""
    try:
        data = read_json(text)
        if "manifests" not in data:
            raise ValueError(_other_kind(data))
        front = _blob(data["manifests"][0])
        if data.get("mediaType") != INDEX or front.media_type != MANIFEST:
            raise ValueError("its index is none of a release's")
        return front
    except _UNFIT as error:
        raise ImageError(Problem(where, f"is no release: {_said(error)}", _REMEDY)) from None


def parse_front(text: bytes, where: str) -> Descriptor:
    """The document's blob, by its manifest; raises ImageError for anything else."""
    try:
        data = read_json(text)
        if data.get("artifactType") != ARTIFACT:
            raise ValueError(_other_kind(data))
        (document,) = [_blob(one) for one in data["layers"]]
        if document.media_type != DOCUMENT:
            raise ValueError(f"its document is of the type {document.media_type}")
        if document.size > LARGEST_DOCUMENT or _blob(data["config"]).digest != digest_of(EMPTY_BLOB):
            raise ValueError("it names blobs that no release has")
        return document
    except _UNFIT as error:
        raise ImageError(Problem(where, f"is no release: {_said(error)}", _REMEDY)) from None


def _other_kind(data: Mapping[str, Any]) -> str:
    kind = data.get("artifactType")
    if isinstance(kind, str) and kind.startswith(_TYPE):
        return f"its format is {kind}, and this envman reads {ARTIFACT}"
    return f"it is an artifact of another type, {kind}" if kind else "it is an image"


def _blob(data: Mapping[str, Any]) -> Descriptor:
    if type(data["size"]) is not int or data["size"] <= 0 or not isinstance(data["mediaType"], str):
        raise ValueError("a blob has no size or media type")
    if not isinstance(data["digest"], str) or not _SHA256.fullmatch(data["digest"]):
        raise ValueError("a digest is not SHA-256")
    return Descriptor(data["mediaType"], data["digest"], data["size"])


def parse_release(text: bytes, where: str) -> Release:
    """Read a release's document; raises ImageError for anything else, and for layers that no page names."""
    try:
        data = read_json(text)
        if data.pop("format") != FORMAT:
            raise ValueError("another format")
        environments = data.pop("environments")
        found = Release(**data, environments={name: _released(one) for name, one in environments.items()})
        _check_release(found)
        named = {one for each in found.environments.values() for one in each.layers}
        if missing := named - {*found.layers()}:
            raise ValueError(f"it names {len(missing)} layers that are in no page")
        return found
    except _UNFIT as error:
        what = f"is not a release that can be read: {_said(error)}"
        raise ImageError(Problem(where, what, _REMEDY)) from None


def _released(data: Mapping[str, Any]) -> Released:
    one = Released(**{**data, "abi": Abi(**data["abi"]), "layers": tuple(data["layers"])})
    if not all(isinstance(text, str) for text in (one.generation, one.manifest, one.signature, *one.layers)):
        raise TypeError("an environment's fields are not of their types")
    if not all(_FACT.fullmatch(fact) for fact in (one.abi.abi, one.abi.libc, one.abi.platform)):
        raise ValueError("an environment's interpreter says of itself what none says")
    if not GENERATION.fullmatch(one.generation):
        raise ValueError(f"{one.generation!r} is not the name of a generation")
    if len(set(one.layers)) != len(one.layers):
        raise ValueError(f"the generation {one.generation} names a layer twice")
    return one


def _check_release(release: Release) -> None:
    if not all(isinstance(text, str) for text in (release.root, release.table, release.table_signature)):
        raise TypeError("its fields are not of their types")
    if not release.root.startswith("/") or posixpath.normpath(release.root) != release.root:
        raise ValueError("its root folder is not absolute")
    if not release.root.isprintable():
        raise ValueError("its root folder can't be shown")
    if not release.environments:
        raise ValueError("it has no environments")
    for name in release.environments:
        if problem := name_problem(name):
            raise ValueError(f"environment {name!r}: {problem}")
    for page, layers in release.pages.items():
        if not all(_SHA256.fullmatch(digest) for digest in (page, *layers)):
            raise ValueError("a digest is not SHA-256")
        if not all(type(size) is int and size > 0 for size in layers.values()):
            raise ValueError("a layer has no size")
        blobs = [Descriptor(LAYER_GZIP, digest, size) for digest, size in layers.items()]
        if digest_of(page_manifest(blobs)) != page:  # so nothing is fetched by it that is not listed here
            raise ValueError(f"the page {page} does not name the layers that it says")


def _said(error: Exception) -> str:
    """What is wrong, in a line: a key that is missing is told by its name alone."""
    said = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) and error.args else str(error)
    return " ".join(said.split())[:300] or type(error).__name__


HOST_ARTIFACT = "application/vnd.envman.host.v1"
_HOST_TAG = "host-"
_RECORD = "io.envman.host"
_LONGEST = 1000
"""Characters of a field of a host's record, which is shown on terminals."""


@dataclass(frozen=True)
class HostRecord:
    """What a host has said of itself after a pull: its name, its root folder, when (UTC, ISO 8601), the
    digest of the release, and the generations of its environments.
    """

    host: str
    root: str
    at: str
    release: str
    environments: Mapping[str, str]

    @property
    def tag(self) -> str:
        """Where it stands in the repository of the release; one tag for each host, whatever its name."""
        plain = re.sub("[^A-Za-z0-9._-]", "-", self.host)[:100]
        more = "" if plain == self.host else f"-{digest_of(self.host.encode())[-8:]}"
        return f"{_HOST_TAG}{plain}{more}"

    def to_manifest(self) -> bytes:
        """The record as an artifact: all of it stands in the manifest, so that one request reads it."""
        empty = Descriptor(EMPTY, digest_of(EMPTY_BLOB), len(EMPTY_BLOB))
        said = {_RECORD: canonical(asdict(self)).decode()}
        return ImageManifest(empty, (empty,), said, HOST_ARTIFACT).to_json()


def is_host_tag(tag: str) -> bool:
    """Whether a tag is that of a host's record."""
    return tag.startswith(_HOST_TAG)


def parse_host_record(text: bytes, tag: str, where: str) -> HostRecord:
    """Read the host's record that stands under a tag; raises ImageError for anything else."""
    remedy = f"If it is a release or an image, give it a tag that does not begin with {_HOST_TAG}"
    try:
        manifest = read_json(text)
        if manifest.get("artifactType") != HOST_ARTIFACT:
            raise ValueError("it is something else")
        remedy = "Find out who has pushed it. The host's next pull with --report writes its record again."
        record = HostRecord(**read_json(manifest["annotations"][_RECORD].encode()))
        _check_record(record)
        if record.tag != tag:
            raise ValueError(f"it is the record of {record.host}, which belongs under the tag {record.tag}")
        return record
    except _UNFIT as error:
        what = f"is not what a host says of itself: {_said(error)}"
        raise ImageError(Problem(where, what, remedy)) from None


def _check_record(record: HostRecord) -> None:
    texts = (record.host, record.root, record.at, record.release, *record.environments.values())
    if not all(isinstance(one, str) and one.isprintable() and len(one) < _LONGEST for one in texts):
        raise ValueError("its fields are no texts that can be shown")
    if not _TIME.fullmatch(record.at) or not _SHA256.fullmatch(record.release):
        raise ValueError("it does not say what was pulled, and when")
    for name, generation in record.environments.items():
        if problem := name_problem(name):
            raise ValueError(f"environment {name!r}: {problem}")
        if generation and not GENERATION.fullmatch(generation):
            raise ValueError(f"{generation!r} is not the name of a generation")
