"""`envman export`: a lock as another format."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from envman.lock.lock_state import fresh_lock_text
from envman.lock.lockfile import Lock, LockedSource, Pin, parse_lock
from envman.spec.own_code import SourceKind, own_sources
from envman.spec.workspace import Workspace
from envman.uv.runner import Source, Uv


class ExportFormat(str, Enum):
    """What a lock can be written as."""

    PYLOCK = "pylock"
    REQUIREMENTS = "requirements"


@dataclass(frozen=True)
class ExportOutcome:
    """The exported text; `unsaid` is what the format can't say of the lock, a sentence, or empty."""

    environment: str
    format: str
    text: str
    unsaid: str = ""


def export(workspace: Workspace, name: str, to: ExportFormat, source: Source, beside: Path) -> ExportOutcome:
    """Write a lock as pylock.toml (PEP 751, with the index's file URLs) or as it is; raises LockError.

    `beside` is the folder that the text is written to: paths of the project's own sources count from there.
    """
    environment = workspace.choose([name])[0]
    text = fresh_lock_text(workspace, environment)
    lock = parse_lock(text, environment.lock_file, name)
    own = own_sources(environment.sources, workspace.files)[0]
    modules = {source.path for source in own if source.kind is SourceKind.MODULES}
    if to is ExportFormat.PYLOCK:
        text = Uv(workspace.processes, source).pylock(lock.indexed(), environment.requires_python)
        projects = [pin for pin, locked in lock.own().items() if locked.path not in modules]
        text += "".join(_folder(pin, lock.own()[pin], workspace, beside) for pin in projects)
    return ExportOutcome(name, to.value, text, _unsaid(to, lock, modules))


def _folder(pin: Pin, own: LockedSource, workspace: Workspace, beside: Path) -> str:
    """A source as a package of a pylock.toml: a folder, for which the format has neither version nor hash."""
    path = os.path.relpath(workspace.files.directory.absolute() / own.path, beside.absolute())
    lines = ["", "[[packages]]", f"name = {json.dumps(pin.name)}"]
    lines += [f"marker = {json.dumps(pin.marker)}"] if pin.marker else []
    lines.append(f"directory = {{ path = {json.dumps(path)} }}")
    return "".join(f"{line}\n" for line in lines)


def _unsaid(to: ExportFormat, lock: Lock, modules: Collection[str]) -> str:
    if not lock.sources:
        return ""
    listed = {one.path: f"{one.name} from {one.path}" for one in lock.sources}
    if to is ExportFormat.REQUIREMENTS:
        return (
            f"no index has what is built from a folder: {', '.join(listed.values())}; fill a wheelhouse "
            "(envman wheelhouse), and install with --no-index --find-links"
        )
    projects = [text for path, text in listed.items() if path not in modules]
    said = [f"no hash holds what is built from a folder: {', '.join(projects)}"] if projects else []
    if left_out := [text for path, text in listed.items() if path in modules]:
        said.append(f"plain modules, which the format has no word for, are left out: {', '.join(left_out)}")
    return "; ".join(said)
