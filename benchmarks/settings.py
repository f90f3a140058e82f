"""What the command line of the benchmarks says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FEW = 3
"""The small number of environments, to compare the large one with."""

MANY = 300
"""The large number of tiny environments."""


@dataclass(frozen=True)
class Settings:
    """`folder` holds everything that is made; `envman` is the installed console script that is measured.

    `environments`, `files` and `rivals` are empty where a benchmark should take its own. `bundles` is how
    many each environment has in `scale`, `server_memory` the budget of all servers (empty: none). `plain`:
    their files import nothing but Airflow. `full`:
    Airflow's environments as teams have them, with some 400 packages, plugins and a policy.
    """

    folder: Path
    envman: Path
    environments: tuple[int, ...]
    runs: int
    rounds: int | None
    jobs: int
    files: tuple[int, ...] = ()
    loops: int = 2
    rivals: tuple[str, ...] = ()
    full: bool = False
    bundles: int = 1
    server_memory: str = ""
    plain: bool = False

    @property
    def python(self) -> Path:
        """The interpreter that envman itself runs in."""
        return self.envman.parent / "python"

    @property
    def uv(self) -> Path:
        """The uv that envman runs."""
        return self.envman.parent / "uv"

    @property
    def many(self) -> int:
        """The large number of tiny environments."""
        return max(self.environments, default=MANY)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The numbers of tiny environments to compare."""
        return tuple(sorted({FEW, self.many}))

    @property
    def teams(self) -> tuple[int, ...]:
        """The numbers of environments that hold an Airflow."""
        return self.environments or (1, 3, 10)
