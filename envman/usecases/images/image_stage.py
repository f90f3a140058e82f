"""`envman image stage`: what an image gets besides its base, as a folder to copy from; for Containerfiles."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from envman.build.bytecode import Bytecode, Compiler
from envman.build.interpreters import discover
from envman.errors import BuildError, Problem, UsageError
from envman.image.entries import in_order
from envman.oci.layer_folder import write_folder
from envman.spec.workspace import Workspace
from envman.store.folder import Store
from envman.system.digests import Digests
from envman.system.files import cache_folder
from envman.system.side_by_side import default_jobs
from envman.system.source_date import source_date
from envman.usecases.images import image_contents as contents


@dataclass(frozen=True)
class StageOutcome:
    """Where the files are, and how many bytes; a file that several environments have counts once."""

    environments: tuple[str, ...]
    folder: str
    size: int


def stage(workspace: Workspace, names: Iterable[str], folder: Path) -> StageOutcome:
    """Write built environments and the launcher below a folder, at the paths that they have in the image.

    What is written depends on the environments alone: equal files are hard links, all times are
    SOURCE_DATE_EPOCH (0 without it), there is no history. Raises UsageError, BuildError, OSError.
    """
    epoch = source_date(None, os.environ)
    root, environments = workspace.project.root, workspace.choose(names)
    store = Store(root)
    generations = {one.name: store.current(one.name) for one in environments}
    problems = [
        Problem(f"environment '{name}'", f"is not built below {root}", f"Run: envman build {name}")
        for name, generation in generations.items()
        if generation is None
    ]
    if problems:
        raise BuildError(problems)
    _need_empty(folder)
    digests = Digests()
    found = contents.held(workspace, store, {name: one for name, one in generations.items() if one})
    table = workspace.table_of(list(generations))
    entries = contents.environment_entries(found, root, table, epoch, digests)
    with _emptied_on_failure(folder):
        size = write_folder(in_order(entries), folder, epoch) + _launcher(workspace, folder, epoch, digests)
    return StageOutcome(tuple(generations), str(folder), size)


def _need_empty(folder: Path) -> None:
    if folder.is_dir() and any(folder.iterdir()):
        raise UsageError(Problem(str(folder), "there is something in it", "Name an empty or a new folder."))


@contextmanager
def _emptied_on_failure(folder: Path) -> Iterator[None]:
    """The folder may be a mount of an image's build, so it is not written beside its place."""
    try:
        yield
    except BaseException:
        for one in folder.iterdir() if folder.is_dir() else ():
            shutil.rmtree(one) if one.is_dir() and not one.is_symlink() else one.unlink()
        raise


def _launcher(workspace: Workspace, folder: Path, epoch: int, digests: Digests) -> int:
    """The launcher, for the interpreter that this process runs in: it is at the same path in the image."""
    python = discover(os.path.realpath(getattr(sys, "_base_executable", sys.executable)), os.environ).found[0]
    bytecode = Bytecode(cache_folder(os.environ), digests, default_jobs())
    with TemporaryDirectory(prefix="envman-launcher-") as name:
        staged = Path(name)
        contents.stage_launcher(staged)
        compiler = Compiler(Path(python.executable), workspace.processes, default_jobs())
        bytecode.store(python).fill(staged, compiler, lambda _files: None)
        entries = contents.program_entries(staged, python, digests)
        return write_folder(in_order(entries), folder, epoch)
