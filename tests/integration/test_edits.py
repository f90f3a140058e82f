"""`envman add --build` and `envman remove --build`: spec, lock and environment change together, or not at all."""

from __future__ import annotations

import signal

import pytest

from envman.signing.policy_file import VARIABLE
from tests.conftest import PYTHON, Deployment, in_python
from tests.waiting import until

SPEC = f'requires-python = "=={PYTHON}.*"\ndependencies = ["frame>=2"]\n'


def checked_by(command: str) -> str:
    """A spec whose generations have to pass a piece of Python."""
    return f"{SPEC}[checks]\ncommands = [['python', '-c', '''{command}''']]\n"


@pytest.fixture
def team(two_teams: Deployment) -> Deployment:
    """`env_a`, whose check refuses what was added; lock and what is built answer the spec before it had a check."""
    refuses = 'import importlib.util as u, sys; sys.exit(bool(u.find_spec("tool")) and "no tools here")'
    two_teams.write("environments/env_a.toml", checked_by(refuses))
    two_teams.ok("build", "env_a")
    two_teams.write("environments/env_a.lock.sig", "of the lock as it is\n")
    (two_teams.folder / "environments/env_a.dev-lock").write_bytes(b"\xff of a merge\r\n")
    return two_teams


def texts(deployment: Deployment) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (deployment.folder / "environments").iterdir()}


def test_a_requirement_is_added_locked_built_and_published_by_one_command(two_teams: Deployment) -> None:
    before = two_teams.current("env_a")
    result = two_teams.ok("add", "env_a", "tool>=1", "--build", "--json").json["result"]
    assert (result["build"]["status"], result["build"]["generation"]) == (
        "built",
        two_teams.current("env_a"),
    )
    assert two_teams.current("env_a") != before
    two_teams.ok("lock", "--check")
    assert two_teams.ok("exec", "--environment", "env_a", "--", "tool").exit_code == 0
    said = two_teams.ok("remove", "env_a", "tool", "--build").stdout
    assert "tool>=1 removed from environments/env_a.toml" in said
    assert two_teams.current("env_a") == before


def test_what_can_not_be_built_leaves_spec_lock_and_signature_as_they_were(team: Deployment) -> None:
    before, current = texts(team), team.current("env_a")
    result = team.run("add", "env_a", "tool", "--build")
    assert result.exit_code == 6
    assert "no tools here" in result.stderr
    assert texts(team) == before
    assert team.current("env_a") == current
    spec, shared = team.folder / "environments/env_a.toml", team.folder / "shared.toml"
    spec.rename(shared)
    spec.symlink_to("../shared.toml")
    shared.chmod(0o664)
    shared.write_bytes(shared.read_bytes().replace(b"\n", b"\r\n"))
    team.ok("add", "env_a", "tool")  # without a build it is done all the same
    assert texts(team) != before
    assert (spec.is_symlink(), "tool" in shared.read_text().partition("[checks]")[0]) == (True, True)
    assert shared.stat().st_mode & 0o777 == 0o664
    assert shared.read_bytes().count(b"\r\n") == shared.read_bytes().count(b"\n")


def test_where_only_signed_locks_are_built_nothing_is_begun(two_teams: Deployment) -> None:
    before = texts(two_teams)
    two_teams.environment[VARIABLE] = str(two_teams.folder / "policy")
    result = two_teams.run("add", "env_a", "tool", "--build")
    assert (result.exit_code, "envman sign" in result.stderr) == (10, True)
    assert texts(two_teams) == before
    bisected = two_teams.run("bisect", "env_a", "--good", two_teams.current("env_b"), "--", "true")
    assert (bisected.exit_code, "nobody's" in bisected.stderr) == (10, True)


def test_a_held_environment_is_told_and_left_as_it_is(two_teams: Deployment) -> None:
    before, current = texts(two_teams), two_teams.current("env_a")
    two_teams.ok("hold", "env_a", "grid 2 breaks sales")
    for words in (("add", "env_a", "tool"), ("remove", "env_a", "frame")):
        result = two_teams.run(*words, "--build")
        assert result.exit_code == 2
        assert "grid 2 breaks sales" in result.stderr
        assert "envman unhold env_a" in result.stderr
    assert (texts(two_teams), two_teams.current("env_a")) == (before, current)


def test_an_edit_that_is_interrupted_as_it_builds_is_undone(two_teams: Deployment) -> None:
    waits = "import time, sys; sys.stderr.write(str(sys.flags)); time.sleep(600)"
    two_teams.write("environments/env_a.toml", checked_by(waits))
    before = texts(two_teams)
    process = two_teams.start("add", "env_a", "tool", "--build")
    lock = two_teams.folder / "environments/env_a.lock"
    until(lambda: lock.read_bytes() != before["env_a.lock"], "nothing is locked")
    assert process.stderr is not None
    said = iter(process.stderr.readline, "")
    assert any("imports and commands" in line for line in said)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert texts(two_teams) == before
    assert two_teams.ok("exec", "--environment", "env_a", "--", *in_python("import frame")).exit_code == 0
