"""A project on disk, a wheelhouse of small wheels, and envman as its users run it: as a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.wheels import make_wheel

# A shell's job in the background ignores it, and so would all children.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass
class Result:
    """What a run of envman gave."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


@dataclass
class Deployment:
    """A project folder and the variables that envman runs with in it."""

    folder: Path
    environment: dict[str, str]
    root: Path = field(init=False)

    def __post_init__(self) -> None:
        self.root = self.folder / "venv"

    def write(self, path: str, text: str) -> Path:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def spec(self, name: str, dependencies: list[str], more: str = "") -> None:
        listed = json.dumps(dependencies)
        self.write(
            f"environments/{name}.toml",
            f'requires-python = "=={PYTHON}.*"\ndependencies = {listed}\n{more}',
        )

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "envman", *arguments]

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,
        )

    def run(self, *arguments: str, variables: Mapping[str, str] | None = None) -> Result:
        finished = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env={**self.environment, **(variables or {})},
            text=True,
            capture_output=True,
            timeout=300,
            check=False,
        )
        return Result(finished.returncode, finished.stdout, finished.stderr)

    def ok(self, *arguments: str, variables: Mapping[str, str] | None = None) -> Result:
        result = self.run(*arguments, variables=variables)
        assert result.exit_code == 0, result.stdout + result.stderr
        return result

    def current(self, name: str) -> str:
        return (self.root / name).readlink().name

    def generations(self) -> set[str]:
        return {entry.name for entry in (self.root / ".gen").iterdir()}


@pytest.fixture(scope="session")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packages that conflict as pandas and numpy do: frame 1 needs grid 1, frame 2 needs grid 2."""
    folder = tmp_path_factory.mktemp("wheels")
    make_wheel(folder, "grid", "1.0")
    make_wheel(folder, "grid", "1.1")
    make_wheel(folder, "grid", "2.0")
    make_wheel(folder, "frame", "1.5", ["grid<2"])
    make_wheel(folder, "frame", "2.2", ["grid>=2"])
    make_wheel(folder, "windows-only", "1.0")
    make_wheel(
        folder, "broken", "1.0", files={"broken/__init__.py": "raise RuntimeError('broken on import')\n"}
    )
    tool = "import sys\n\n\ndef main():\n    print(sys.prefix)\n"
    make_wheel(folder, "tool", "1.0", files={"tool/__init__.py": tool}, console_script="tool = tool:main")
    many = {f"heavy/part_{number}.py": f"VALUE = {number}\n" * 40 for number in range(400)}
    make_wheel(folder, "heavy", "1.0", files=many)
    return folder


@pytest.fixture(scope="session")
def clean_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of a machine that has this Python, a home and a uv cache of its own, and nothing else."""
    home = tmp_path_factory.mktemp("home")
    folders = [str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"]
    return {
        "PATH": ":".join(folders),
        "HOME": str(home),
        "PYENV_ROOT": str(home / "no-pyenv"),
        "UV_CACHE_DIR": str(home / "uv-cache"),
        "LANG": "C.UTF-8",
        "PYTHONWARNINGS": "error",
    }


@pytest.fixture
def deployment(tmp_path: Path, wheelhouse: Path, clean_environment: dict[str, str]) -> Deployment:
    """An empty project whose only index is the wheelhouse."""
    made = Deployment(tmp_path / "project", dict(clean_environment))
    made.write("envman.toml", 'root = "venv"\n')
    made.write("uv.toml", f"no-index = true\nfind-links = [{json.dumps(str(wheelhouse))}]\n")
    return made


@pytest.fixture
def registry_deployment(tmp_path: Path) -> Deployment:
    """An empty project that uses the package registry, the way this user reaches it."""
    dropped = ("AIRFLOW", "ENVMAN", "PYTHON", "VIRTUAL_ENV")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
    made = Deployment(tmp_path / "project", kept)
    made.write("envman.toml", 'root = "venv"\n')
    return made


@pytest.fixture
def two_teams(deployment: Deployment) -> Deployment:
    """Two locked and built environments whose dependencies conflict, a bundle for each, one through a team."""
    deployment.write(
        "envman.toml",
        'root = "venv"\n'
        '[bundles]\nbundle_a = { environment = "env_a" }\nbundle_b = { team = "team_b" }\n'
        '[teams]\nteam_b = { environment = "env_b" }\n',
    )
    deployment.spec("env_a", ["frame>=2"], '[checks]\nimports = ["frame", "grid"]\n')
    deployment.spec("env_b", ["frame<2"], '[checks]\nimports = ["frame", "grid"]\n')
    deployment.ok("lock")
    deployment.ok("build")
    return deployment


def in_python(code: str) -> tuple[str, str, str]:
    """The words that run a piece of Python."""
    return ("python", "-c", code)
