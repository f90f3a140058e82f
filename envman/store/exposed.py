"""Which files and folders below a root may be written by more users than their owner."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from envman.store import layout
from envman.store.folder import Store

OTHERS = stat.S_IWOTH
GROUP = stat.S_IWGRP


def writable_by_more(store: Store, generations: list[str]) -> Iterator[tuple[str, os.stat_result]]:
    """Paths that decide what runs and that others than their owner may write, with their status.

    The folders above the root count: who may write there may put another root in its place. A group that is
    the owner's own (of the same number) is nobody else.
    """
    root = store.root
    own = [root, f"{root}/{layout.GENERATIONS}", f"{root}/{layout.STATE}", layout.table_path(root)]
    own += [layout.generation_path(root, generation) for generation in generations]
    own += [layout.manifest_path(root, generation) for generation in generations]
    for path in (*_above(root), *own):
        try:
            status = os.stat(path)  # noqa: PTH116  # strings, as the layout gives them
        except OSError:  # what is missing is told elsewhere
            continue
        others = status.st_mode & OTHERS
        group = status.st_mode & GROUP and status.st_gid != status.st_uid
        if (others or group) and (path in own or not status.st_mode & stat.S_ISVTX):
            yield path, status


def _above(root: str) -> Iterator[str]:
    folder = os.path.dirname(root)  # noqa: PTH120
    while folder != os.path.dirname(folder):  # noqa: PTH120
        yield folder
        folder = os.path.dirname(folder)  # noqa: PTH120
