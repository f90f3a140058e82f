"""An OCI layout's folder as one file (image specification 1.1, "Image Layout")."""

from __future__ import annotations

import contextlib
import os
import tarfile
import tempfile
from pathlib import Path

from envman.system.files import sync_folder


def write_archive(folder: Path, file: Path) -> None:
    """Write a layout as an archive, which stands once all of it is on the disk; the same layout gives the
    same bytes. Raises OSError, and then leaves what was there.
    """
    paths = [Path("oci-layout"), Path("index.json")]
    paths += sorted(one.relative_to(folder) for one in (folder / "blobs/sha256").iterdir())
    descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", suffix=".new", dir=file.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
                for path in paths:
                    info = tarfile.TarInfo(str(path))
                    info.size, info.mode = (folder / path).stat().st_size, 0o644
                    with (folder / path).open("rb") as source:
                        archive.addfile(info, source)
            stream.flush()
            os.fchmod(stream.fileno(), 0o644)
            os.fsync(stream.fileno())
        Path(name).replace(file)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
        if isinstance(error, OSError):
            error.filename, error.filename2 = str(file), None
        raise
    sync_folder(file.parent)
