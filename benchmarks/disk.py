"""Disk space of a folder: the blocks of its inodes, each counted once however many names it has."""

from __future__ import annotations

import os
import stat
from collections import Counter
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Disk:
    """Bytes: `total` of all inodes, `own` of those without a hard link elsewhere, such as in uv's cache."""

    total: int
    own: int


def disk(folder: Path) -> Disk:
    """Measure a folder and everything below it; symbolic links are not followed."""
    names: Counter[tuple[int, int]] = Counter()
    inodes: dict[tuple[int, int], os.stat_result] = {}
    for parent, folders, files in os.walk(folder):
        for path in [parent, *(f"{parent}/{name}" for name in [*files, *folders])]:
            status = os.lstat(path)
            if path != parent and stat.S_ISDIR(status.st_mode):
                continue  # its turn comes
            key = (status.st_dev, status.st_ino)
            names[key] += 1
            inodes[key] = status
    total = own = 0
    for key, status in inodes.items():
        total += status.st_blocks * 512
        if stat.S_ISDIR(status.st_mode) or status.st_nlink <= names[key]:
            own += status.st_blocks * 512
    return Disk(total, own)
