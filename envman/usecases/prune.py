"""`envman prune`: what of envman's cache no build has used for some days."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from envman.build.bytecode import unused_bytecode
from envman.errors import ImageError, Problem
from envman.image.referrers import is_referrers_tag, referrers_tag
from envman.oci.image_layout import Layout
from envman.release.cached_layers import GATHERED, RELEASES
from envman.system.children import CHILDREN
from envman.system.files import CACHE_VARIABLE, SCRATCH, cache_folder, remove_tree
from envman.system.waiting import take_lock

DAY = 86400.0


class What(str, Enum):
    """What a cache holds."""

    IMAGE = "image"
    LAYERS = "layers"
    BASE = "base"
    ENVIRONMENTS = "environments"
    VIRTUALENV = "virtualenv"
    BYTECODE = "bytecode"
    SOURCE = "source"
    WHEEL = "wheel"
    METADATA = "metadata"
    SCRATCH = "scratch"


_BY_FOLDER = {
    "bases": What.BASE,
    "roots": What.ENVIRONMENTS,
    "virtualenv": What.VIRTUALENV,
    "sources": What.SOURCE,
    "wheels": What.WHEEL,
    "metadata": What.METADATA,
    SCRATCH: What.SCRATCH,  # what a killed command has left
}
"""Folders of the cache whose entries are used as a whole, and touched then."""


@dataclass(frozen=True)
class Unused:
    """Something that has not been used for `days`; of files, `size` is in bytes.

    Files of images count as layers: several images may share one.
    """

    what: What
    name: str
    size: int
    days: int


@dataclass(frozen=True)
class PruneOutcome:
    """What went, or would go, and the folder of the cache."""

    folder: str
    unused: tuple[Unused, ...]


def prune(days: int, dry_run: bool) -> PruneOutcome:
    """Remove what was not used for so many days, or only say what that is.

    Tags of images go with their documents. A build that runs meanwhile has used what it needs. Raises
    ImageError.
    """
    cache = cache_folder(os.environ)
    before = time.time() - days * DAY
    if not cache.is_dir():
        return PruneOutcome(str(cache), ())
    try:
        _check_folders(cache)
        with _alone(cache):
            found = [*_images(cache, before, dry_run), *_releases(cache, before, dry_run)]
            for name, what in _BY_FOLDER.items():
                found += _folders(cache / name, what, before, dry_run)
            found += _files(What.BYTECODE, unused_bytecode(cache, before), dry_run)
    except OSError as error:
        why = f"can't be pruned: {error.strerror or error}"
        raise ImageError(Problem(error.filename or str(cache), why, "Look at its owner.")) from None
    return PruneOutcome(str(cache), tuple(found))


_OF_IMAGES = ("images", "images/blobs", "images/blobs/sha256")
_OF_RELEASES = (RELEASES, f"{RELEASES}/blobs", f"{RELEASES}/blobs/sha256")


def _check_folders(cache: Path) -> None:
    """Raises ImageError where a folder of the cache is a link: what it leads to may be anybody's."""
    for name in (*_OF_IMAGES, *_OF_RELEASES, "bytecode", *_BY_FOLDER):
        if (cache / name).is_symlink():
            remedy = f"Remove it; to have the cache elsewhere, set {CACHE_VARIABLE}."
            raise ImageError(Problem(str(cache / name), "is a link, and has to be a folder", remedy))


@contextlib.contextmanager
def _alone(cache: Path) -> Iterator[None]:
    """Wait for another prune of this cache to end, and keep others waiting."""
    folder = os.open(cache, os.O_RDONLY | os.O_DIRECTORY)
    try:
        take_lock(folder, cache)
        yield
    finally:
        os.close(folder)


def _images(cache: Path, before: float, dry_run: bool) -> Iterator[Unused]:
    if not (cache / "images").is_dir():
        return
    layout = Layout(cache / "images")
    names = layout.names()
    built = {name: layout.path(one.digest).stat().st_mtime for name, one in names.items() if layout.has(one)}
    old = {name for name in names if not is_referrers_tag(name) and built.get(name, 0.0) < before}
    kept = {referrers_tag(one.digest) for name, one in names.items() if name not in old}
    documents = {name for name in names if is_referrers_tag(name) and name not in kept}
    for name in sorted(old):
        yield Unused(What.IMAGE, name, 0, _days(built.get(name, 0.0)))
    if not dry_run:
        layout.forget(old | documents)
    yield from _files(What.LAYERS, layout.unneeded(old | documents, before), dry_run)


def _releases(cache: Path, before: float, dry_run: bool) -> Iterator[Unused]:
    """Layers and documents of releases; none has a name there. With what killed pushes have gathered."""
    if (cache / RELEASES).is_dir():
        yield from _files(What.LAYERS, Layout(cache / RELEASES).unneeded((), before), dry_run)
        for left in () if dry_run else (cache / RELEASES).glob(f"{GATHERED}*"):
            if left.lstat().st_mtime < before:
                remove_tree(left)


def _folders(parent: Path, what: What, before: float, dry_run: bool) -> Iterator[Unused]:
    for folder in sorted(parent.iterdir()) if parent.is_dir() else ():
        CHILDREN.look()
        used = folder.lstat().st_mtime
        if folder.is_symlink() or not folder.is_dir() or used >= before:
            continue
        files = (one for one in folder.rglob("*") if one.is_file() and not one.is_symlink())
        size = sum(one.stat().st_size for one in files)
        if not dry_run:
            gone = parent / f"{_GONE}{folder.name.removeprefix(_GONE)}"
            shutil.rmtree(folder.rename(gone))  # one that is half removed is not taken for whole
        yield Unused(what, folder.name.removeprefix(_GONE), size, _days(used))


_GONE = ".gone-"


def _files(what: What, paths: Iterable[Path], dry_run: bool) -> Iterator[Unused]:
    """Files of a kind as one entry, with the age of the youngest."""
    sizes: list[int] = []
    youngest = 0.0
    for path in paths:
        CHILDREN.look()
        status = path.stat()
        sizes.append(status.st_size)
        youngest = max(youngest, status.st_mtime)
        if not dry_run:
            path.unlink()
    if sizes:
        yield Unused(what, f"{len(sizes)} files", sum(sizes), _days(youngest))


def _days(moment: float) -> int:
    return max(0, int((time.time() - moment) / DAY))
