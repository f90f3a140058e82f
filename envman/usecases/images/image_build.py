"""`envman image build`: environments into images, without a daemon and without being root.

The environments are built for the base image, below a root folder that is kept for it: what is there and
unchanged is not built again. The image is the base's layers, one with the launcher and one with environments.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from envman.build.bytecode import Bytecode, Compiler
from envman.image.entries import Entry, in_order
from envman.image.launcher import settings
from envman.image.oci_values import CONFIG, ImageManifest, Layer, configured
from envman.oci.bases import fetched, unpacked
from envman.oci.image_layout import Layout
from envman.oci.layer import compressor
from envman.oci.layers import LayerStore
from envman.packages.bill_of_materials import check_library
from envman.spec.image_names import Reference
from envman.spec.project import Environment
from envman.spec.workspace import Workspace
from envman.store.folder import Store
from envman.system.digests import Digests
from envman.system.events import Event, Report, Stage
from envman.system.files import cache_folder
from envman.system.side_by_side import default_jobs
from envman.system.source_date import rfc3339, source_date
from envman.usecases.build import BuildOptions, build
from envman.usecases.images import image_contents as contents
from envman.usecases.images.base_machine import ROOT, BaseMachine, base_machine
from envman.usecases.images.base_packages import check_packages
from envman.usecases.images.host_machine import host_machine
from envman.usecases.images.image_documents import Made
from envman.usecases.images.image_outcome import ImageOutcome, LayerOutcome, keep
from envman.usecases.images.image_plan import ImageOptions, PlannedImage, plan_images


def build_images(
    workspace: Workspace, names: Iterable[str], options: ImageOptions, report: Report
) -> tuple[ImageOutcome, ...]:
    """Build an image for each environment, or one for all; all environments where none is named.

    The images are in envman's cache, under their tags. Raises UsageError, LockError, BuildError, ImageError.
    """
    wanted = plan_images(workspace, names, options)
    compressor(options.compression)
    check_library()
    outcomes: list[ImageOutcome] = []
    for base in dict.fromkeys(image.base for image in wanted):
        images = [image for image in wanted if image.base == base]
        with _prepared(workspace, base, options, report) as builder:
            builder.check_packages(one for image in images for one in image.environments)
            builder.build(one for image in images for one in image.environments)
            outcomes += [builder.image(image) for image in images]
    return tuple(outcomes)


@contextlib.contextmanager
def _prepared(
    workspace: Workspace, reference: Reference, options: ImageOptions, report: Report
) -> Iterator[ImageBuilder]:
    """A base that is fetched and unpacked, and ready to build in."""
    cache = cache_folder(os.environ)
    label = f"base {reference}"

    def said(what: str) -> None:
        report(Event(label, Stage.FETCHING, what))

    base = fetched(reference, cache, workspace.processes, said)
    unpacked(base, workspace.processes, said)
    epoch = source_date(base.config.get("created"), os.environ)
    if options.on_host:
        machine = host_machine(base, cache, options.source, epoch)
    else:
        machine = base_machine(base, cache, workspace.processes, options.source, epoch)
    pythons = ", ".join(one.describe() for one in machine.found.found)
    report(Event(label, Stage.DONE, f"{base.size() / 1e6:.0f} MB, {pythons}"))
    with TemporaryDirectory(prefix=".launcher-", dir=machine.root) as launcher:
        contents.stage_launcher(Path(launcher))
        yield ImageBuilder(workspace, machine, Path(launcher), epoch, options, report)


class ImageBuilder:
    """Builds the images of one base."""

    def __init__(
        self,
        workspace: Workspace,
        machine: BaseMachine,
        launcher: Path,
        epoch: int,
        options: ImageOptions,
        report: Report,
    ) -> None:
        self._workspace = workspace
        self._machine = machine
        self._launcher = launcher
        self._epoch = epoch
        self._options = options
        self._report = report
        self._digests = Digests()
        layout = Layout(cache_folder(os.environ) / "images")
        self._layers = LayerStore(layout, epoch, options.compression, default_jobs())
        self._generations: dict[str, str] = {}

    def check_packages(self, environments: Iterable[Environment]) -> None:
        """Raises ImageError where the base lacks Debian packages that an environment needs."""
        check_packages(self._machine.base, environments)

    def build(self, environments: Iterable[Environment]) -> None:
        """Build environments for the base; raises the errors of all of them as one."""
        there = replace(self._workspace.at_root(str(self._machine.root)), processes=self._machine.processes)
        options = BuildOptions(self._options.source, self._options.jobs, self._machine)
        outcomes = build(there, (one.name for one in environments), options, self._report)
        outcomes.raise_errors()
        self._generations |= {one.environment: one.generation for one in outcomes.results}

    def image(self, wanted: PlannedImage) -> ImageOutcome:
        """Put one image together, into envman's cache."""
        started = time.monotonic()
        base, layout = self._machine.base, self._layers.layout
        held = contents.held(self._workspace, Store(str(self._machine.root)), self._chosen(wanted))
        table = self._workspace.table_of([one.name for one in wanted.environments])
        parts = [
            self._layer(wanted, "launcher", self._launcher_entries()),
            self._layer(
                wanted,
                "environments",
                contents.environment_entries(held, ROOT, table, self._epoch, self._digests),
            ),
        ]
        for blob in base.manifest.layers:
            layout.take(blob, Layout(base.layout))
        created = rfc3339(self._epoch)
        said = settings(base.config, ROOT, contents.facts(held, base.digest).labels(), created)
        config = layout.put(CONFIG, configured(base.config, [layer for layer, _ in parts], said))
        manifest = ImageManifest(config, (*base.manifest.layers, *(layer.blob for layer, _ in parts)))
        tools = {"compressor": self._options.compression.describe()}
        made = Made(manifest, wanted, base, held, tools, self._epoch)
        layers, documents = [layer for _, layer in parts], self._options.documents
        outcome = keep(self._workspace, layout, made, layers, documents, started)
        self._report(Event(wanted.name, Stage.DONE, outcome.describe()))
        return outcome

    def _chosen(self, wanted: PlannedImage) -> dict[str, str]:
        return {one.name: self._generations[one.name] for one in wanted.environments}

    def _launcher_entries(self) -> list[Entry]:
        machine = self._machine
        python = machine.newest()
        bytecode = Bytecode(machine.cache, self._digests, default_jobs())
        compiler = Compiler(Path(python.executable), machine.processes, default_jobs())
        bytecode.store(python).fill(self._launcher, compiler, lambda _files: None)
        return contents.launcher_entries(self._launcher, machine.base, python, self._digests)

    def _layer(self, wanted: PlannedImage, note: str, entries: Iterable[Entry]) -> tuple[Layer, LayerOutcome]:
        started = time.monotonic()
        self._report(Event(wanted.name, Stage.PACKING, f"layer of the {note}"))
        layer, reused = self._layers.layer(list(in_order(entries)), f"envman: {note}")
        seconds = round(time.monotonic() - started, 3)
        how = "unchanged" if reused else f"{seconds:.1f} s"
        self._report(Event(wanted.name, Stage.PACKING, f"{note}: {layer.blob.size / 1e6:.1f} MB, {how}"))
        return layer, LayerOutcome(note, layer.blob.digest, layer.blob.size, seconds, reused)
