"""`envman image build --engine buildah|podman|docker`: runs the Containerfile that `containerfile` prints."""

from __future__ import annotations

import os
import shutil
import tarfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from envman.build.venv import portable_virtualenv
from envman.errors import Problem, UsageError
from envman.image.containerfile import containerfile_text
from envman.image.launcher import FOLDER
from envman.image.oci_values import (
    CONFIG,
    LAYER_GZIP,
    Descriptor,
    ImageManifest,
    canonical,
    parse_config,
    parse_manifest,
)
from envman.lock.lock_state import check_states, lock_state
from envman.oci.bases import Base, fetched
from envman.oci.engines import RESULT, Engine, Job, Tool, spoken
from envman.oci.image_layout import Layout
from envman.oci.layer import Compression
from envman.packages.bill_of_materials import check_library
from envman.spec.image_names import Reference
from envman.spec.workspace import Workspace
from envman.store import layout as places
from envman.store.manifest import Manifest
from envman.store.manifest import parse_manifest as parse_generation
from envman.system.children import CHILDREN
from envman.system.events import Event, Report, Stage
from envman.system.files import cache_folder
from envman.system.source_date import rfc3339, source_date
from envman.usecases.images import image_contents as contents
from envman.usecases.images.base_machine import ROOT
from envman.usecases.images.build_secrets import write_build_secrets
from envman.usecases.images.image_containerfile import ContextTools, context_files, recipe
from envman.usecases.images.image_documents import Made
from envman.usecases.images.image_outcome import ImageOutcome, LayerOutcome, keep
from envman.usecases.images.image_plan import ImageOptions, PlannedImage, plan_images
from envman.usecases.images.own_wheel import write_own_wheel

TOOLS_FOLDER = ".envman"
"""The folder of a build context with what makes environments."""


def build_images_with(
    workspace: Workspace, names: Iterable[str], options: ImageOptions, engine: Engine, report: Report
) -> tuple[ImageOutcome, ...]:
    """Build an image for each environment, or one for all, with a tool of this machine.

    The images are in envman's cache, under their tags, as those of envman's own engine are. Raises
    UsageError, LockError, PolicyError, ImageError.
    """
    _check_options(options)
    wanted = plan_images(workspace, names, options)
    check_library()
    check_states(lock_state(workspace, one) for image in wanted for one in image.environments)
    builder = _Builder(workspace, Tool(engine, workspace.processes), options, report)
    return tuple(builder.image(image) for image in wanted)


def _check_options(options: ImageOptions) -> None:
    """Raises UsageError for what only envman's own engine can do."""
    own = {
        "--offline": options.source.offline,
        "--wheelhouse": options.source.wheelhouse is not None,
        "--compression": options.compression is not Compression.GZIP,
        "--on-host": options.on_host,
    }
    if asked := [name for name, value in own.items() if value]:
        remedy = "Leave it away, or build with --engine envman."
        raise UsageError(Problem(", ".join(asked), "only envman's own engine can do that", remedy))


@dataclass(frozen=True)
class _Parts:
    """What a tool has made, taken over: configuration, layers, and the environments that they hold."""

    config: Mapping[str, Any]
    layers: tuple[Descriptor, ...]
    outcomes: tuple[LayerOutcome, ...]
    held: Mapping[str, contents.Held]


@dataclass(frozen=True)
class _Found:
    """What stands in a layer: a name for it, and the generations of environments where it holds some."""

    note: str
    generations: Mapping[str, Manifest]


class _Builder:
    """Builds images with one tool."""

    def __init__(self, workspace: Workspace, tool: Tool, options: ImageOptions, report: Report) -> None:
        self._workspace = workspace
        self._tool = tool
        self._options = options
        self._report = report
        self._cache = cache_folder(os.environ)
        self._layout = Layout(self._cache / "images")

    def image(self, wanted: PlannedImage) -> ImageOutcome:
        """Build one image, into envman's cache."""
        started = time.monotonic()

        def said(what: str) -> None:
            self._report(Event(wanted.name, Stage.FETCHING, what))

        base = fetched(wanted.base, self._cache, self._workspace.processes, said)
        with TemporaryDirectory(prefix="envman-image-") as name:
            folder = Path(name)
            job = self._job(wanted, base, folder)
            identifier = self._tool.build(job, self._progress(wanted))
            self._report(Event(wanted.name, Stage.PACKING, f"taking it from {self._tool.engine.value}"))
            saved = self._tool.save(identifier, folder)
            parts = self._take(base, saved, wanted.name, folder / "found")
            made = self._made(wanted, base, parts)
            documents = self._options.documents
            outcome = keep(self._workspace, self._layout, made, parts.outcomes, documents, started)
            self._report(Event(wanted.name, Stage.DONE, outcome.describe()))
            return outcome

    def _job(self, wanted: PlannedImage, base: Base, folder: Path) -> Job:
        context = folder / "context"
        tools = context / TOOLS_FOLDER
        tools.mkdir(parents=True)
        wheel = write_own_wheel(tools)
        shutil.copytree(portable_virtualenv(self._cache), tools / "virtualenv")
        directory = Path(self._workspace.project.directory)
        for path in context_files(self._workspace):
            (context / path).parent.mkdir(parents=True, exist_ok=True)
            if (directory / path).is_dir():
                shutil.copytree(
                    directory / path, context / path, symlinks=True
                )  # as they are: links stay links
            else:
                (context / path).write_text(self._workspace.files.read(path), encoding="utf-8")
        made = recipe(
            self._workspace,
            wanted.environments,
            self._base_name(wanted.base, base, folder),
            base.config,
            ContextTools(f"{TOOLS_FOLDER}/{wheel.name}", f"{TOOLS_FOLDER}/virtualenv"),
        )
        (context / "Containerfile").write_text(containerfile_text(made), encoding="utf-8")
        secrets = write_build_secrets(folder, os.environ, self._workspace.project.uv_config)
        options = self._options.engine_options
        if wanted.base.is_loopback and self._tool.engine is not Engine.DOCKER:
            options = ("--tls-verify=false", *options)  # docker asks for no certificate there anyway
        return Job(context, secrets, options, made.epoch)

    def _base_name(self, image: Reference, base: Base, folder: Path) -> Reference:
        """How the Containerfile names the base; a file or folder is given to the tool first."""
        if not image.is_local:
            return image.with_digest(base.digest)
        name = f"localhost/envman-base:{base.digest.partition(':')[2][:12]}"
        return Reference("containers-storage", self._tool.load(base.layout, name, folder))

    def _progress(self, wanted: PlannedImage) -> Callable[[str], None]:
        def on_line(line: str) -> None:
            if text := spoken(line):
                self._report(Event(wanted.name, Stage.INSTALLING, text))

        return on_line

    def _take(self, base: Base, made: Layout, name: str, folder: Path) -> _Parts:
        """Take over an image's layers; the base's as the base has them, not packed anew."""
        manifest = parse_manifest(made.read(made.names()[RESULT].digest), name)
        config = parse_config(made.read(manifest.config.digest), name)
        blobs = dict(zip(base.config["rootfs"]["diff_ids"], base.manifest.layers, strict=True))
        layers: list[Descriptor] = []
        outcomes: list[LayerOutcome] = []
        generations: dict[str, Manifest] = {}
        for diff_id, layer in zip(config["rootfs"]["diff_ids"], manifest.layers, strict=True):
            of_base = blobs.get(diff_id) if len(layers) < len(blobs) else None
            reused = self._layout.has(layer)
            self._layout.take(of_base or layer, Layout(base.layout) if of_base else made)
            layers.append(of_base or replace(layer, annotations={}))
            if of_base is None:
                found = _look_into(self._layout.path(layer.digest), layer, folder)
                generations |= found.generations
                outcomes.append(LayerOutcome(found.note, layer.digest, layer.size, 0.0, reused))
        return _Parts(config, tuple(layers), tuple(outcomes), self._held(generations, folder))

    def _held(self, generations: Mapping[str, Manifest], folder: Path) -> dict[str, contents.Held]:
        environments, held = self._workspace.project.environments, {}
        for name, one in sorted(generations.items()):
            lock = self._workspace.lock_path(environments[name]).read_text(encoding="utf-8")
            path = Path(places.generation_path(f"{folder}{ROOT}", one.generation))
            held[name] = contents.Held(path, replace(one, environment=name), lock)
        return held

    def _made(self, wanted: PlannedImage, base: Base, parts: _Parts) -> Made:
        """The image with the labels that envman's own engine gives, and the same time."""
        epoch = source_date(base.config.get("created"), os.environ)
        said = dict(parts.config.get("config") or {})
        labels = {**(said.get("Labels") or {}), **contents.facts(parts.held, base.digest).labels()}
        said["Labels"] = dict(sorted(labels.items()))
        config = {**parts.config, "config": said, "created": rfc3339(epoch)}
        manifest = ImageManifest(self._layout.put(CONFIG, canonical(config)), parts.layers)
        tools = {self._tool.engine.value: self._tool.version()}
        return Made(manifest, wanted, base, parts.held, tools, epoch)


def _look_into(blob: Path, layer: Descriptor, folder: Path) -> _Found:
    """What stands in a layer that a tool has made; the packages' metadata is written below a folder."""
    inside = ROOT.strip("/")
    links: dict[str, str] = {}
    manifests: dict[str, Manifest] = {}
    note = "base"
    with tarfile.open(blob, "r:gz" if layer.media_type == LAYER_GZIP else "r:*") as archive:
        for entry in archive:
            CHILDREN.look()
            parent, _, name = entry.name.rpartition("/")
            if entry.name == inside or entry.name == FOLDER.strip("/"):
                note = "environments" if entry.name == inside else "launcher"
            if parent == inside and entry.issym():
                links[name] = entry.linkname.rpartition("/")[2]
            elif name == places.MANIFEST and parent.startswith(f"{inside}/{places.GENERATIONS}/"):
                stream = archive.extractfile(entry)
                text = stream.read().decode() if stream else ""
                manifests[parent.rpartition("/")[2]] = parse_generation(text, entry.name)
            elif name == "METADATA" and parent.endswith(".dist-info"):
                _extract(archive, entry, folder)
    found = {name: manifests[one] for name, one in links.items() if one in manifests}
    return _Found(note, found)


def _extract(archive: tarfile.TarFile, entry: tarfile.TarInfo, folder: Path) -> None:
    """Write a file below a folder; one that names a place outside of it, or links there, is left out."""
    names = (entry.name, entry.linkname)
    if any(".." in name.split("/") or name.startswith("/") for name in names):
        return
    target = folder / entry.name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)  # a name that is there twice
    if entry.islnk() and (folder / entry.linkname).is_file():  # to go back in an archive is slow
        target.hardlink_to(folder / entry.linkname)
    elif stream := archive.extractfile(entry):
        target.write_bytes(stream.read())
