"""Which distribution of an environment a module comes from, by the files that each has installed."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field

from envman.packages.package import Package

_GONE = (
    "aifc asynchat asyncore audioop binhex cgi cgitb chunk crypt distutils formatter imghdr imp lib2to3 "
    "mailcap msilib nis nntplib ossaudiodev parser pipes smtpd sndhdr spwd sunau symbol "
    "telnetlib uu xdrlib tomllib"
)
STANDARD_LIBRARY = frozenset({*sys.stdlib_module_names, *_GONE.split(), "__main__"})
"""The standard library's modules of all Pythons: an environment's may be older than this one, or newer."""

_ENDINGS = (".py", ".so", ".pyd", ".pyc")


@dataclass(frozen=True)
class InstalledDistribution:
    """A package of an environment: the modules that it has installed, and the groups of its entry points."""

    package: Package
    modules: frozenset[str]
    entry_points: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its normalized name."""
        return self.package.name


def module_of(path: str) -> str:
    """The module that an installed file is, by its path below site-packages; '' for what is none."""
    folders, _, file = path.rpartition("/")
    stem = file.partition(".")[0]
    parts = [*folders.split("/"), stem] if folders else [stem]
    if not file.endswith(_ENDINGS) or not all(part.isidentifier() for part in parts):
        return ""
    if "__pycache__" in parts:
        return ""
    return ".".join(parts[:-1] if stem == "__init__" else parts)


@dataclass
class ModuleIndex:
    """The modules of an environment, each with the distributions that have it."""

    _owners: dict[str, set[str]] = field(default_factory=dict)
    _beneath: dict[str, set[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, distributions: Iterable[InstalledDistribution]) -> ModuleIndex:
        """The index of what is installed."""
        index = cls()
        for one in distributions:
            for module in one.modules:
                index._owners.setdefault(module, set()).add(one.name)
                while module:
                    index._beneath.setdefault(module, set()).add(one.name)
                    module = module.rpartition(".")[0]  # noqa: PLW2901
        return index

    def has(self, module: str) -> bool:
        """Whether a module is installed as a file, not as a mere folder above others."""
        return module in self._owners

    def owners(self, module: str, name: str = "") -> tuple[str, ...]:
        """The distributions that an import needs, sorted; none where nothing installed has it.

        A name that is no file may be made by the package above it, as `six.moves` is: it counts as that
        one's, unless several distributions are installed beneath.
        """
        wanted = f"{module}.{name}" if name else module
        while wanted:
            if wanted in self._owners:
                is_whole = wanted in {module, f"{module}.{name}"} or len(self._beneath[wanted]) == 1
                return tuple(sorted(self._owners[wanted])) if is_whole else ()
            wanted = wanted.rpartition(".")[0]
        return ()
