"""Write a layer's entries as files of a folder, for tools that make layers themselves."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from envman.image.entries import Entry, Kind
from envman.system.children import CHILDREN


def write_folder(entries: Iterable[Entry], target: Path, epoch: int) -> int:
    """Write ordered entries below a folder; all times are `epoch`, seconds since 1970.

    Returns the bytes of the files; links count nothing. Owners stay those of this process. Raises OSError.
    """
    size = 0
    listed = list(entries)
    for entry in listed:
        CHILDREN.look()
        _write(entry, target)
        size += entry.size if entry.kind is Kind.FILE else 0
    for entry in reversed(listed):  # a folder after what stands in it
        if entry.kind is not Kind.HARD_LINK:
            os.utime(target / entry.path, (epoch, epoch), follow_symlinks=False)
    return size


def _write(entry: Entry, target: Path) -> None:
    path = target / entry.path
    path.parent.mkdir(parents=True, exist_ok=True)
    if entry.kind is Kind.FOLDER:
        path.mkdir(exist_ok=True)
    elif entry.kind is Kind.SYMBOLIC_LINK:
        path.symlink_to(entry.target)
        return
    elif entry.kind is Kind.HARD_LINK:
        path.hardlink_to(target / entry.target)
        return
    elif entry.content is not None:
        path.write_bytes(entry.content)
    else:
        shutil.copyfile(entry.source, path)
    path.chmod(entry.mode)
