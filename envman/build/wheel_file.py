"""Write a wheel so that the same contents are the same bytes: stored, in order, with one time and two modes.

What a backend packs depends on more than its contents: on zlib, the umask, the order of a folder.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import posixpath
import stat
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from packaging.utils import canonicalize_name

from envman.build.source_archive import UnfitError
from envman.spec.source_tree import SourceTree
from envman.system.beneath import open_beneath

_TIME = (1980, 1, 2, 0, 0, 0)
_WHEEL = "Wheel-Version: 1.0\nGenerator: envman\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_TESTS = frozenset({"tests", "test", "conftest.py"})
"""What stands beside modules and is none to be installed."""


@dataclass(frozen=True)
class _Entry:
    """A file of a wheel, and what opens it."""

    path: str
    executable: bool
    opened: Callable[[], IO[bytes]]


def rewrite_wheel(source: Path, target: Path) -> None:
    """Write the contents of a wheel to a new file; raises UnfitError for one that can't be read, OSError."""
    try:
        with zipfile.ZipFile(source) as archive:
            entries = [_entry(archive, one) for one in archive.infolist() if not one.is_dir()]
            names = {one.path for one in entries}
            if wrong := [path for path in names if _leads_out(path)] or len(names) != len(entries):
                raise UnfitError(f"its wheel has wrong or repeated names in it: {wrong}")
            _write(target, entries)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError) as error:
        raise UnfitError(f"its wheel can't be read: {error}") from None


def _entry(archive: zipfile.ZipFile, one: zipfile.ZipInfo) -> _Entry:
    return _Entry(one.filename, bool(one.external_attr >> 16 & stat.S_IXUSR), lambda: archive.open(one))


def _leads_out(path: str) -> bool:
    return path.startswith("/") or ".." in path.split("/") or "\\" in path or "\0" in path


def _write(target: Path, entries: Iterable[_Entry]) -> None:
    with zipfile.ZipFile(target, "x", zipfile.ZIP_STORED) as archive:
        for entry in sorted(entries, key=lambda one: (".dist-info/" in one.path, one.path)):
            info = zipfile.ZipInfo(entry.path, _TIME)
            info.create_system = 3
            info.external_attr = (stat.S_IFREG | (0o755 if entry.executable else 0o644)) << 16
            with entry.opened() as content, archive.open(info, "w") as written:
                while block := content.read(1 << 20):
                    written.write(block)


def modules_version(tree: SourceTree) -> str:
    """The version of plain modules that state none: it is another one whenever a file is."""
    return f"0+c{tree.digest.removeprefix('sha256:')[:12]}"


def write_module_wheel(folder: Path, tree: SourceTree, named: tuple[str, str, str], target: Path) -> Path:
    """Write the wheel of a folder's modules and packages into another folder; returns its file.

    `named` are the package's name, its version and the name of the folder, which is a package itself if it
    has an `__init__.py`. Raises UnfitError where there is no module in it, OSError.
    """
    name, version, base = named
    info = f"{canonicalize_name(name).replace('-', '_')}-{version}.dist-info"
    modules = list(_modules(folder, tree, base))
    if not any(one.path.endswith(".py") for one in modules):
        raise UnfitError("it has no module, and no package with one")
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    texts = {f"{info}/METADATA": metadata, f"{info}/WHEEL": _WHEEL}
    further = [_text(path, text) for path, text in texts.items()]
    record = io.StringIO()
    rows = csv.writer(record, lineterminator="\n")  # a name may have a comma
    rows.writerows((one.path, *_hash_and_size(one)) for one in (*modules, *further))
    rows.writerow((f"{info}/RECORD", "", ""))
    file = target / f"{info.removesuffix('.dist-info')}-py3-none-any.whl"
    _write(file, [*modules, *further, _text(f"{info}/RECORD", record.getvalue())])
    return file


def _modules(folder: Path, tree: SourceTree, base: str) -> Iterator[_Entry]:
    files = {one.path: one for one in tree.files}
    package = "__init__.py" in files
    if package and not base.isidentifier():
        raise UnfitError(f"it has an __init__.py, and its name '{base}' is no module's")
    with_code = {path.partition("/")[0] for path in files if path.endswith(".py")}
    for path, one in files.items():
        top = path.partition("/")[0]
        is_module = top in with_code and top.removesuffix(".py").isidentifier() and top not in _TESTS
        if not package and not is_module:
            continue
        place = folder / path
        if one.target and place.is_dir():
            raise UnfitError(f"{path} is a link to a folder, which plain modules can't have")
        yield _Entry(posixpath.join(base, path) if package else path, one.executable, _opener(folder, path))


def _opener(folder: Path, path: str) -> Callable[[], IO[bytes]]:
    return lambda: os.fdopen(open_beneath(str(folder), path), "rb")  # no link leads out


def _text(path: str, text: str) -> _Entry:
    return _Entry(path, False, lambda: io.BytesIO(text.encode()))


def _hash_and_size(entry: _Entry) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with entry.opened() as content:
        while block := content.read(1 << 20):
            digest.update(block)
            size += len(block)
    return f"sha256={base64.urlsafe_b64encode(digest.digest()).rstrip(b'=').decode()}", size
