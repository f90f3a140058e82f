"""Layers that a host has already: in generations that were pulled, each of which has a record of them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from envman.release.layer_record import LayerFile, parse_head, parse_record
from envman.store import layout
from envman.store.folder import Store
from envman.store.locks import lived_in

_LARGEST_HEAD = 2**24
_REMEMBERED = 3
"""Generations whose files are kept in memory: neighbours have most layers in common."""


class KnownLayers:
    """The layers of those generations below a root folder that are complete and were pulled.

    While it is open, `gc` leaves those alone whose files are used. A generation whose record can't be read
    has none: then a layer is fetched again, and nothing is lost. Raises OSError.
    """

    def __init__(self, store: Store, generations: Iterable[str]) -> None:
        self._store = store
        self._having: dict[str, list[str]] = {}
        self._files: dict[str, dict[str, tuple[LayerFile, ...]]] = {}
        self._fit: dict[tuple[str, str], bool] = {}
        self._held: dict[str, contextlib.ExitStack] = {}
        for generation in generations:
            self.add(generation)

    def __enter__(self) -> KnownLayers:
        return self

    def __exit__(self, *_: object) -> None:
        while self._held:
            self._held.popitem()[1].close()

    @contextlib.contextmanager
    def let_go(self, generation: str) -> Iterator[None]:
        """Hold a generation no more meanwhile, for who needs to be alone there. The caller holds its
        builder's lock, without which `gc` removes nothing.
        """
        held = self._held.pop(generation, None)
        if held is not None:
            held.close()
        yield
        if held is not None:
            self._hold(generation)

    def add(self, generation: str) -> None:
        """Count a generation's layers among those that are there."""
        with contextlib.suppress(OSError, ValueError):
            folder = self._store.folder(generation)
            if not Path(layout.manifest_path(self._store.root, generation)).exists():
                return
            with (folder / layout.LAYERS).open(encoding="utf-8") as stream:
                head = parse_head(stream.readline(_LARGEST_HEAD))
            for layer in head.layers:
                self._having.setdefault(layer, []).append(generation)

    def lacking(self, layers: Iterable[str], likely: str | None) -> list[str]:
        """Those layers that no generation has as its record says; a `likely` one is looked at first."""
        if likely in {one for having in self._having.values() for one in having}:
            self._listed(str(likely))
        return [layer for layer in layers if self.find(layer) is None]

    def find(self, layer: str) -> tuple[str, tuple[LayerFile, ...]] | None:
        """A generation's folder that has the files of a layer, as they were listed, and those files.

        Those whose lists are in memory come first.
        """
        generations = self._having.get(layer, [])
        for generation in sorted(generations, key=lambda one: one not in self._files):
            files = self._listed(generation).get(layer)
            if files is not None and self._is_fit(generation, layer, files):
                return str(self._store.folder(generation)), files
        return None

    def _listed(self, generation: str) -> Mapping[str, tuple[LayerFile, ...]]:
        if generation not in self._files:
            while len(self._files) >= _REMEMBERED:
                self._files.pop(next(iter(self._files)))
            self._files[generation] = self._read(generation)
        return self._files[generation]

    def _read(self, generation: str) -> dict[str, tuple[LayerFile, ...]]:
        """The files of a generation's layers; none where they can't be relied on."""
        folder = self._store.folder(generation)
        try:
            self._hold(generation)
            manifest = self._store.manifest(generation)
            listing = (folder / layout.FILES).read_bytes()
            if manifest is None or not manifest.was_made_for(listing):
                return {}
            return parse_record((folder / layout.LAYERS).read_text(encoding="utf-8"), listing.decode())
        except (OSError, ValueError):
            return {}

    def _hold(self, generation: str) -> None:
        if generation not in self._held:
            with contextlib.ExitStack() as stack:
                stack.enter_context(lived_in(Path(layout.manifest_path(self._store.root, generation))))
                self._held[generation] = stack.pop_all()

    def _is_fit(self, generation: str, layer: str, files: tuple[LayerFile, ...]) -> bool:
        key = generation, layer
        if key not in self._fit:
            folder = str(self._store.folder(generation))
            self._fit[key] = all(_is_there(folder, file) for file in files)
        return self._fit[key]


def _is_there(folder: str, file: LayerFile) -> bool:
    """Whether a file has the type, mode and size that its list says; a link, its target. It is not read."""
    path = f"{folder}/{file.path}"
    try:
        status = os.lstat(path)
        if f"{status.st_mode:o}" != file.mode:
            return False
        if stat.S_ISLNK(status.st_mode):
            target = os.fsencode(os.readlink(path))  # noqa: PTH115  # of tens of thousands: no Path for each
            return hashlib.sha256(target).hexdigest() == file.digest
        return stat.S_ISDIR(status.st_mode) or (stat.S_ISREG(status.st_mode) and status.st_size == file.size)
    except OSError:
        return False


def stamp_on_this_host(store: Store, generation: str) -> str:
    """What the base interpreter's file was on this host when a generation was pulled; empty where it was not.

    See `build.stamp`: the manifest has what it was on the host that has built it.
    """
    with (
        contextlib.suppress(OSError, ValueError),
        (store.folder(generation) / layout.LAYERS).open(encoding="utf-8") as stream,
    ):
        return parse_head(stream.readline(_LARGEST_HEAD)).stamp
    return ""
