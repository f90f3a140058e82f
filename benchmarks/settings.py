"""What the command line of the benchmarks says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FEW = 3
"""The small number of environments, to compare the large one with."""


@dataclass(frozen=True)
class Settings:
    """`folder` holds everything that is made; `envman` is the installed console script that is measured."""

    folder: Path
    envman: Path
    environments: int
    runs: int
    rounds: int | None
    jobs: int

    @property
    def python(self) -> Path:
        """The interpreter that envman itself runs in."""
        return self.envman.parent / "python"

    @property
    def uv(self) -> Path:
        """The uv that envman runs."""
        return self.envman.parent / "uv"

    @property
    def sizes(self) -> tuple[int, ...]:
        """The numbers of environments to compare."""
        return tuple(sorted({FEW, self.environments}))
