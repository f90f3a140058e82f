"""A project on disk, a wheelhouse of small wheels, and envman as its users run it: as a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests import lanes, loopback
from tests.fork_servers import statuses
from tests.kept import KeptFolder
from tests.wheels import make_wheel

# A shell's job in the background ignores the one, nohup's command the other, and so would all children.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--lane", choices=list(lanes.LANES), help="only the tests of this lane (tests/lanes.py)")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave other lanes' files out before they are imported: they may need what this lane does without."""
    lane = config.getoption("--lane")
    if lane is None or not collection_path.is_relative_to(lanes.TESTS):
        return None
    if collection_path.is_dir():
        return None if lanes.may_hold(collection_path, lane) else True
    return None if lanes.lane_of(collection_path) == lane else True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a test that is skipped fails: nothing is left out there."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI"):
        report.outcome, report.longrepr = "failed", f"skipped, in CI: {report.longrepr}"
    return report


@pytest.fixture(autouse=True)
def unit_tests_need_no_network(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test of the lane `unit` that talks to another machine, also where the code swallows the refusal."""
    if lanes.lane_of(request.path) != "unit":
        yield
        return
    with loopback.only() as refused:
        yield
    assert not refused, f"a unit test needs a network: {refused}"


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
    _started: list[subprocess.Popen[str]] = field(init=False, default_factory=list, repr=False)

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
        """Start envman, which has to end with the test: what still runs then is killed, and the test fails."""
        process = subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,
        )
        self._started.append(process)
        return process

    def end(self) -> None:
        """Kill what was started and still runs; raises AssertionError if there was something."""
        left = [process for process in self._started if process.poll() is None]
        for process in left:
            process.kill()
        for process in self._started:
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        assert not left, f"still running at the end of the test: {[process.args for process in left]}"

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


@pytest.fixture(scope="session", autouse=True)
def runtime_folder() -> Iterator[str]:
    """Where fork servers are that are started without saying where: not in the machine's folder.

    Its name is short, as a socket's path has 107 bytes. Servers that still wait for work end with the session.
    """
    with tempfile.TemporaryDirectory(prefix="envman-run-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", folder)
        yield folder
        for server in statuses(Path(folder, "envman")):
            os.kill(server["pid"], signal.SIGTERM)


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
def clean_environment(tmp_path_factory: pytest.TempPathFactory, runtime_folder: str) -> dict[str, str]:
    """The variables of a machine that has this Python, a home and a uv cache of its own, and nothing else."""
    home = tmp_path_factory.mktemp("home")
    folders = [str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"]
    return {
        "PATH": ":".join(folders),
        "HOME": str(home),
        "PYENV_ROOT": str(home / "no-pyenv"),
        "UV_CACHE_DIR": str(home / "uv-cache"),
        "XDG_RUNTIME_DIR": runtime_folder,
        "LANG": "C.UTF-8",
        "PYTHONWARNINGS": "error",
    }


def empty(folder: Path, wheelhouse: Path, environment: Mapping[str, str]) -> Deployment:
    """A project without environments, whose only index is the wheelhouse."""
    made = Deployment(folder, dict(environment))
    made.write("envman.toml", 'root = "venv"\n')
    made.write("uv.toml", f"no-index = true\nfind-links = [{json.dumps(str(wheelhouse))}]\n")
    return made


@pytest.fixture
def deployment(tmp_path: Path, wheelhouse: Path, clean_environment: dict[str, str]) -> Iterator[Deployment]:
    """An empty project whose only index is the wheelhouse."""
    made = empty(tmp_path / "project", wheelhouse, clean_environment)
    yield made
    made.end()


@pytest.fixture
def registry_deployment(tmp_path: Path) -> Deployment:
    """An empty project that uses the package registry, the way this user reaches it."""
    dropped = ("AIRFLOW", "ENVMAN", "PYTHON", "VIRTUAL_ENV")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
    made = Deployment(tmp_path / "project", kept)
    made.write("envman.toml", 'root = "venv"\n')
    return made


@pytest.fixture(scope="session")
def kept_teams(
    tmp_path_factory: pytest.TempPathFactory, wheelhouse: Path, clean_environment: dict[str, str]
) -> KeptFolder:
    """The project of `two_teams`, locked and built once."""
    deployment = empty(tmp_path_factory.mktemp("teams") / "project", wheelhouse, clean_environment)
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
    return KeptFolder(deployment.folder)


@pytest.fixture
def two_teams(kept_teams: KeptFolder, clean_environment: dict[str, str]) -> Iterator[Deployment]:
    """Two locked and built environments whose dependencies conflict, a bundle for each, one through a team.

    Each test has them as they were built, and may do to them what it wants.
    """
    kept_teams.put_back()
    made = Deployment(kept_teams.folder, dict(clean_environment))
    yield made
    made.end()
    kept_teams.check_left()


def in_python(code: str) -> tuple[str, str, str]:
    """The words that run a piece of Python."""
    return ("python", "-c", code)
