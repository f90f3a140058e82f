"""Base images on this machine: fetched once for each digest, unpacked once where something is to run in them.

bases/3f9c…/layout/        an OCI layout with the image
bases/3f9c…/root/          its files, unpacked
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envman.errors import ImageError, Problem
from envman.image.oci_values import ImageManifest, checked_digest, digest_of, parse_config, parse_manifest
from envman.oci.image_layout import Layout
from envman.oci.skopeo import Skopeo, layout_reference
from envman.spec.image_names import Reference
from envman.system.files import mark_used, sync_file_system
from envman.system.processes import Processes
from envman.system.waiting import alone

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_NAME = "image"
_UNPACKER = "umoci"


@dataclass(frozen=True)
class Base:
    """A base image: its digest where it came from, its manifest and configuration as OCI has them."""

    name: str
    digest: str
    folder: Path
    manifest: ImageManifest
    config: Mapping[str, Any]

    @property
    def layout(self) -> Path:
        """The layout that holds its blobs."""
        return self.folder / "layout"

    @property
    def root(self) -> Path:
        """Its files, once `unpacked` has made them."""
        return self.folder / "root"

    def environ(self) -> dict[str, str]:
        """The variables that it sets."""
        entries = dict(self.config.get("config") or {}).get("Env") or []
        return dict(entry.split("=", 1) for entry in entries if "=" in entry)

    def size(self) -> int:
        """Bytes of its compressed layers."""
        return sum(layer.size for layer in self.manifest.layers)


def host_architecture() -> str:
    """The architecture of this machine, as images name it."""
    return _ARCHITECTURES.get(platform.machine(), platform.machine())


def fetched(image: Reference, cache: Path, processes: Processes, report: Callable[[str], None]) -> Base:
    """Have a base image on this machine; raises ImageError, OSError.

    Of an index, it is the image for this machine's architecture. `report` gets what takes long.
    """
    skopeo = Skopeo(processes)
    raw = skopeo.raw_manifest(image)
    digest = _for_this_machine(raw, str(image)) or digest_of(raw)
    folder = cache / "bases" / digest.partition(":")[2]
    with _made_once(folder / "layout") as new:
        if new:
            report("its layers")
            source = image if image.is_local else image.with_digest(digest)
            skopeo.copy(source, layout_reference(new, _NAME))
    mark_used(folder)
    layout = Layout(folder / "layout")
    image_digest = layout.names()[_NAME].digest
    manifest = parse_manifest(layout.read(image_digest), str(image))
    config = parse_config(layout.read(manifest.config.digest), str(image))
    _check_platform(str(image), config)
    return Base(str(image), digest, folder, manifest, config)


def _for_this_machine(raw: bytes, name: str) -> str | None:
    """The digest of the image for this machine, where the name stands for an index of several."""
    try:
        listed = json.loads(raw).get("manifests")
        if listed is None:
            return None
        platforms = {
            f"{one['platform']['os']}/{one['platform']['architecture']}": checked_digest(one["digest"])
            for one in reversed(listed)  # of variants, the first is the plain one
            if "platform" in one
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ImageError(Problem(name, f"has no manifest that can be read: {error}", _NAME_ANOTHER)) from None
    wanted = f"linux/{host_architecture()}"
    if wanted not in platforms:
        what = f"there is no image for {wanted}, but for: {', '.join(sorted(platforms)) or 'nothing'}"
        raise ImageError(Problem(name, what, "Build on a machine of that kind, or choose another base."))
    return platforms[wanted]


def _check_platform(name: str, config: Mapping[str, Any]) -> None:
    found = f"{config.get('os')}/{config.get('architecture')}"
    wanted = f"linux/{host_architecture()}"
    if found != wanted:
        what = f"it is for {found}, this machine is {wanted}"
        raise ImageError(Problem(name, what, "Build on a machine of that kind, or choose another base."))


def unpacked(base: Base, processes: Processes, report: Callable[[str], None]) -> Path:
    """Have the files of a base image on this machine; raises ImageError, OSError."""
    with _made_once(base.root) as new:
        if new:
            program = shutil.which(_UNPACKER)
            if program is None:
                what = "umoci is not installed; envman unpacks images with it"
                raise ImageError(Problem(_UNPACKER, what, "Install it: apt-get install umoci"))
            report("unpacking its files")
            command = [program, "raw", "unpack", *([] if os.getuid() == 0 else ["--rootless"])]
            command += ["--image", f"{base.layout}:{_NAME}", str(new)]
            finished = processes.run(command, os.environ, "/")
            if finished.exit_code:
                lines = finished.stderr.strip().splitlines() or finished.stdout.strip().splitlines()
                words = "\n  ".join(line.strip() for line in lines[-5:])
                remedy = "Free space for envman's cache." if "no space" in words else "Read umoci's message."
                raise ImageError(Problem(base.name, f"can't be unpacked\n  {words}", remedy))
    return base.root


@contextlib.contextmanager
def _made_once(folder: Path) -> Iterator[Path | None]:
    """Yields a path to make a folder at, None where it is there; it gets its name once it is whole."""
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)  # its files may let anybody write
    with alone(folder.parent / "lock"):
        if folder.exists():
            yield None
            return
        for left in folder.parent.glob(f".{folder.name}-*"):  # a killed run's
            shutil.rmtree(left, ignore_errors=True)
        new = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            yield new / "it"
            sync_file_system(new)
            (new / "it").replace(folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)


_NAME_ANOTHER = "Name an image."
