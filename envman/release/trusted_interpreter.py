"""Whether an interpreter that a release names may be started: only root and this user have put it there."""

from __future__ import annotations

import os
from pathlib import Path

from envman.errors import BuildError, Problem
from envman.system.trusted_path import trusted_path, why_untrusted


def check_interpreter(path: str, root: str, where: str) -> None:
    """Raises BuildError for an interpreter below the root folder, where files of releases are, and for one
    that another user could have put there, links resolved. One that is not there is told of by who needs it.

    Who has pushed the release chose the path, and may have had a file pulled to it before.
    """
    unpushed = "Find out who has pushed it."
    try:
        resolved = trusted_path(path)
        why = why_untrusted(Path(resolved).stat())
        what = f"was built for {path}, which {why}" if why else ""
    except PermissionError as error:
        resolved, what = path, f"was built for {path}, and that can't be relied on: {error.strerror}"
    except OSError:
        resolved, what = path, ""
    if any(_is_below(one, folder) for one in (path, resolved) for folder in (root, os.path.realpath(root))):
        what = f"names a base interpreter below the root folder, where what is pulled lies: {path}"
        raise BuildError(Problem(where, what, unpushed))
    if what:
        remedy = (
            "Have it and its folders belong to root, and let nobody else write there; "
            "or build with one of which that is so: envman build --python PYTHON"
        )
        raise BuildError(Problem(where, what, remedy))


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(f"{folder.rstrip('/')}/")
