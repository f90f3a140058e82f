"""Small source distributions, made on the spot: with a backend of their own, they need nothing to be built."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

BACKEND = '''\
import base64, hashlib, os, zipfile
NAME, VERSION, REQUIRES, TAG = {name!r}, {version!r}, {requires!r}, {tag!r}
INFO = NAME.replace("-", "_") + "-" + VERSION

def wheel(folder, files, tag=TAG, info=INFO):
    """Write a wheel (PEP 427); `files` are names and texts or bytes."""
    lines = ["Metadata-Version: 2.1", "Name: " + NAME, "Version: " + VERSION]
    lines += ["Requires-Dist: " + one for one in REQUIRES]
    files = dict(files)
    files[info + ".dist-info/METADATA"] = "\\n".join(lines) + "\\n"
    files[info + ".dist-info/WHEEL"] = "Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: " + tag + "\\n"
    record = []
    with zipfile.ZipFile(os.path.join(folder, info + "-" + tag + ".whl"), "w") as archive:
        for name, content in files.items():
            data = content if isinstance(content, bytes) else content.encode()
            archive.writestr(name, data)
            sha = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record.append(name + ",sha256=" + sha + "," + str(len(data)))
        archive.writestr(info + ".dist-info/RECORD", "\\n".join(record + [info + ".dist-info/RECORD,,"]) + "\\n")
    return info + "-" + tag + ".whl"

def files():
    return {{NAME.replace("-", "_") + "/__init__.py": "__version__ = " + repr(VERSION) + "\\n"}}

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    return wheel(wheel_directory, files())
'''
IN_TREE = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


def make_sdist(
    folder: Path,
    name: str,
    version: str = "1.0",
    backend: str = "",
    requires: Iterable[str] = (),
    files: Mapping[str, str] | None = None,
) -> Path:
    """Write a source distribution with a backend of its own; `backend` is code at its end, which may replace
    `files` or `build_wheel`; `files` are further ones, or others instead of its own.
    """
    text = BACKEND.format(name=name, version=version, requires=list(requires), tag="py3-none-any") + backend
    stem = f"{name.replace('-', '_')}-{version}"
    metadata = ["Metadata-Version: 2.2", f"Name: {name}", f"Version: {version}"]
    metadata += [f"Requires-Dist: {one}" for one in requires]
    contents = {"pyproject.toml": IN_TREE, "backend.py": text, "PKG-INFO": "\n".join(metadata) + "\n"}
    contents |= files or {}
    return make_tarball(
        folder / f"{stem}.tar.gz", [(f"{stem}/{path}", one) for path, one in contents.items()]
    )


def make_tarball(path: Path, members: Iterable[tuple[str, str] | tarfile.TarInfo]) -> Path:
    """Write a tar archive of files with their texts, and of whatever else has no content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        path.open("wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed,  # the same members, the same bytes
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for one in members:
            if isinstance(one, tarfile.TarInfo):
                archive.addfile(one)
                continue
            info = tarfile.TarInfo(one[0])
            info.size = len(one[1].encode())
            info.mtime = 1_700_000_000
            archive.addfile(info, io.BytesIO(one[1].encode()))
    return path
