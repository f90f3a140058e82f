"""Install a lock into a virtual environment: wheels as they are, and what has none once it was built."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
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
from envman.system.files import write_atomic
from envman.system.processes import Processes
from envman.uv.known_packages import LocalWheel
from envman.uv.runner import Uv

_ORIGIN = ("direct_url.json", "uv_cache.json")
"""What uv notes of a wheel that it takes from its place (PEP 610, and a time of its own)."""

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

    def run(self, builds: SourceBuilds, own: Mapping[Pin, LocalWheel]) -> None:
        """Install all packages, exactly as they are locked; raises BuildError, OSError.

        What has a wheel costs nothing more: sources are looked for where uv could not do without. `own` are
        the wheels of code of one's own, by their pins.
        """
        declared = self.plan.environment
        lock = parse_lock(self.plan.lock_text, declared.lock_file, declared.name)
        markers = self.plan.interpreter.marker_environment()
        pins = [pin for pin in lock.indexed() if pin.applies(markers)]
        certain = [] if declared.no_build else [pin for pin in pins if len(pin.hashes) == 1]
        built = builds.kept_wheels(certain)  # of others a wheel may be there, too
        try:
            self._sync(pins, built, own)
            return
        except BuildError:
            missing = self._sources([pin for pin in pins if pin not in built], builds)
            if not missing:
                raise
        for pin, file in missing.items():
            built[pin] = builds.wheel(file)
        self._sync(pins, built, own)

    def _sync(
        self, pins: Sequence[Pin], built: Mapping[Pin, BuiltWheel], own: Mapping[Pin, LocalWheel]
    ) -> None:
        """Have uv install them; of what was built here, the wheel's hash stands in place of the source's."""
        file = self.folder / "lock.txt"
        text = pins_text(
            replace(pin, hashes=(f"sha256:{built[pin].sha256}",)) if pin in built else pin for pin in pins
        )
        text += "".join(f"{wheel.locked()}\n" for wheel in own.values())
        file.write_text(text, encoding="utf-8")
        folders = [str(wheel.path.parent) for wheel in built.values()]
        self.uv.install(str(file), self.environment.python, self.held, self.on_line, folders)
        for folder in self.environment.packages():
            for pin in own:
                drop_origin(folder, pin)

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


def drop_origin(packages: Path, pin: Pin) -> None:
    """Take out of what is installed where on this machine its wheel was, which other builders have elsewhere.

    RECORD is uv's own file, made at the installation, and no link into its cache. Raises OSError.
    """
    info = packages / f"{pin.name.replace('-', '_')}-{pin.version}.dist-info"
    gone = {f"{info.name}/{name}" for name in _ORIGIN if (info / name).is_file()}
    for path in gone:
        (packages / path).unlink()
    record = info / "RECORD"
    lines = record.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if line.partition(",")[0] not in gone]
    write_atomic(record, "".join(f"{line}\n" for line in kept))


def sources_of(pins: Sequence[Pin], python: str, tags: Container[Tag], uv: Uv) -> dict[Pin, SourceFile]:
    """The sources of those pins that have no wheel with one of these tags; `python` is a version.

    uv asks the index, and runs nothing of theirs. A source whose digest the lock doesn't have is none. Raises
    LockError.
    """
    bare = [replace(pin, marker="") for pin in pins]
    pylock = uv.files_of(bare, f"=={'.'.join(python.split('.')[:2])}.*")
    found = {file.name: file for file in source_files(pylock, tags)}
    return {
        pin: found[pin.name]
        for pin in pins
        if pin.name in found and f"sha256:{found[pin.name].sha256}" in pin.hashes
    }
