"""Releases that somebody has changed who may write to the registry: each blob has the digest that is named."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from envman.image.oci_values import LAYER_GZIP, Descriptor, digest_of
from envman.release.document import page_manifest

Json = dict[str, Any]

HOSTILE_VALUES: tuple[Any, ...] = (
    "\ud800",
    "x\udfff/",
    "\U0001f40d",
    10**17,
    10**400,
    -(10**400),
    float("inf"),
    float("-inf"),
    float("nan"),
    "@deep list@",
    "@deep object@",
    "@large exponent@",
    [["x"]],
    {"x": "\ud800"},
)
"""What JSON can hold, and few expect; three of it are written by `json_text`, as Python writes none."""

_WRITTEN = {
    '"@deep list@"': "[" * 20_000 + "]" * 20_000,
    '"@deep object@"': '{"x":' * 20_000 + "0" + "}" * 20_000,
    '"@large exponent@"': "1e999",
}


def json_text(data: object) -> bytes:
    """JSON of what may have hostile values."""
    text = json.dumps(data)
    for name, written in _WRITTEN.items():
        text = text.replace(name, written)
    return text.encode()


class EditedRelease:
    """A release in an OCI layout's folder, with its parts to be changed."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self.index: Json = json.loads((folder / "index.json").read_bytes())
        self.release: Json = json.loads(self.blob(self._entry()["digest"]))
        self.front: Json = json.loads(self.blob(self.release["manifests"][0]["digest"]))
        self.document: Json = json.loads(gzip.decompress(self.blob(self.front["layers"][0]["digest"])))

    def _entry(self) -> Json:
        key = "org.opencontainers.image.ref.name"
        found: Json = next(one for one in self.index["manifests"] if one["annotations"][key] == self.name)
        return found

    def blob(self, digest: str) -> bytes:
        return (self.folder / "blobs" / digest.replace(":", "/")).read_bytes()

    def put(self, content: bytes) -> tuple[str, int]:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        (self.folder / "blobs" / digest.replace(":", "/")).write_bytes(content)
        return digest, len(content)

    def write(self) -> None:
        """Put the parts back, under new digests."""
        self.write_document(gzip.compress(json_text(self.document), 1))

    def write_document(self, blob: bytes) -> None:
        layer = self.front["layers"][0]
        layer["digest"], layer["size"] = self.put(blob)
        self.write_front()

    def write_front(self) -> None:
        first = self.release["manifests"][0]
        first["digest"], first["size"] = self.put(json_text(self.front))
        self.write_release(json_text(self.release))

    def write_release(self, content: bytes) -> None:
        entry = self._entry()
        entry["digest"], entry["size"] = self.put(content)
        self.write_index()

    def write_index(self) -> None:
        (self.folder / "index.json").write_bytes(json_text(self.index))

    def rename_pages(self) -> None:
        """Have each page under the digest that a page of its layers has."""
        pages = {}
        for layers in self.document["pages"].values():
            blobs = [Descriptor(LAYER_GZIP, digest, size) for digest, size in layers.items()]
            pages[digest_of(page_manifest(blobs))] = layers
        self.document["pages"] = pages

    def replace_layer(self, environment: str, path: str, change: Callable[[bytes], bytes]) -> None:
        """Change the archive of that layer of an environment that has a file."""
        one = self.document["environments"][environment]
        for number, digest in enumerate(one["layers"]):
            content = gzip.decompress(self.blob(digest))
            with tarfile.open(fileobj=io.BytesIO(content)) as opened:
                if path not in opened.getnames():
                    continue
            new, size = self.put(gzip.compress(change(content)))
            page = next(page for page in self.document["pages"].values() if digest in page)
            del page[digest]
            page[new] = size
            for each in self.document["environments"].values():
                each["layers"] = [new if one == digest else one for one in each["layers"]]
            assert one["layers"][number] == new
            self.rename_pages()
            return
        raise AssertionError(f"no layer has {path}")


def rewritten(content: bytes, change: Callable[[tarfile.TarInfo, bytes], bytes | None]) -> bytes:
    """An archive with each member as `change` has left it, or without it."""
    stream = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(content)) as old,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        for member in old.getmembers():
            file = old.extractfile(member) if member.isreg() else None
            body = change(member, file.read() if file else b"")
            if body is not None:
                member.size = len(body) if member.isreg() else 0
                new.addfile(member, io.BytesIO(body))
    return stream.getvalue()


def with_member(info: tarfile.TarInfo, body: bytes = b"evil") -> Callable[[bytes], bytes]:
    """Adds one member to an archive."""

    def change(content: bytes) -> bytes:
        stream = io.BytesIO()
        with (
            tarfile.open(fileobj=io.BytesIO(content)) as old,
            tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as new,
        ):
            for member in old.getmembers():
                new.addfile(member, old.extractfile(member) if member.isreg() else None)
            info.size = len(body) if info.isreg() else 0
            new.addfile(info, io.BytesIO(body))
        return stream.getvalue()

    return change
