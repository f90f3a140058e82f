"""A generation's files against its list, before its interpreter starts: all of them, each read.

A folder without anything in it is listed as files are: Python imports it as a package (PEP 420).

It is on the launch path, so it imports nothing that `inventory.py`, which makes the list, needs besides. A
size, a time or an inode proves nothing: who may write the root folder sets them back. Threads would not make
it faster: Python waits for itself between so many small files.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat

from envman.store import layout

OWN_FILES = (layout.MANIFEST, layout.FILES, layout.LAYERS)
_BLOCK = 2**20


def first_difference(folder: str, listing: str) -> str:
    """What is first found to be otherwise than listed, in words; empty where nothing is.

    Raises OSError, and ValueError for a list that is none.
    """
    listed = {
        path: (mode, digest) for mode, digest, path in json.loads(f"[{','.join(listing.splitlines())}]")
    }
    to_read: list[tuple[str, str]] = []
    for path, status in _walk(folder):
        entry = listed.pop(path, None)
        if entry is None:
            emptied = stat.S_ISDIR(status.st_mode) and any(one.startswith(f"{path}/") for one in listed)
            if path not in OWN_FILES and not emptied:  # what was in it is missing
                return f"{path} was added"
        elif entry[0] != f"{status.st_mode:o}":
            return f"{path} was changed"
        elif stat.S_ISLNK(status.st_mode):
            if hashlib.sha256(os.fsencode(os.readlink(f"{folder}/{path}"))).hexdigest() != entry[1]:
                return f"{path} was changed"
        elif stat.S_ISREG(status.st_mode):
            to_read.append((path, entry[1]))
    if listed:
        return f"{min(listed)} is missing"
    for path, digest in to_read:
        if _digest(f"{folder}/{path}") != digest:
            return f"{path} was changed"
    return ""


def _walk(folder: str) -> list[tuple[str, os.stat_result]]:
    """Every file, link and empty folder below a folder, links not followed; paths are relative to it."""
    found: list[tuple[str, os.stat_result]] = []
    waiting = [""]
    while waiting:
        above = waiting.pop()
        is_empty = True
        with os.scandir(f"{folder}/{above}") as entries:
            for entry in entries:
                is_empty = False
                path = f"{above}/{entry.name}" if above else entry.name
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(path)
                else:
                    found.append((path, entry.stat(follow_symlinks=False)))
        if is_empty:
            found.append((above, os.lstat(f"{folder}/{above}")))
    return found


def _digest(path: str) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        digest = hashlib.sha256()
        while block := os.read(descriptor, _BLOCK):
            digest.update(block)
        return digest.hexdigest()
    finally:
        os.close(descriptor)
