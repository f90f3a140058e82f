"""Writing files so that a reader, a crash or a full disk never sees half of one; where the cache is."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

CACHE_VARIABLE = "ENVMAN_CACHE_DIR"


def write_atomic(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a text file whole: into a new file beside it, flushed to the disk, then renamed over the old one.

    Raises OSError; the old file, if there was one, is then untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
        raise


def switch_link(link: Path, target: str) -> None:
    """Point a symbolic link elsewhere by one rename; raises OSError, the old link is then untouched."""
    temporary = link.with_name(f".{link.name}.{os.getpid()}.new")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    temporary.symlink_to(target)
    try:
        temporary.replace(link)
    except OSError:
        temporary.unlink()
        raise


def mark_used(path: Path) -> None:
    """Note that a file or folder of the cache is used now: `envman prune` goes by that. Raises OSError."""
    os.utime(path)


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Where envman keeps what can be made again: ENVMAN_CACHE_DIR, else below XDG_CACHE_HOME."""
    if chosen := environ.get(CACHE_VARIABLE):
        return Path(chosen)
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "envman"
