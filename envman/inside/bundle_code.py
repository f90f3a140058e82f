"""A bundle's shared folders: code beside the bundle, such as `common`, that its Dags import by its name.

The places are relative to the bundle's own folder, which Airflow puts on the path of a process once that has
the bundle, in the right version. So a folder is looked for when it is imported. It is found after everything
that is installed, and after the bundle's own modules; nothing is put on the path, where what stands beside it
could be imported as well.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import spec_from_file_location
from typing import TYPE_CHECKING, Any

from envman.inside.protocol import SHARED_OPTION

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class SharedFolders:
    """Finds folders by their names, relative to the bundle's own, or to what comes onto the path from now on
    where that is not known yet.
    """

    def __init__(self, places: Iterable[str], bundle: str = "") -> None:
        self._places = {os.path.basename(place): place for place in places}
        self._bundle = bundle
        self._before = set(sys.path)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, _target: Any = None
    ) -> ModuleSpec | None:
        """The package that a folder is; None for all others, and where the folder is not there."""
        if path is not None or name not in self._places:
            return None
        new = (entry for entry in sys.path if entry not in self._before)
        for entry in [self._bundle] if self._bundle else new:
            if os.path.isdir(entry):
                folder = os.path.normpath(os.path.join(os.path.realpath(entry), self._places[name]))
                if os.path.isdir(folder):
                    return package(name, folder)
        return None


def package(name: str, folder: str) -> ModuleSpec | None:
    """A folder as a package of a name, with or without an `__init__.py`."""
    first = os.path.join(folder, "__init__.py")
    if os.path.isfile(first):
        return spec_from_file_location(name, first, submodule_search_locations=[folder])
    spec = ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = [folder]
    return spec


def share(places: Iterable[str], bundle: str = "") -> None:
    """Have a bundle's shared folders found in this process; `bundle` is its own folder, where it is known."""
    found = list(places)
    if found:
        sys.meta_path.append(SharedFolders(found, bundle))


def hidden(places: Iterable[str]) -> dict[str, str]:
    """Those folders that can't be imported here, each with what has its name."""
    found: dict[str, str] = {}
    for place in places:
        name = os.path.basename(place)
        if name in sys.builtin_module_names:
            found[place] = "Python's own"
            continue
        spec = PathFinder.find_spec(name)
        if spec is not None:
            where = list(spec.submodule_search_locations or ())
            found[place] = spec.origin or (where[0] if where else "something else")
    return found


def taken_from(words: list[str]) -> tuple[list[str], list[str]]:
    """The folders that words begin with, and the words behind them."""
    count = 0
    while count < len(words) and words[count].startswith(SHARED_OPTION):
        count += 1
    return [word[len(SHARED_OPTION) :] for word in words[:count]], words[count:]
