"""`envman export`: a lock as another format."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from envman.lock.lock_state import fresh_lock_text
from envman.spec.workspace import Workspace
from envman.uv.runner import Source, Uv


class ExportFormat(str, Enum):
    """What a lock can be written as."""

    PYLOCK = "pylock"
    REQUIREMENTS = "requirements"


@dataclass(frozen=True)
class ExportOutcome:
    """The exported text."""

    environment: str
    format: str
    text: str


def export(workspace: Workspace, name: str, to: ExportFormat, source: Source) -> ExportOutcome:
    """Write a lock as pylock.toml (PEP 751, with the index's file URLs) or as it is; raises LockError."""
    environment = workspace.choose([name])[0]
    text = fresh_lock_text(workspace, environment)
    if to is ExportFormat.PYLOCK:
        path = str(workspace.lock_path(environment).absolute())
        text = Uv(workspace.processes, source).export_pylock(path, environment.requires_python)
    return ExportOutcome(name, to.value, text)
