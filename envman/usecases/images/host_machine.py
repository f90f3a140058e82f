"""The machine that envman runs on in place of a base image, where both have the same interpreter."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

from envman.build.interpreters import Interpreters, discover
from envman.build.stamp import stamp
from envman.build.venv import portable_virtualenv
from envman.errors import ImageError, Problem
from envman.inside.protocol import SCRIPTS
from envman.oci.bases import Base
from envman.store import layout
from envman.store.manifest import BaseInterpreter
from envman.system.beneath import place_in_root
from envman.system.digests import Digests
from envman.system.files import write_atomic
from envman.system.processes import Processes
from envman.usecases.images.base_machine import ROOT, BaseMachine, build_key
from envman.uv.runner import Source

PYTHON_FILES = f"{SCRIPTS}/python_files.py"

MARKER = "image-base"
_SHOWN = 3


def host_machine(base: Base, cache: Path, source: Source, epoch: int) -> BaseMachine:
    """The machine that envman runs on, with those of its interpreters that the base has; for its `/venv`.

    Raises ImageError where it has none, naming what differs, and where `/venv` is used for something else.
    """
    processes = Processes({"SOURCE_DATE_EPOCH": str(epoch)})
    found = _shared_interpreters(base, processes)
    root = Path(ROOT)
    _claim(root, build_key(base, processes, source, epoch))
    return BaseMachine(base, root, processes, found, str(portable_virtualenv(cache)), cache, links=True)


def _shared_interpreters(base: Base, processes: Processes) -> Interpreters:
    digests = Digests()
    shared: list[BaseInterpreter] = []
    differences: list[str] = []
    for one in discover(None, os.environ).found:
        if inside(base.root, one.executable) is None:
            differences.append(f"{one.executable}: the base has no such file")
        elif differing := _differing(base.root, one, processes, digests):
            differences.append(f"{one.executable}: {', '.join(differing)}")
        else:  # with the time that its file has in the base, as it is there that it will be run
            shared.append(replace(one, stamp=stamp(str(inside(base.root, one.executable)))))
    if not shared:
        listed = "".join(f"\n  {line}" for line in differences) or " there is no Python here"
        what = f"none of this machine's interpreters is the base's:{listed}"
        remedy = "Build without --on-host, in bubblewrap, or on a machine that is like the base."
        raise ImageError(Problem(base.name, what, remedy))
    return Interpreters(tuple(shared))


def _differing(root: Path, one: BaseInterpreter, processes: Processes, digests: Digests) -> list[str]:
    """What of an interpreter's own files is not the same in the base."""
    finished = processes.run([one.executable, "-I", "-S", PYTHON_FILES], os.environ, "/")
    if finished.exit_code:
        return ["it does not run here"]
    there = {path: inside(root, path) for path in json.loads(finished.stdout)}
    missing = [f"{path} is not in the base" for path, other in there.items() if other is None]
    differing = [
        f"{path} differs"
        for path, other in there.items()
        if other and digests.of(path) != digests.of(str(other))
    ]
    found = missing + differing
    return found if len(found) <= _SHOWN else [*found[:_SHOWN], f"and {len(found) - _SHOWN} more"]


def inside(root: Path, path: str) -> Path | None:
    """A file of an unpacked image, its links followed within the image; None where there is none."""
    try:
        found = root / place_in_root(str(root), path)
    except OSError:
        return None
    return found if found.is_file() and not found.is_symlink() else None


def _claim(root: Path, key: str) -> None:
    """Take a root folder for the builds of one base by one envman; what was made for others is in the way."""
    marker = root / layout.STATE / MARKER
    try:
        if root.is_dir() and any(root.iterdir()):
            if marker.is_file() and marker.read_text(encoding="utf-8").strip() == key:
                return
            what = "there is something in it that this image's builds have not made"
            raise ImageError(Problem(ROOT, what, "Empty it, or build without --on-host."))
        marker.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(marker, key + "\n")
    except OSError as error:
        what = f"environments of images are built at this path, and it can't be used: {error.strerror}"
        raise ImageError(Problem(ROOT, what, f"As root: mkdir {ROOT} && chown $USER {ROOT}")) from None
