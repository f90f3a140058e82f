"""What is around a command: the project of a folder above, interpreters that can't be looked at, one that went."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.conftest import Deployment
from tests.rights import give_up_rights


def run_in(folder: Path, deployment: Deployment, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run envman in a folder, as a user without any special right."""
    return subprocess.run(
        deployment.command(*arguments),
        cwd=folder,
        env=deployment.environment,
        text=True,
        capture_output=True,
        timeout=120,
        preexec_fn=give_up_rights,
        check=False,
    )


def test_a_project_of_a_folder_above_is_told_unless_it_was_named(deployment: Deployment) -> None:
    deployment.spec("env_a", ["frame"])
    below = deployment.folder / "teams" / "a"
    below.mkdir(parents=True)
    told = f"project: {deployment.folder}, a folder above this one"
    result = run_in(below, deployment, "lock")
    assert (result.returncode, result.stderr.count(told)) == (0, 1)
    assert told not in run_in(deployment.folder, deployment, "lock", "--check").stderr
    named = run_in(below, deployment, "lock", "--check", "--project", str(deployment.folder))
    assert (named.returncode, told in named.stderr) == (0, False)


def test_interpreters_that_can_not_be_looked_at_are_passed_over(
    deployment: Deployment, tmp_path: Path
) -> None:
    """A pyenv, a folder of PATH and a link into a home are another user's; what is left is enough, or it is told."""
    closed, links = tmp_path / "closed", tmp_path / "links"
    (closed / "versions").mkdir(parents=True)
    links.mkdir()
    (links / "python3").symlink_to(closed / "python3")
    closed.chmod(0)
    path = deployment.environment["PATH"]
    deployment.environment |= {"PYENV_ROOT": str(closed / "pyenv"), "PATH": f"{links}:{closed}:{path}"}
    deployment.spec("env_a", ["frame"])
    try:
        built = run_in(deployment.folder, deployment, "lock")
        assert built.returncode == 0, built.stderr
        built = run_in(deployment.folder, deployment, "build")
        assert built.returncode == 0, built.stderr
        deployment.write("environments/env_a.toml", 'requires-python = "==3.99.*"\ndependencies = []\n')
        assert run_in(deployment.folder, deployment, "lock").returncode == 0
        missing = run_in(deployment.folder, deployment, "build")
        assert (missing.returncode, f"may not look into {closed}" in missing.stderr) == (6, True)
    finally:
        closed.chmod(0o700)


def test_all_commands_say_that_the_base_interpreter_is_gone_and_a_build_takes_another(
    deployment: Deployment, tmp_path: Path
) -> None:
    python = tmp_path / "installed" / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    python.parent.mkdir(parents=True)
    base = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    shutil.copyfile(base, python)
    python.chmod(0o755)
    (tmp_path / "installed/lib").symlink_to(base.parents[1] / "lib")
    deployment.spec("env_a", ["frame"])
    deployment.ok("lock")
    deployment.ok("build", "--python", str(python))
    shutil.rmtree(tmp_path / "installed")
    assert "gone" in deployment.ok("list", "--json").json["result"][0]["interpreter"]
    verified = deployment.run("verify")
    assert (verified.exit_code, "envman build env_a" in verified.stderr) == (8, True)
    started = deployment.run("exec", "--environment", "env_a", "--", "python", "-V")
    assert (started.exit_code, "base interpreter" in started.stderr) == (127, True)
    assert "built" in deployment.ok("build").stdout
    assert deployment.ok("exec", "--environment", "env_a", "--", "python", "-V").exit_code == 0
