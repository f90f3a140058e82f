"""`envman run`, `shell` and `which`: the environment of the bundle that one stands in, and no other interpreter."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import select
import shutil
import struct
import subprocess
import termios
from pathlib import Path

import pytest

from envman.launch.airflow_configuration import VARIABLE
from tests.conftest import Deployment, Result
from tests.waiting import until

PROJECT = """\
root = "venv"
[bundles]
bundle_a = { environment = "env_a", path = "dags/a" }
bundle_b = { team = "team_b", path = "dags/a/below" }
[teams]
team_b = { environment = "env_b" }
"""
HOSTILE_SH = """\
export PATH="$HOME/other:$PATH" PYTHONPATH=/nowhere SECRET_X=theirs GREETING=theirs
alias python="$HOME/other/python"
pip() { echo OTHER; }
move() { PATH="$HOME/other:$PATH"; }
PROMPT_COMMAND=move
PS1='$ '
"""
HOSTILE_FISH = """\
set -gx PATH $HOME/other $PATH; set -gx PYTHONPATH /nowhere; set -gx SECRET_X theirs; set -gx GREETING theirs
alias python=$HOME/other/python
function pip; echo OTHER; end
function move --on-event fish_prompt; set -gx PATH $HOME/other $PATH; end
"""
FILES = {
    ".bashrc": HOSTILE_SH,
    ".zshenv": 'export PATH="$HOME/other:$PATH"\n',
    ".zshrc": f"{HOSTILE_SH}precmd_functions+=(move)\n",
    ".shrc": HOSTILE_SH,
    ".config/fish/config.fish": HOSTILE_FISH,
}
SHELLS = ("bash", "zsh", "fish", "sh")
SHOW = 'python -c "import os, sys; print(sys.prefix, *map(os.environ.get, sys.argv[1:]))"'


@pytest.fixture
def project(two_teams: Deployment) -> Deployment:
    """Two bundles whose folders are known, one below the other."""
    two_teams.write("envman.toml", PROJECT)
    (two_teams.folder / "dags/a/below/deep").mkdir(parents=True)
    (two_teams.folder / "elsewhere").mkdir()
    spec = two_teams.folder / "environments/env_a.toml"
    more = '[variables]\nkeep-out = ["SECRET_*"]\nset = { GREETING = "it\'s \\\\ ours" }\n'
    spec.write_text(spec.read_text() + more)
    two_teams.ok("publish")
    return two_teams


def run_in(deployment: Deployment, folder: str, *arguments: str, stdin: str = "", **variables: str) -> Result:
    finished = subprocess.run(
        deployment.command(*arguments),
        cwd=deployment.folder / folder,
        env=deployment.environment | variables,
        text=True,
        input=stdin,
        capture_output=True,
        timeout=100,
        check=False,
    )
    return Result(finished.returncode, finished.stdout, finished.stderr)


def prefix(deployment: Deployment, environment: str) -> str:
    return str(deployment.root / ".gen" / deployment.current(environment))


def test_the_bundle_is_that_of_the_folder(project: Deployment) -> None:
    (project.folder / "link").symlink_to(project.folder / "dags/a/below")
    for folder, environment in (("dags/a", "env_a"), ("dags/a/below/deep", "env_b"), ("link", "env_b")):
        ran = run_in(project, folder, "run", "python", "-c", "import sys; print(sys.prefix); sys.exit(7)")
        assert (ran.exit_code, ran.stdout) == (7, prefix(project, environment) + "\n")
        which = run_in(project, folder, "which", COLUMNS="10", FORCE_COLOR="1")
        assert (which.exit_code, which.stdout) == (0, f"{prefix(project, environment)}/bin/python\n")


def test_where_no_bundle_is_it_says_so_and_runs_nothing(project: Deployment) -> None:
    for command in (("run", "touch", "ran"), ("which",), ("shell",)):
        refused = run_in(project, "elsewhere", *command, stdin="touch ran\n")
        assert refused.exit_code == 125
        assert "it is in no bundle's folder" in refused.stderr
        assert "bundle_a (../dags/a)" in refused.stderr
    assert not list((project.folder / "elsewhere").iterdir())
    project.write("envman.toml", PROJECT.replace("dags/a/below", "dags/a"))
    refused = run_in(project, "dags/a", "which")
    assert "it is the folder of several bundles: bundle_a, bundle_b" in refused.stderr
    project.write("envman.toml", "root = 'venv'\n[bundles]\nbundle_a = { environment = 'env_a' }\n")
    only = run_in(project, "elsewhere", "which")  # the project's only one
    assert only.stdout == f"{prefix(project, 'env_a')}/bin/python\n"


def test_which_names_programs_as_exec_would_run_them(project: Deployment, tmp_path: Path) -> None:
    (tmp_path / "pytest").write_text('#!/bin/sh\nexec pyenv exec pytest "$@"\n')
    (tmp_path / "pytest").chmod(0o755)
    path = f"{tmp_path}:{project.environment['PATH']}"
    assert run_in(project, ".", "which", "bundle_b", "sh").stdout.strip() == shutil.which("sh")
    refused = run_in(project, "dags/a", "which", ".", "pytest", PATH=path)
    assert (refused.exit_code, refused.stdout) == (127, "")
    assert "belongs to another interpreter" in refused.stderr
    assert run_in(project, ".", "which", "--environment", "env_b", "a", "b").exit_code == 125
    for words in (("shell", "bundle_a", "--dev"), ("which", "bundle_a", "--json")):
        assert "options stand before the bundle" in run_in(project, ".", *words).stderr


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose files put another interpreter first, as the shell starts and before each prompt."""
    folder = tmp_path / "home"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "other").mkdir()
    for name in ("python", "pip", "pytest"):
        (folder / "other" / name).write_text("#!/bin/sh\necho OTHER\n")
        (folder / "other" / name).chmod(0o755)
    return folder


def test_in_a_shell_python_is_the_environments(project: Deployment, home: Path) -> None:
    show = f"{SHOW} PYTHONPATH SECRET_X GREETING VIRTUAL_ENV"
    typed = f"{show}\npip install x\npytest\n{show}\nexit 7\n"
    own = prefix(project, "env_a")
    project.environment |= {"HOME": str(home), "ENV": str(home / ".shrc"), "TERM": "dumb"}
    for shell in SHELLS:
        command = f"{' '.join(project.command('shell', '--shell', shell))} bundle_a"
        finished = subprocess.run(
            ["script", "-qefc", command, "/dev/null"],
            cwd=project.folder,
            env=project.environment,
            input=typed,
            text=True,
            capture_output=True,
            timeout=100,
            check=False,
        )
        said = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", finished.stdout.replace("\r", ""))
        assert finished.returncode == 7, said
        assert said.count(f"{own} None None it's \\ ours {own}") == 2, said
        assert "\nOTHER" not in said
        assert "envman: 'pip' is not installed in the environment 'env_a'" in said
        assert "envman: 'pytest' is not installed in the environment 'env_a'" in said
        assert "(env_a) " in said


def test_without_a_terminal_it_reads_commands(project: Deployment, home: Path) -> None:
    variables = {"HOME": str(home), "BASH_ENV": str(home / ".bashrc")}
    typed = f"{SHOW} PYTHONPATH\necho $BASH_ENV\nexit 9\n"
    for shell in SHELLS:
        path = str(shutil.which(shell))
        ran = run_in(project, ".", "shell", "bundle_a", stdin=typed, SHELL=path, **variables)
        assert ran.exit_code == 9, ran.stderr
        assert ran.stdout.splitlines() == [f"{prefix(project, 'env_a')} None", variables["BASH_ENV"]]
        assert ran.stderr == ""


def test_a_shell_within_a_shell_has_the_inner_environment(project: Deployment) -> None:
    inner = f"{' '.join(project.command('shell', '--shell', 'sh'))} bundle_b"
    typed = f"echo '{SHOW}; echo $PATH' | {inner}\n"
    ran = run_in(project, ".", "shell", "--shell", "bash", "bundle_a", stdin=typed)
    python, path = ran.stdout.splitlines()
    assert python == prefix(project, "env_b")
    assert prefix(project, "env_a") not in path


def test_an_unknown_shell_is_refused(project: Deployment) -> None:
    refused = run_in(project, ".", "shell", "--shell", "/bin/cat", "bundle_a")
    assert refused.exit_code == 125
    assert "none of the shells that are known" in refused.stderr
    assert run_in(project, ".", "shell", "bundle_a", SHELL="/no/bash").exit_code == 127


def test_the_terminal_is_the_shells(project: Deployment) -> None:
    """Ctrl-C ends its job and not it, Ctrl-Z stops that, and a new size of the window arrives."""
    terminal, theirs = os.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", *project.command("shell", "--shell", "bash", "bundle_a")],
        cwd=project.folder,
        env=project.environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    said = b""

    def has_said(what: bytes) -> bool:
        nonlocal said
        with contextlib.suppress(OSError):  # the shell has ended
            while select.select([terminal], [], [], 0)[0]:
                said += os.read(terminal, 4096)
        return what in said

    def has_a_job() -> bool:
        has_said(b"")
        return os.tcgetpgrp(terminal) != process.pid

    try:
        for key in (b"\x03", b"\x1a"):
            os.write(terminal, b"sleep 1000\n")
            until(has_a_job, lambda: said)
            os.write(terminal, key)
            until(lambda: not has_a_job(), lambda: said)
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
        os.write(
            terminal, b"stty size; echo stopped: $(jobs -s | wc -l); kill -9 %1; wait %1; exit 3\nexit 3\n"
        )
        until(lambda: has_said(b"33 77") and has_said(b"stopped: 1"), lambda: said)
        until(lambda: process.poll() is not None, lambda: said)  # a stopped job would keep it from its end
        assert process.returncode == 3
    finally:
        process.kill()
        process.wait()
        os.close(terminal)


def test_sync_and_test_find_the_bundle_of_the_project_that_is_named(
    two_teams: Deployment, tmp_path: Path
) -> None:
    two_teams.write("envman.toml", 'root = "venv"\n[bundles]\nbundle_b = { environment = "env_b" }\n')
    two_teams.ok("publish")
    named = ("--project", str(two_teams.folder))
    synced = run_in(two_teams, str(tmp_path), "sync", *named)
    assert synced.exit_code == 0, synced.stderr
    assert f"{two_teams.folder}/.envman/bundle_b/bin/python leads to" in synced.stdout
    tested = run_in(two_teams, str(tmp_path), "test", *named)
    assert (tested.exit_code, "env_b has no Airflow" in tested.stderr) == (0, True)
    two_teams.write("envman.toml", 'root = "venv"\ndefault-environment = "env_b"\n')
    two_teams.ok("publish")
    listed = [{"name": "../../evil", "classpath": "git.GitDagBundle", "kwargs": {}}]
    refused = run_in(two_teams, ".", "sync", "../../evil", **{VARIABLE: json.dumps(listed)})
    assert (refused.exit_code, "no link can have its name" in refused.stderr) == (2, True)
