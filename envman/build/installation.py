"""Install a lock into a virtual environment: wheels as they are, and what has none once it was built."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.tags import Tag

from envman.build.plan import Plan
from envman.build.source_builds import SourceBuilds
from envman.build.source_cache import BuiltWheel
from envman.build.venv import VirtualEnvironment
from envman.errors import BuildError, LockError
from envman.lock.lockfile import Pin, parse_lock, pins_text
from envman.lock.source_only import SourceFile, source_files
from envman.system.processes import Processes
from envman.uv.runner import Uv

_VIRTUALENVS = {"_virtualenv.pth", "_virtualenv.py", "__pycache__"}
"""What virtualenv puts where packages are installed."""


@dataclass(frozen=True)
class Installation:
    """The installation of a plan's packages; `folder` is its own, and removed by the caller."""

    plan: Plan
    environment: VirtualEnvironment
    folder: Path
    uv: Uv
    held: Sequence[int]
    on_line: Callable[[str], None]

    def run(self, builds: SourceBuilds) -> None:
        """Install all packages, exactly as they are locked; raises BuildError, OSError.

        What has a wheel costs nothing more: sources are looked for where uv could not do without.
        """
        declared = self.plan.environment
        lock = parse_lock(self.plan.lock_text, declared.lock_file, declared.name)
        markers = self.plan.interpreter.marker_environment()
        pins = [pin for pin in lock.pins if pin.applies(markers)]
        certain = [] if declared.no_build else [pin for pin in pins if len(pin.hashes) == 1]
        built = builds.kept_wheels(certain)  # of others a wheel may be there, too
        try:
            self._sync(pins, built)
            return
        except BuildError:
            missing = self._sources([pin for pin in pins if pin not in built], builds)
            if not missing:
                raise
        for pin, file in missing.items():
            built[pin] = builds.wheel(file)
        self._sync(pins, built)

    def _sync(self, pins: Sequence[Pin], built: dict[Pin, BuiltWheel]) -> None:
        """Have uv install them; of what was built here, the wheel's hash stands in place of the source's."""
        file = self.folder / "lock.txt"
        file.write_text(
            pins_text(
                replace(pin, hashes=(f"sha256:{built[pin].sha256}",)) if pin in built else pin for pin in pins
            ),
            encoding="utf-8",
        )
        folders = [str(wheel.path.parent) for wheel in built.values()]
        self.uv.install(str(file), self.environment.python, self.held, self.on_line, folders)

    def _sources(self, pins: Sequence[Pin], builds: SourceBuilds) -> dict[Pin, SourceFile]:
        """The sources of those pins that have no wheel for the interpreter; none where nothing may be built.

        Nothing is looked for once something is installed, as uv would start it with the interpreter.
        """
        there = {path.name for folder in self.environment.packages() for path in folder.iterdir()}
        if self.plan.environment.no_build or there - _VIRTUALENVS:
            return {}
        with suppress(LockError):  # then what uv has said first is the reason
            uv = Uv(Processes(), self.uv.source)
            return sources_of(pins, self.plan.interpreter.version, builds.tags(), uv)
        return {}


def sources_of(pins: Sequence[Pin], python: str, tags: Container[Tag], uv: Uv) -> dict[Pin, SourceFile]:
    """The sources of those pins that have no wheel with one of these tags; `python` is a version.

    uv asks the index, and runs nothing of theirs. A source whose digest the lock doesn't have is none. Raises
    LockError.
    """
    text = pins_text(replace(pin, marker="") for pin in pins)
    pylock = uv.files_of(text, f"=={'.'.join(python.split('.')[:2])}.*")
    found = {file.name: file for file in source_files(pylock, tags)}
    return {
        pin: found[pin.name]
        for pin in pins
        if pin.name in found and f"sha256:{found[pin.name].sha256}" in pin.hashes
    }
