"""uv's cache after a power cut.

uv renames what it has unpacked into its cache, without flushing it to the disk. After a power cut the names
can be there and the contents gone: uv then installs empty files, or fails, until somebody cleans its cache.
So the first run of uv after a boot checks what was unpacked since the mark of the last one, and has uv forget
the packages that are damaged.
"""

from __future__ import annotations

import base64
import csv
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from envman.system.children import CHILDREN
from envman.system.files import write_atomic
from envman.system.waiting import alone

BOOT = Path("/proc/sys/kernel/random/boot_id")


def mend_after_boot(
    mark: Path,
    find_cache: Callable[[], Path | None],
    forget: Callable[[Sequence[str]], None],
    boot: Path = BOOT,
) -> list[str]:
    """Have uv forget what a power cut has damaged, once after each boot; returns the packages' names.

    `mark` is a file that remembers the boot; `forget` takes packages out of uv's cache. Raises OSError.
    """
    try:
        now = boot.read_text(encoding="ascii")
    except OSError:  # a sandbox without /proc: nothing tells boots apart
        return []
    if _read(mark) == now:
        return []
    with alone(mark.with_name(f"{mark.name}.lock")):
        if (before := _read(mark)) == now:  # somebody else has done it meanwhile
            return []
        cache = find_cache() if before is not None else None
        damaged = sorted(set(damaged_packages(cache, mark.stat().st_mtime))) if cache else []
        if damaged:
            forget(damaged)
        write_atomic(mark, now)
    return damaged


def _read(mark: Path) -> str | None:
    try:
        return mark.read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return None


def damaged_packages(cache: Path, since: float) -> Iterator[str]:
    """Names of packages that uv has unpacked since a moment, and that are not as they were packed."""
    for archive in cache.glob("archive-v*/*"):
        if archive.stat().st_ctime < since:
            continue
        CHILDREN.look()
        for information in archive.glob("*.dist-info"):
            if not _is_as_packed(archive, information / "RECORD"):
                yield information.name.partition("-")[0]


def _is_as_packed(archive: Path, record: Path) -> bool:
    """Whether the files of an unpacked wheel are as its RECORD says (PEP 376, PEP 427)."""
    try:
        with record.open(encoding="utf-8", errors="replace", newline="") as stream:
            rows = [row for row in csv.reader(stream) if len(row) == 3]
    except FileNotFoundError:
        return False
    return bool(rows) and all(_is_same(archive / path, digest, size) for path, digest, size in rows)


def _is_same(file: Path, digest: str, size: str) -> bool:
    """By the size, which is what a power cut takes; by the digest where a sloppy RECORD has another size."""
    try:
        if not size or file.lstat().st_size == int(size):
            return True
        algorithm, _, value = digest.partition("=")
        found = hashlib.new(algorithm, file.read_bytes()).digest()
    except (OSError, ValueError):
        return False
    return base64.urlsafe_b64encode(found).rstrip(b"=").decode() == value
