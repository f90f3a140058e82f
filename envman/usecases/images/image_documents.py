"""What goes along with an image: a bill of materials for each environment, and how the image came to be."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import envman
from envman.errors import Problem, UsageError
from envman.image.oci_values import EMPTY, INDEX, MANIFEST, Descriptor, ImageManifest
from envman.image.provenance import MEDIA_TYPE as PROVENANCE
from envman.image.provenance import PREDICATE_TYPE, BaseImage, Builder, Ingredient, Subject, provenance
from envman.image.referrers import EMPTY_BLOB, Document, index, referrer, referrers_tag
from envman.oci.bases import Base
from envman.oci.image_layout import Layout
from envman.packages.bill_of_materials import MEDIA_TYPE as BILL
from envman.spec.image_names import filled_in, parse_reference
from envman.spec.workspace import Workspace
from envman.system.source_date import rfc3339
from envman.usecases.images.image_contents import Held
from envman.usecases.images.image_plan import PlannedImage
from envman.usecases.sbom import generation_bill

ENVIRONMENT = "envman.environment"
PREDICATE = "in-toto.io/predicate-type"


@dataclass(frozen=True)
class Made:
    """An image that was made: what of, on which base, and by which tools besides envman and their versions.

    `epoch` is its time in seconds since 1970.
    """

    manifest: ImageManifest
    wanted: PlannedImage
    base: Base
    held: Mapping[str, Held]
    tools: Mapping[str, str]
    epoch: int

    @property
    def image(self) -> Descriptor:
        """Its manifest, as a layout's index names it."""
        return self.manifest.described()

    @property
    def tag(self) -> str:
        """Its tag, with the placeholders filled in."""
        name, digest = self.wanted.environments[0].name, self.image.digest.partition(":")[2]
        return filled_in(self.wanted.tag, {"environment": name, "digest": digest})


def attach(workspace: Workspace, layout: Layout, made: Made, folder: Path | None) -> None:
    """Put an image's documents beside it in a layout, as its referrers, and into a folder, if there is one.

    Raises EnvmanError.
    """
    documents = tuple(_documents(workspace, made))
    if folder:
        _write(documents, folder)
    layout.put(EMPTY, EMPTY_BLOB)
    listed = []
    for document in documents:
        layout.put(document.media_type, document.content)
        manifest = referrer(document, made.image, rfc3339(made.epoch))
        layout.put(MANIFEST, manifest.to_json())
        listed.append(manifest.described())
    layout.name(referrers_tag(made.image.digest), layout.put(INDEX, index(listed)))


def _write(documents: Sequence[Document], folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for document in documents:
            (folder / document.name).write_bytes(document.content)
    except OSError as error:
        what = f"can't write the documents: {error.strerror}"
        raise UsageError(Problem(str(folder), what, "Name another folder with --documents.")) from None


def _documents(workspace: Workspace, made: Made) -> Iterator[Document]:
    for name, one in made.held.items():
        bill = generation_bill(one.manifest, one.lock_text, one.folder, made.epoch)
        yield Document(f"{name}.cdx.json", BILL, bill, {ENVIRONMENT: name})
    name = made.wanted.environments[0].name if len(made.held) == 1 else "all-in-one"
    yield Document(
        f"{name}.provenance.json", PROVENANCE, _provenance(workspace, made), {PREDICATE: PREDICATE_TYPE}
    )


def _provenance(workspace: Workspace, made: Made) -> bytes:
    versions = {"envman": envman.__version__, **made.tools}
    for one in made.held.values():
        versions |= one.manifest.tools
    asked = made.wanted.base
    return provenance(
        Subject(_repository(made.tag), made.image.digest),
        [_ingredient(workspace, name, one) for name, one in made.held.items()],
        BaseImage(str(asked) if not asked.is_local else asked.scheme, made.base.digest, not asked.is_local),
        Builder(versions),
    )


def _repository(tag: str) -> str:
    """An image's name without its tag: the digest tells which one it is. No path of this machine."""
    reference = parse_reference(tag)
    return reference.scheme if reference.is_local else reference.repository


def _ingredient(workspace: Workspace, name: str, one: Held) -> Ingredient:
    environment = workspace.project.environments[name]
    path = workspace.lock_path(environment).relative_to(workspace.project.directory)
    text = "sha256:" + hashlib.sha256(one.lock_text.encode()).hexdigest()
    return Ingredient(
        environment=name,
        generation=one.manifest.generation,
        spec=one.manifest.spec,
        lock=one.manifest.lock,
        lock_file=path.as_posix(),
        lock_text=text,
    )
