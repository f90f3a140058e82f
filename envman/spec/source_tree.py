"""The files of a folder with code that count: their digest for a lock, and a copy of them for a build.

What Git ignores, by the `.gitignore` files from the project's folder down, and what tools leave behind is no
part of it. So it is the same in every checkout, with or without Git.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import posixpath
import stat
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pathspec import GitIgnoreSpec

from envman.errors import Problem, SpecError
from envman.spec.inputs import digest
from envman.spec.own_code import IGNORES
from envman.system.beneath import MOST_LINKS, folder_beneath, open_beneath

MOST_FILES, MOST_BYTES = 20_000, 512 * 2**20
"""A folder with more is hardly code; somebody has named the wrong one."""

DEEPEST = 50
SAME_TIME = 315_619_200
"""2 January 1980: the time of every copied file, as a wheel holds the times of its files."""

_TOOLS = frozenset(
    {
        *(
            ".git",
            ".hg",
            ".svn",
            "__pycache__",
            ".venv",
            ".tox",
            ".nox",
            ".eggs",
            "node_modules",
            ".DS_Store",
        ),
        *(".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".ipynb_checkpoints"),
    }
)
_ENDINGS = (".pyc", ".pyo", ".egg-info")
_MARKS = frozenset({"pyvenv.cfg", "CACHEDIR.TAG", ".gen"})
"""What is in folders of tools: virtual environments, caches, a root folder of envman's."""

_BUILT = frozenset({"build", "dist"})
_DEPLOYMENT = frozenset({"environments", "envman.toml"})
"""What is not code where the source is the project's folder itself; locks are in there."""

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class TreeFile:
    """A file, by its path below the folder: its SHA-256 in hexadecimal, or where a link leads to."""

    path: str
    sha256: str
    executable: bool = False
    target: str = ""


@dataclass(frozen=True)
class SourceTree:
    """The files of a folder that count, sorted by path."""

    files: tuple[TreeFile, ...]

    @property
    def digest(self) -> str:
        """One digest over all of them: `sha256:` and hexadecimal digits."""
        return digest(
            f"{'x' if one.executable else '-'} {one.sha256 or f'-> {json.dumps(one.target)}'} {one.path}"
            for one in self.files
        )


def read_tree(directory: str, path: str, copy: Path | None = None) -> SourceTree:
    """Read a folder, by its path relative to the project's; `copy` is an empty folder that it is copied to.

    Raises SpecError for what can't be read or is no code: a link out of it, a pipe, too many files.
    """
    try:
        descriptor = folder_beneath(directory, path)
    except OSError as error:
        remedy = "Make it a folder that this user may read; no link to it leads out of the project."
        raise _wrong(path, f"can't be read: {error.strerror}", remedy) from None
    try:
        walk = _Walk(path, copy)
        walk.rules = _rules_above(directory, path)
        walk.folder(descriptor, "", 0)
    except FileNotFoundError as error:
        raise _changed(path, error.filename or "a file") from None
    except OSError as error:
        what = f"can't be read: {error.filename or ''}: {error.strerror}".replace(": :", ":")
        raise _wrong(path, what, "Let this user read it, or have Git ignore it.") from None
    finally:
        os.close(descriptor)
    walk.check_links()
    return SourceTree(tuple(sorted(walk.files, key=lambda one: one.path)))


def _wrong(path: str, what: str, remedy: str) -> SpecError:
    return SpecError(Problem(path, what, remedy))


def _changed(path: str, file: object) -> SpecError:
    return _wrong(path, f"changed while it was read: {file}", "Run it again once nobody writes there.")


def unchanged(path: str, tree: SourceTree, expected: str) -> None:
    """Raises SpecError where a folder that was read has not the digest that it had before."""
    if tree.digest != expected:
        raise _changed(path, "it is not as it was a moment ago")


@dataclass(frozen=True)
class _Rules:
    """A `.gitignore`, and its folder relative to the project."""

    folder: str
    spec: GitIgnoreSpec

    def says(self, path: str, folder: bool) -> bool | None:
        """Whether a path of the project is ignored; None where these rules don't speak of it."""
        inner = path.removeprefix(f"{self.folder}/") if self.folder != "." else path
        return self.spec.check_file(f"{inner}/" if folder else inner).include


def _rules_above(directory: str, path: str) -> tuple[_Rules, ...]:
    """Those of the project's folder and of the folders down to a source, without the source's own."""
    found: list[_Rules] = []
    parts = [] if path in {".", ""} else posixpath.normpath(path).split("/")
    for count in range(len(parts)):
        folder = "/".join(parts[:count]) or "."
        try:
            descriptor = open_beneath(directory, f"{folder}/{IGNORES}")
        except OSError:
            continue
        found.append(_read_rules(descriptor, folder))
    return tuple(found)


def _read_rules(descriptor: int, folder: str) -> _Rules:
    with os.fdopen(descriptor, encoding="utf-8", errors="replace") as stream:
        lines = stream.read(2**20).splitlines()
    try:
        return _Rules(folder, GitIgnoreSpec.from_lines(lines))
    except ValueError as error:
        where = posixpath.join(folder, IGNORES)
        raise _wrong(where, f"can't be read: {error}", "Correct the pattern.") from None


class _Walk:
    """One reading of a folder; `rules` are those that hold where it is, the nearest last."""

    def __init__(self, path: str, copy: Path | None) -> None:
        self._path = path
        self._copy = copy
        self._size = 0
        self.rules: tuple[_Rules, ...] = ()
        self.files: list[TreeFile] = []

    def folder(self, descriptor: int, inner: str, depth: int) -> None:
        """Read a folder, `inner` below the source ('' is that itself)."""
        if depth > DEEPEST:
            raise _wrong(self._path, f"has folders {DEEPEST} deep", "Name the folder with the code itself.")
        names = sorted(os.listdir(descriptor))
        if inner and _MARKS & set(names):
            return
        rules = self.rules
        if IGNORES in names and (own := _opened_file(IGNORES, descriptor)) is not None:
            self.rules = (*rules, _read_rules(own, self._of_project(inner)))
        for name in names:
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            path = f"{inner}/{name}" if inner else name
            if not name.isprintable():
                raise _wrong(self._path, f"holds {path!r}, a name that can't be printed", "Rename it.")
            if not self._counts(path, name, stat.S_ISDIR(status.st_mode)):
                continue
            if stat.S_ISDIR(status.st_mode):
                self._below(descriptor, name, path, depth)
            elif stat.S_ISREG(status.st_mode):
                self._file(descriptor, name, path)
            elif stat.S_ISLNK(status.st_mode):
                self._link(os.readlink(name, dir_fd=descriptor), path)
            else:
                what = f"holds {path}, which is neither a file nor a folder"
                raise _wrong(self._path, what, "Take it out, or have Git ignore it.")
            if len(self.files) > MOST_FILES or self._size > MOST_BYTES:
                what = f"has more than {MOST_FILES:,} files, or {MOST_BYTES // 2**20} MiB"
                raise _wrong(self._path, what, "Name the folder with the code, or have Git ignore the rest.")
        self.rules = rules

    def _below(self, descriptor: int, name: str, path: str, depth: int) -> None:
        below = os.open(name, _FOLDER, dir_fd=descriptor)
        try:
            if path in _BUILT and "__init__.py" not in os.listdir(below):  # noqa: PTH208
                return
            self.folder(below, path, depth + 1)
        finally:
            os.close(below)

    def _of_project(self, inner: str) -> str:
        return posixpath.normpath(posixpath.join(self._path, inner))

    def _counts(self, path: str, name: str, folder: bool) -> bool:
        if name in _TOOLS or name.endswith(_ENDINGS):
            return False
        if self._path in {".", ""} and path in _DEPLOYMENT:
            return False
        of_project = self._of_project(path)
        answers = (rules.says(of_project, folder) for rules in reversed(self.rules))
        return not next((answer for answer in answers if answer is not None), False)

    def _file(self, descriptor: int, name: str, path: str) -> None:
        opened = _opened_file(name, descriptor)
        if opened is None:
            raise _changed(self._path, path)
        with os.fdopen(opened, "rb") as stream:
            executable = bool(os.fstat(opened).st_mode & stat.S_IXUSR)
            hashed = hashlib.sha256()
            for block in self._blocks(stream.read, path, executable):
                hashed.update(block)
        self.files.append(TreeFile(path, hashed.hexdigest(), executable))

    def _blocks(self, read: Callable[[int], bytes], path: str, executable: bool) -> Iterator[bytes]:
        """A file's content, which is written to the copy meanwhile."""
        target = None if self._copy is None else self._copy / path
        if target is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
        written = target.open("xb") if target else None
        try:
            while (block := read(1 << 20)) and self._size <= MOST_BYTES:
                self._size += len(block)
                if written:
                    written.write(block)
                yield block
        finally:
            if written:
                written.close()
        if target:
            target.chmod(0o755 if executable else 0o644)
            os.utime(target, (SAME_TIME, SAME_TIME))

    def _link(self, target: str, path: str) -> None:
        inner = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        if target.startswith("/") or inner == ".." or inner.startswith("../"):
            what = f"the link {path} leads out of it"
            raise _wrong(self._path, what, "Put the file itself there, or have Git ignore the link.")
        self.files.append(TreeFile(path, "", target=target))
        if self._copy is not None:
            place = self._copy / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(target)

    def check_links(self) -> None:
        """Raises SpecError for a link that leads, maybe by other links, to nothing that counts."""
        links = {one.path: one.target for one in self.files if one.target}
        there = {one.path for one in self.files if not one.target}
        there |= {above for one in self.files for above in _above(one.path)}
        for path in links:
            at, is_there = _end(path, links, there)
            if not is_there:
                what = f"the link {path} leads to {at}, which does not count or is not there"
                raise _wrong(self._path, what, "Put the file itself there, or have Git ignore the link.")


def _end(path: str, links: Mapping[str, str], there: Collection[str]) -> tuple[str, bool]:
    """Where a path ends, step by step as the kernel follows it, and whether that is there.

    `..` behind a link is above the folder that the link leads to, not above the link.
    """
    at: list[str] = []
    left, followed = path.split("/"), 0
    while left:
        part = left.pop(0)
        here = "/".join([*at, part])
        if part == "..":
            if not at:
                return "/".join([part, *left]), False
            at.pop()
        elif here in links and followed < MOST_LINKS:
            followed += 1
            left = [*links[here].split("/"), *left]
        elif part not in {"", "."}:
            at.append(part)
            if here not in there:
                return "/".join([*at, *left]), False
    return "/".join(at) or ".", True


def _above(path: str) -> Iterator[str]:
    while path := posixpath.dirname(path):
        yield path
    yield "."


def _opened_file(name: str, folder: int) -> int | None:
    """A regular file of a folder; None where it is something else by now."""
    try:
        descriptor = os.open(name, _FILE, dir_fd=folder)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:
            return None
        raise
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    return None
