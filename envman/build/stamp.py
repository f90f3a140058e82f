"""What tells an interpreter from the one that takes its place, without looking for any."""

from __future__ import annotations

from pathlib import Path


def stamp(executable: str) -> str:
    """Size and modification time (nanoseconds) of an interpreter's file; empty where it is gone."""
    try:
        status = Path(executable).stat()
    except OSError:
        return ""
    return f"{status.st_size}-{status.st_mtime_ns}"
