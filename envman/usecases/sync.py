"""`envman sync`: a path for a bundle's interpreter that stays, and editors' settings that name it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from envman.build.overlay import dev_overlay, overlay_tools
from envman.deployment.editor_settings import (
    PYRIGHT,
    VSCODE,
    UnclearSettingsError,
    merged,
    pyright_settings,
    vscode_settings,
)
from envman.errors import Problem, UsageError
from envman.launch.bundle_here import declared_folders
from envman.names import name_problem
from envman.resolver.snapshot import Snapshot
from envman.spec.workspace import Workspace
from envman.store.folder import Store
from envman.system.events import Report
from envman.system.files import switch_link, write_atomic
from envman.uv.runner import Source

FOLDER = ".envman"
"""In the project: a link for each bundle, to its dev overlay, or to its environment's generation."""


class FileStatus(str, Enum):
    """What became of an editor's file."""

    WRITTEN = "written"
    ADDED = "added"
    UNCHANGED = "unchanged"
    LEFT = "left"


@dataclass(frozen=True)
class EditorFile:
    """An editor's file; where it was left, why, and what it should say: JSON."""

    file: str
    status: FileStatus
    why: str = ""
    wanted: str = ""


@dataclass(frozen=True)
class SyncOutcome:
    """A bundle's interpreter by the path that stays, what that leads to now, and the files of editors."""

    bundle: str
    environment: str
    python: str
    target: str
    dev: bool
    files: tuple[EditorFile, ...]


def sync(
    workspace: Workspace, snapshot: Snapshot, bundle: str, editors: bool, source: Source, report: Report
) -> SyncOutcome:
    """Point a bundle's link to its interpreter, the dev overlay's if it has one; then the files of editors.

    Raises ResolveError, LockError and BuildError as these are made, UsageError where something else stands in
    the link's place, or for a name that is none of a file: Airflow's own list may have any.
    """
    environment = snapshot.resolve(bundle).environment
    if problem := name_problem(bundle):
        remedy = f"Point the editor at the generation: envman which --environment {environment}"
        raise UsageError(Problem(f"bundle '{bundle}'", f"no link can have its name: {problem}", remedy))
    (declared,) = workspace.choose([environment])
    store = Store(workspace.project.root)
    target = store.folder(snapshot.generation(environment))
    if declared.dev:
        tools = overlay_tools(workspace, source)
        target = Path(dev_overlay(workspace, declared, store, tools, report).folder)
    directory = Path(workspace.project.directory)
    link = _linked(directory / FOLDER, bundle, target)
    folder = declared_folders(str(directory)).get(bundle)
    files: tuple[EditorFile, ...] = ()
    if editors and folder and Path(folder).is_dir():
        files = _editor_files(Path(folder), link)
    return SyncOutcome(bundle, environment, f"{link}/bin/python", str(target), bool(declared.dev), files)


def _linked(folder: Path, bundle: str, target: Path) -> Path:
    if folder.is_symlink():
        raise UsageError(Problem(str(folder), "is a link, and has to be a folder", "Remove it."))
    if not folder.is_dir():
        folder.mkdir()
        write_atomic(folder / ".gitignore", "*\n")
    link = folder / bundle
    if link.exists() and not link.is_symlink():
        raise UsageError(Problem(str(link), "is in the place of a link", "Move it away."))
    if not link.is_symlink() or str(link.readlink()) != str(target):
        switch_link(link, str(target))
    return link


def _editor_files(folder: Path, link: Path) -> tuple[EditorFile, ...]:
    """Write what editors read in a bundle's folder, by paths relative to that."""
    real = folder.resolve()
    python = os.path.relpath(link / "bin/python", real)
    above = os.path.relpath(link.parent, real)
    pyright = pyright_settings(above, link.name)
    files = [_settled(folder / VSCODE, vscode_settings(python))]
    if "[tool.pyright]" in _text_of(folder / "pyproject.toml"):
        why = "pyproject.toml has [tool.pyright], which it would hide"
        files.append(EditorFile(str(folder / PYRIGHT), FileStatus.LEFT, why, json.dumps(pyright)))
    else:
        files.append(_settled(folder / PYRIGHT, pyright))
    return tuple(files)


def _settled(file: Path, wanted: Mapping[str, object]) -> EditorFile:
    """A file of settings, with what it lacks; left alone where that can't be done without a loss."""
    said = json.dumps(dict(wanted))
    if file.exists() and not file.is_file():
        return EditorFile(str(file), FileStatus.LEFT, "it is no file", said)
    if file.is_symlink() or file.parent.is_symlink():
        return EditorFile(str(file), FileStatus.LEFT, "it is a link", said)
    try:
        before = file.read_bytes().decode("utf-8") if file.exists() else ""
        after = merged(before, wanted)
    except (UnclearSettingsError, UnicodeDecodeError) as error:
        return EditorFile(str(file), FileStatus.LEFT, str(error), said)
    if after.other:
        listed = json.dumps({key: wanted[key] for key in after.other})
        return EditorFile(str(file), FileStatus.LEFT, f"it says otherwise: {', '.join(after.other)}", listed)
    if after.text == before:
        return EditorFile(str(file), FileStatus.UNCHANGED)
    file.parent.mkdir(exist_ok=True)
    write_atomic(file, after.text, file.stat().st_mode & 0o777 if before else 0o644)
    return EditorFile(str(file), FileStatus.ADDED if before else FileStatus.WRITTEN)


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    except OSError:
        return ""
