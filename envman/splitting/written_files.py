"""Write new files and replace known ones, all or none."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from envman.errors import Problem, UsageError
from envman.system.files import sync_folder, write_atomic


def write_new_files(folder: Path, new: Mapping[str, str], replaced: Mapping[str, str]) -> None:
    """Write files that must not be there yet, then replace others; where one fails, the new ones go again.

    Raises UsageError for each file that is there, OSError.
    """
    remedy = "Nothing was written. Move it away, or give the new environments other names: --prefix"
    if there := [path for path in new if os.path.lexists(folder / path)]:
        raise UsageError(Problem(path, "is there already", remedy) for path in there)
    made: list[Path] = []
    try:
        for path, text in new.items():
            _create(folder / path, text, remedy)
            made.append(folder / path)
        for path, text in replaced.items():
            write_atomic(folder / path, text)
    except BaseException:
        for file in made:
            with contextlib.suppress(OSError):
                file.unlink()
        raise


def _create(file: Path, text: str, remedy: str) -> None:
    """Write a file whole, unless there is one by now: then UsageError."""
    descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", suffix=".new", dir=file.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            os.fchmod(stream.fileno(), 0o644)
            os.fsync(stream.fileno())
        os.link(name, file)
    except FileExistsError:
        raise UsageError(Problem(str(file), "is there already", remedy)) from None
    except OSError as error:
        error.filename = str(file)  # a full disk names none
        raise
    finally:
        Path(name).unlink()
    sync_folder(file.parent)
