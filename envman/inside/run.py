"""The script that processes in teams' interpreters begin with: it runs one of the modules beside it.

    python run.py child parse bundle_a

While that module is imported, those beside it are `envman.inside` to it, as they are to type checkers. Then
nothing of envman is left that a team could import: nothing on the path, and in `sys.modules` at most a team's
own `envman`, back in its place. So these modules import each other at their beginning, never later, and
nothing of theirs can be pickled by its name.

It is so short because Python compiles a script anew each time, and a module once. Python 3.8 and newer.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec, PathFinder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType
    from typing import Any

FOLDER = __file__.rpartition("/")[0]
PACKAGE = "envman.inside"


class Beside:
    """Finds the modules beside this script, before anybody else's hook is asked for them."""

    @staticmethod
    def find_spec(name: str, _path: Sequence[str] | None = None, _target: Any = None) -> ModuleSpec | None:
        """Where a module is; None for all others."""
        if f"{PACKAGE}.".startswith(f"{name}."):
            return ModuleSpec(name, None, is_package=True)
        return PathFinder.find_spec(name, [FOLDER]) if name.startswith(f"{PACKAGE}.") else None


def load(name: str) -> Any:
    """A module beside this one, with what it imports of the others; leaves nothing of them to be found."""
    theirs = _taken_out()
    sys.meta_path.insert(0, Beside)
    try:
        __import__(f"{PACKAGE}.{name}")
        return sys.modules[f"{PACKAGE}.{name}"]
    finally:
        sys.meta_path.remove(Beside)
        sys.path_importer_cache.pop(FOLDER, None)
        _taken_out()
        sys.modules.update(theirs)


def _taken_out() -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name.partition(".")[0] == "envman"]
    return {name: sys.modules.pop(name) for name in names}


if __name__ == "__main__":
    if sys.path[0] == FOLDER:  # with PYTHONSAFEPATH it is not there
        del sys.path[0]
    sys.exit(load(sys.argv[1]).main(sys.argv[2:]))
