"""Read what a split needs: the Python files of folders and archives, and what an environment has installed.

Nothing is imported or run. Links are followed, as Airflow follows them; what is no regular file is left out.
"""

from __future__ import annotations

import csv
import io
import os
import stat
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import Distribution, distributions
from pathlib import Path

from envman.errors import Problem, StoreError
from envman.packages.installed import read_package
from envman.splitting.imported_names import UnreadableSourceError, imports_of
from envman.splitting.module_owners import InstalledDistribution, ModuleIndex, module_of
from envman.splitting.patterns import IgnoredFiles
from envman.splitting.read_code import BundleCode, CodeFile, CodeReach

LARGEST_SOURCE = 4 * 2**20
"""Bytes of a Python file."""
LARGEST_ARCHIVE = 256 * 2**20
MOST_SOURCES = 20_000
"""Python files of a bundle."""

IGNORE_FILE = ".airflowignore"

_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages"})


@dataclass(frozen=True)
class DagDiscovery:
    """How the Dag processor finds Dag files: in `safe_mode` only those with certain words.

    Files that `.airflowignore` excludes are none, though others may import them. Unless it is written in
    globs it holds regular expressions of strangers, which are not tried.
    """

    safe_mode: bool = True
    globs: bool = True


def read_code(bundle: str, folder: Path, discovery: DagDiscovery = DagDiscovery()) -> BundleCode:
    """The Python files below a folder; what can't be read is named with the reason."""
    files: dict[str, CodeFile] = {}
    unread: dict[str, str] = {}
    ignored = IgnoredFiles()

    def unlisted(error: OSError) -> None:
        name = os.path.relpath(error.filename or folder, folder)
        unread[name] = f"is a folder that can't be listed: {error.strerror}"

    for path in _paths(folder, unlisted):
        if len(files) >= MOST_SOURCES:
            unread[path] = f"is one of more than {MOST_SOURCES} files: none of the rest was read"
            break
        try:
            content = _content(folder / path, LARGEST_ARCHIVE if path.endswith(".zip") else LARGEST_SOURCE)
            if content is None:
                continue
            if path.endswith(IGNORE_FILE):
                if discovery.globs:
                    ignored.add(path.rpartition("/")[0], content.decode("utf-8", "replace"))
                else:
                    unread[path] = "holds regular expressions: files that it excludes count as Dag files"
            elif path.endswith(".zip"):
                for inner, text in _archived(content):
                    _take(f"{path}/{inner}", text, files, unread)
            else:
                _take(path, content, files, unread)
        except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            unread[path] = f"can't be read: {getattr(error, 'strerror', None) or error}"
    kept = {
        path: replace(file, is_dag=(file.is_dag or not discovery.safe_mode) and not ignored.has(path))
        for path, file in sorted(files.items())
    }
    return BundleCode(bundle, str(folder), kept, tuple(sorted(unread.items())))


def without_dags_below(code: BundleCode, bundles: Mapping[str, Path]) -> BundleCode:
    """A bundle's code whose Dag files are not those in folders of it that are other bundles already."""
    inner = []
    for name, folder in bundles.items():
        below = os.path.relpath(os.path.realpath(folder), os.path.realpath(code.folder))
        if name != code.bundle and below != os.curdir and not below.startswith(os.pardir):
            inner.append(f"{below}/")
    files = {
        path: replace(file, is_dag=file.is_dag and not path.startswith(tuple(inner)))
        for path, file in code.files.items()
    }
    return replace(code, files=files)


def with_shared(code: BundleCode, places: Iterable[str]) -> BundleCode:
    """A bundle's code with its shared folders, relative to its own; its own modules come first."""
    files, unread, names = dict(code.files), list(code.unread), set()
    for place in places:
        name = place.rpartition("/")[2]
        folder = Path(os.path.realpath(code.folder), place)
        if not folder.is_dir() or code.has_top("", name):
            continue
        names.add(name)
        found = read_code(name, folder)
        for path, file in found.files.items():
            files[f"{name}/{path}"] = replace(file, path=f"{name}/{path}", is_dag=False)
        unread += [(f"{name}/{path}", why) for path, why in found.unread]
    return replace(code, files=files, unread=tuple(unread), shared=frozenset(names))


def behind_plain_modules(folders: Mapping[str, Path], index: ModuleIndex) -> dict[str, dict[str, str]]:
    """What packages made of plain modules import: their metadata names no dependency. By their names, those
    of their `folders`; what else such a one imports counts as imported by the first, too.
    """
    direct = {
        name: CodeReach(code, index).needs(code.files).packages
        for name, folder in folders.items()
        if folder.is_dir() and not any((folder / file).exists() for file in _PROJECTS)
        for code in [read_code(name, folder)]
    }
    found: dict[str, dict[str, str]] = {}
    for name in direct:
        waiting, found[name] = [name], {}
        while waiting:
            for package, place in direct.get(waiting.pop(), {}).items():
                if package not in found[name]:
                    found[name][package] = place
                    waiting.append(package)
        found[name].pop(name, None)
    return found


_PROJECTS = ("pyproject.toml", "setup.py")


def _take(path: str, content: bytes, files: dict[str, CodeFile], unread: dict[str, str]) -> None:
    lowered = content.lower()
    is_dag = b"airflow" in lowered and (b"dag" in lowered or b"asset" in lowered)
    try:
        files[path] = CodeFile(path, imports_of(content), is_dag)
    except UnreadableSourceError as error:
        unread[path] = str(error)


def _paths(folder: Path, on_error: Callable[[OSError], None]) -> Iterator[str]:
    """The Python files and archives below a folder, sorted, relative to it; a folder is entered once."""
    seen: set[tuple[int, int]] = set()
    for above, inner, files in os.walk(folder, onerror=on_error, followlinks=True):
        try:
            status = Path(above).stat()
        except OSError as error:
            on_error(error)
            continue
        if (status.st_dev, status.st_ino) in seen:
            inner.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        inner[:] = sorted(name for name in inner if name not in _SKIPPED and not name.startswith("."))
        start = Path(above).relative_to(folder).as_posix()
        for name in sorted(files):
            if (name.endswith((".py", ".zip")) and not name.startswith(".")) or name == IGNORE_FILE:
                yield name if start == "." else f"{start}/{name}"


def _content(path: Path, most: int) -> bytes | None:
    """What a regular file holds; None for anything else, such as a pipe. Raises OSError, ValueError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None
        content = stream.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it has more than {most:,} bytes")
    return content


def _archived(content: bytes) -> Iterator[tuple[str, bytes]]:
    """The Python files of an archive; raises ValueError for one that unpacks to too much."""
    total = 0
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for item in archive.infolist():
            if not item.filename.endswith(".py") or item.filename.startswith(("/", "../")):
                continue
            with archive.open(item) as stream:
                text = stream.read(LARGEST_SOURCE + 1)
            total += len(text)
            if len(text) > LARGEST_SOURCE or total > LARGEST_ARCHIVE:
                raise ValueError("it unpacks to too much")
            yield item.filename, text


def read_installed(folders: tuple[Path, ...]) -> tuple[InstalledDistribution, ...]:
    """The distributions in these `site-packages` folders, with the modules that each has, sorted by name."""
    found: dict[str, InstalledDistribution] = {}
    for folder in folders:
        for one in distributions(path=[str(folder)]):
            try:
                read = _distribution(one)
            except (ValueError, csv.Error) as error:
                what = f"what a package there says of itself can't be read: {error}"
                raise StoreError(Problem(str(folder), what, "Build the environment again.")) from None
            if read is not None:
                found.setdefault(read.name, read)
    return tuple(one for _, one in sorted(found.items()))


def _distribution(one: Distribution) -> InstalledDistribution | None:
    """An installed distribution; raises ValueError, csv.Error."""
    package = read_package(one)
    if package is None:
        return None
    modules = {module_of(str(path)) for path in one.files or ()}
    tops = {top for top in (one.read_text("top_level.txt") or "").split() if top.isidentifier()}
    groups = {entry.group for entry in one.entry_points}
    return InstalledDistribution(package, frozenset(modules | tops) - {""}, tuple(sorted(groups)))
