"""The folders of generations: which are there, which are whole, how one goes."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from envman.generation.manifest import Manifest, parse_manifest
from envman.store import layout
from envman.store.locks import try_locked


def list_generations(root: str) -> list[str]:
    """The identifiers of all generations, whole or not, sorted."""
    folder = Path(root) / layout.GENERATIONS
    if not folder.is_dir():
        return []
    return sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith(layout.TRASH_PREFIX))


def is_whole(root: str, generation: str) -> bool:
    """Whether the generation's manifest stands."""
    return Path(layout.manifest_path(root, generation)).is_file()


def read_manifest(root: str, generation: str) -> Manifest | None:
    """The generation's manifest, None if it is not whole; raises StoreError for a damaged one."""
    path = Path(layout.manifest_path(root, generation))
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return None
    return parse_manifest(text, str(path))


def discard_generation(root: str, generation: str) -> None:
    """Take a generation out of its place, by one rename; `remove_leftovers` deletes its files."""
    folder = Path(layout.generation_path(root, generation))
    folder.rename(folder.with_name(f"{layout.TRASH_PREFIX}{generation}-{os.getpid()}-{time.time_ns()}"))


def remove_leftovers(root: str) -> list[str]:
    """Remove what killed builds and collections left, unless somebody is at work there; returns the names."""
    folder = Path(root) / layout.GENERATIONS
    removed: list[str] = []
    for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
        if entry.name.startswith(layout.TRASH_PREFIX):
            shutil.rmtree(entry, ignore_errors=True)  # somebody else may be removing it at this moment
            removed.append(entry.name)
        elif not is_whole(root, entry.name):
            with try_locked(Path(layout.lock_path(root, entry.name))) as free:
                if free and not is_whole(root, entry.name):
                    shutil.rmtree(entry)
                    removed.append(entry.name)
    for stray in Path(root).glob(".*.new") if folder.is_dir() else ():
        stray.unlink(missing_ok=True)
    return removed


def generation_name(root: str, identifier: str, rebuild: bool) -> str:
    """The folder's name for an identifier: itself, or with a number where it was rebuilt on demand."""
    numbers = [
        int(name[len(identifier) + 1 :] or 1)
        for name in list_generations(root)
        if name == identifier or (name.startswith(f"{identifier}-") and name[len(identifier) + 1 :].isdigit())
    ]
    number = max(numbers, default=0 if rebuild else 1) + (1 if rebuild else 0)
    return identifier if number == 1 else f"{identifier}-{number}"
