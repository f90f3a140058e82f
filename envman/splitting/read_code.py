"""A bundle's code as it was read, and what its Dag files need: found by following its own modules."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from envman.splitting.imported_names import FoundImport
from envman.splitting.module_owners import STANDARD_LIBRARY, ModuleIndex


@dataclass(frozen=True)
class CodeFile:
    """A Python file of a bundle: its path in the bundle (in an archive: `a.zip/b.py`), and what it imports.

    `is_dag`: the Dag processor would parse it.
    """

    path: str
    imports: tuple[FoundImport, ...]
    is_dag: bool

    @property
    def root(self) -> str:
        """What its own modules' paths begin with: nothing, or the archive that it is in."""
        archive, found, _ = self.path.rpartition(".zip/")
        return f"{archive}.zip/" if found else ""


@dataclass(frozen=True)
class BundleCode:
    """The Python files of a bundle's folder, and those that could not be read, with the reason. `shared` are
    the names of its shared folders, whose files are among them as if they stood at its top.
    """

    bundle: str
    folder: str
    files: Mapping[str, CodeFile] = field(default_factory=dict)
    unread: tuple[tuple[str, str], ...] = ()
    shared: frozenset[str] = frozenset()

    def dags(self) -> list[str]:
        """The paths of the files that the Dag processor would parse, sorted."""
        return sorted(path for path, file in self.files.items() if file.is_dag)

    def has_top(self, root: str, top: str) -> bool:
        """Whether a module of this name stands at the top of the bundle, or of the archive."""
        start = f"{root}{top}"
        return f"{start}.py" in self.files or start in self._folders

    def is_folder(self, top: str) -> bool:
        """Whether a module at the bundle's top is a folder."""
        return top in self._folders

    @cached_property
    def _folders(self) -> frozenset[str]:
        found: set[str] = set()
        for path in self.files:
            while (path := posixpath.dirname(path)) and path not in found:
                found.add(path)
        return frozenset(found)

    def own(self, folder: str, module: str) -> list[str]:
        """The files that importing one of the bundle's own modules runs: the packages above it, too."""
        found = []
        parts = module.split(".")
        for end in range(1, len(parts) + 1):
            start = folder + "/".join(parts[:end])
            found += [path for path in (f"{start}.py", f"{start}/__init__.py") if path in self.files]
        return found


@dataclass
class Needs:
    """What files need. Each thing with the first place where it is imported, `file:line`.

    `own` are files of the bundle, `tops` the names at the bundle's top by which they are imported.
    """

    packages: dict[str, str] = field(default_factory=dict)
    own: set[str] = field(default_factory=set)
    tops: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    elsewhere: dict[str, tuple[str, str]] = field(default_factory=dict)
    hidden: dict[str, tuple[str, str]] = field(default_factory=dict)

    def add(self, other: Needs) -> None:
        """Take another's in."""
        self.own |= other.own
        for mine, theirs in (
            (self.packages, other.packages),
            (self.missing, other.missing),
            (self.tops, other.tops),
        ):
            for key, place in theirs.items():
                mine.setdefault(key, place)
        self.elsewhere = {**other.elsewhere, **self.elsewhere}
        self.hidden = {**other.hidden, **self.hidden}


class CodeReach:
    """Follows imports through a bundle's own modules.

    Airflow puts a bundle's folder behind everything that is installed: where a name is both, the installed
    module is meant. `shared` are modules that stand in Airflow's plugins and config folders, `behind` the
    packages that an installed one imports without saying so, each with the place.
    """

    def __init__(
        self,
        code: BundleCode,
        index: ModuleIndex,
        shared: Iterable[BundleCode] = (),
        behind: Mapping[str, Mapping[str, str]] = {},
    ) -> None:
        self.code = code
        self._behind = behind
        self._index = index
        self._shared = tuple(shared)

    def needs(self, paths: Iterable[str]) -> Needs:
        """What these files need, and what their own modules need."""
        found = Needs()
        waiting = sorted(paths)
        seen = set(waiting)
        while waiting:
            file = self.code.files[waiting.pop(0)]
            for one in file.imports:
                own = self._own(file, one)
                if not own:
                    self._outside(found, file, one)
                elif self._is_at_top(file, one, top := one.module.partition(".")[0]):
                    found.tops.setdefault(top, one.place(file.path))
                found.own.update(own)
                waiting += [path for path in own if path not in seen]
                seen.update(own)
        return found

    def _own(self, file: CodeFile, one: FoundImport) -> list[str]:
        if one.elsewhere:
            return []
        module = ".".join(filter(None, (one.module, one.name)))
        if one.level:
            folder = posixpath.dirname(file.path)
            for _ in range(one.level - 1):
                folder = posixpath.dirname(folder)
            return self.code.own(f"{folder}/" if folder else "", module) if module else []
        if self._is_installed(one):
            return []
        return [path for start in self._starts(file, one.module) for path in self.code.own(start, module)]

    def _is_at_top(self, file: CodeFile, one: FoundImport, top: str) -> bool:
        return not (one.level or file.root or top in self.code.shared) and self.code.has_top("", top)

    def _is_installed(self, one: FoundImport) -> bool:
        top = one.module.partition(".")[0]
        if top in STANDARD_LIBRARY:
            return True
        return bool(self._index.owners(one.module, one.name)) or self._index.has(top)

    def _starts(self, file: CodeFile, module: str) -> Iterator[str]:
        """Where one of the bundle's own modules may stand: at the top; else beside the file, as far as that
        puts its own folder on `sys.path`.
        """
        top = module.partition(".")[0]
        here = posixpath.dirname(file.path)
        for start in dict.fromkeys((file.root, f"{here}/" if here else "")):
            if self.code.has_top(start, top):
                yield start
                return

    def _outside(self, found: Needs, file: CodeFile, one: FoundImport) -> None:
        """Note an import of what is not the bundle's own."""
        if one.level:
            return
        place = one.place(file.path)
        top = one.module.partition(".")[0]
        owners = self._index.owners(one.module, one.name)
        if one.elsewhere:
            for name in owners or (one.module,) if top not in STANDARD_LIBRARY else ():
                found.elsewhere.setdefault(name, (place, one.elsewhere))
            return
        if self.code.has_top(file.root, top) and self._is_installed(one):
            whose = ", ".join(owners) if owners else "the standard library"
            found.hidden.setdefault(top, (place, whose))
        for name in owners:
            found.packages.setdefault(name, place)
            for further, there in self._behind.get(name, {}).items():
                found.packages.setdefault(further, there)
        is_own = any(True for _ in self._starts(file, one.module)) and not self._is_installed(one)
        if owners or is_own or one.optional or top in STANDARD_LIBRARY or self._is_shared(top):
            return
        found.missing.setdefault(one.module, place)

    def _is_shared(self, top: str) -> bool:
        return any(code.has_top("", top) for code in self._shared)
