"""A view of uv's cache in which uv can build no package, so that none of a package's code runs.

uv makes an environment for each build in a folder of its cache. In the view a file stands in that folder's
place: uv gets no further than that, and names the package that it wanted to build. All else is in the cache
itself, and stays there. `--no-build` would not do: with it uv takes another version, or none.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from envman.system.child_process import Finished
from envman.system.files import remove_tree
from envman.system.waiting import FOR_MOMENTS, alone

BUILDS = "builds-v0"
"""Where uv makes the environments that it builds in. `TRIAL` shows whether it still does."""

VIEW = "envman-view-"
ARCHIVES = "archive-"
"""What the folders of unpacked wheels begin with."""

LOCK = ".lock"
"""By which uv's commands that empty the cache wait for those that use it."""

LEFT_AFTER = 86400.0
"""Seconds after which a view belongs to nobody: its command was killed."""

_WANTED = re.compile(r"Failed to (?:download and )?build `([A-Za-z0-9._-]+)==([^`\s]+)`")

TRIAL = {
    "pyproject.toml": """\
[project]
name = "envman-trial"
dynamic = ["version"]
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
""",
    "backend.py": 'from pathlib import Path\nPath(__file__).with_name("it-ran").touch()\n',
}
"""A package whose build leaves a file `it-ran` as soon as anything of it runs."""


@contextlib.contextmanager
def cache_without_builds(cache: Path) -> Iterator[Path]:
    """The view, for one run of uv; what uv has fetched in it is in the cache afterwards. Raises OSError."""
    cache.mkdir(parents=True, exist_ok=True)
    (cache / LOCK).touch()
    _remove_the_left(cache)
    view = Path(tempfile.mkdtemp(prefix=VIEW, dir=cache))
    try:
        (view / BUILDS).touch()
        for entry in (*cache.iterdir(), cache / LOCK):
            if (entry.is_dir() or entry.name == LOCK) and not entry.name.startswith(("builds-", VIEW)):
                with contextlib.suppress(FileExistsError):
                    (view / entry.name).symlink_to(f"../{entry.name}")  # also where the cache is mounted
        yield view
        _keep(view, cache)
    finally:
        with contextlib.suppress(OSError):
            remove_tree(view)


def _remove_the_left(cache: Path) -> None:
    """Remove views of commands that were killed."""
    for view in cache.glob(f"{VIEW}*"):
        with contextlib.suppress(OSError):
            if not view.is_symlink() and view.stat().st_mtime < time.time() - LEFT_AFTER:
                remove_tree(view)


def _keep(view: Path, cache: Path) -> None:
    """Take over what uv had to make, beside what another command made meanwhile."""
    made = [entry for entry in view.iterdir() if not entry.is_symlink() and entry.name != BUILDS]
    if not made:
        return
    # the other folders point to unpacked archives, which so are there before anybody looks for them
    made.sort(key=lambda entry: not entry.name.startswith(ARCHIVES))
    with alone(cache / "envman-view.lock", FOR_MOMENTS):
        for entry in made:
            _merge(entry, cache / entry.name)


def _merge(source: Path, target: Path) -> None:
    """Move a file or folder; where the target is there, what it lacks. Raises OSError.

    Whoever runs uv without envman may make the target at any moment: that one's stays.
    """
    if not os.path.lexists(target):
        with contextlib.suppress(FileExistsError, NotADirectoryError, IsADirectoryError):
            _move(source, target)
            return
    folders = all(not one.is_symlink() and one.is_dir() for one in (source, target))
    if (
        folders and source.parent.name[: len(ARCHIVES)] != ARCHIVES
    ):  # an unpacked wheel is whole, or is not taken
        for entry in list(source.iterdir()):
            _merge(entry, target / entry.name)


def _move(source: Path, target: Path) -> None:
    """Rename; raises FileExistsError for a folder that is there by now."""
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
        raise FileExistsError(error.errno, error.strerror, str(target)) from None


def wanted_build(finished: Finished) -> tuple[str, str] | None:
    """The package, with its version, that uv could not build in the view; None where it failed otherwise."""
    said = " ".join(finished.stderr.split())
    found = _WANTED.search(said)
    if finished.exit_code == 0 or found is None or BUILDS not in said:
        return None
    return found[1], found[2]
