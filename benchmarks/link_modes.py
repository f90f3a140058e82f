"""`links`: what a real team's environment costs by how its files come from uv's cache."""

from __future__ import annotations

import errno
import fcntl
from collections.abc import Callable
from pathlib import Path

from benchmarks.disk import disk
from benchmarks.measure import Sample
from benchmarks.real_teams import HELD_OUT, TeamsProject, targets
from benchmarks.report import Comparison
from benchmarks.settings import Settings

ROUNDS = 5
MODES = {"hard links": "hardlink", "copies": "copy", "reflinks": "clone"}
RIVAL = "uv venv + uv pip sync, copies"
_FICLONE = 0x40049409


class LinksProject(TeamsProject):
    """One of the eight teams, with a way to link."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.names = [HELD_OUT]
        self.ten = []
        self.mode = ""

    def _environment(self) -> dict[str, str]:
        return super()._environment() | ({"UV_LINK_MODE": self.mode} if self.mode else {})

    def by(self, mode: str, build: Callable[[Path], Sample]) -> Callable[[Path], Sample]:
        """The same build, its files linked in a way."""

        def run(target: Path) -> Sample:
            self.mode = mode
            return build(target)

        return run


def compare(settings: Settings) -> list[Comparison]:
    """Wall time, processor time and disk of one environment, bytecode in its store, each way to link."""
    project = LinksProject(settings)
    project.prepare()
    modes = {name: mode for name, mode in MODES.items() if mode != "clone" or has_reflinks(project.folder)}
    sides = {RIVAL: project.by("copy", project.sync)}
    sides |= {f"envman build, {name}": project.by(mode, project.build) for name, mode in modes.items()}
    samples: dict[str, list[tuple[Sample, int, int]]] = {side: [] for side in sides}
    folders = targets(project, "links")
    for _ in range(settings.rounds or ROUNDS):
        for side, build in sides.items():
            target = next(folders)
            sample = build(target)
            taken = disk(target)
            samples[side].append((sample, taken.total, taken.own))
    folders.close()
    measures: dict[str, Callable[[tuple[Sample, int, int]], float]] = {
        "wall time": lambda one: one[0].wall,
        "processor time": lambda one: one[0].cpu,
        "disk": lambda one: one[1],
        "disk beyond what the caches hold already": lambda one: one[2],
    }
    notes = () if "reflinks" in modes else ("this file system has no reflinks",)
    return [
        Comparison(
            f"links: one environment of {HELD_OUT}, caches warm, {name}",
            {side: [measure(one) for one in taken] for side, taken in samples.items()},
            (RIVAL,),
            notes=notes if name == "wall time" else (),
            unit="bytes" if name.startswith("disk") else "seconds",
        )
        for name, measure in measures.items()
    ]


def has_reflinks(folder: Path) -> bool:
    """Whether a file of a folder can share its blocks with another one (ioctl_ficlone(2))."""
    one, other = folder / "reflink-1", folder / "reflink-2"
    one.write_bytes(b"content")
    try:
        with one.open("rb") as source, other.open("wb") as target:
            fcntl.ioctl(target.fileno(), _FICLONE, source.fileno())
    except OSError as error:
        if error.errno not in {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOTTY, errno.EXDEV}:
            raise
        return False
    finally:
        one.unlink()
        other.unlink(missing_ok=True)
    return True
