"""SHA-256 of files, each file read once however many names it has."""

from __future__ import annotations

import hashlib
import os

from envman.system.children import CHILDREN


class Digests:
    """Digests of regular files, kept while one command runs; threads may share them.

    A file is known by its inode, size and modification time: environments are hard links of the same files.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[int, int, int, int], str] = {}

    def of(self, path: str, status: os.stat_result | None = None) -> str:
        """The digest of a file's content, in hexadecimal; raises OSError, InterruptedByUserError."""
        status = status or os.lstat(path)
        key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = _read(path)
        return known


def _read(path: str) -> str:
    CHILDREN.look()
    digest = hashlib.sha256()
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # of tens of thousands: without an object for each
    try:
        while block := os.read(descriptor, 1 << 20):
            digest.update(block)
    finally:
        os.close(descriptor)
    return digest.hexdigest()
