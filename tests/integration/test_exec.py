"""The contract of `envman exec`: same process, signals and exit status; nobody else's interpreter."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Deployment, in_python

SHOW = "import json, os, sys; print(json.dumps([sys.prefix, sys.executable, dict(os.environ)]))"


def shown(deployment: Deployment, *arguments: str, **variables: str) -> tuple[str, str, dict[str, str]]:
    result = deployment.ok("exec", *arguments, "--", *in_python(SHOW), variables=variables)
    prefix, executable, environment = json.loads(result.stdout)
    return prefix, executable, environment


def test_each_bundle_runs_in_its_own_environment(two_teams: Deployment) -> None:
    code = in_python("import frame, grid; print(frame.__version__, grid.__version__)")
    assert two_teams.ok("exec", "--bundle", "bundle_a", "--", *code).stdout == "2.2 2.0\n"
    assert two_teams.ok("exec", "--bundle=bundle_b", "--", *code).stdout == "1.5 1.1\n"
    assert two_teams.ok("exec", "--team", "team_b", *code).stdout == "1.5 1.1\n"
    assert two_teams.ok("exec", "--environment", "env_a", "--", *code).stdout == "2.2 2.0\n"


def test_the_process_is_replaced(two_teams: Deployment) -> None:
    process = two_teams.start(
        "exec", "--bundle", "bundle_a", "--", *in_python("import os; print(os.getpid())")
    )
    stdout, _ = process.communicate(timeout=300)
    assert int(stdout) == process.pid


def test_it_runs_in_the_generation_itself_not_behind_the_link(two_teams: Deployment) -> None:
    prefix, executable, environment = shown(two_teams, "--bundle", "bundle_a")
    generation = str(two_teams.root / ".gen" / two_teams.current("env_a"))
    assert prefix == generation
    assert executable == f"{generation}/bin/python"
    assert environment["VIRTUAL_ENV"] == generation
    assert environment["PATH"].split(":")[0] == f"{generation}/bin"


@pytest.mark.parametrize("code", [0, 1, 77, 255])
def test_the_exit_status_is_the_commands(two_teams: Deployment, code: int) -> None:
    result = two_teams.run("exec", "--bundle", "bundle_a", "--", *in_python(f"raise SystemExit({code})"))
    assert result.exit_code == code


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL, signal.SIGPIPE])
def test_signals_are_the_commands(two_teams: Deployment, signum: int) -> None:
    process = two_teams.start("exec", "--bundle", "bundle_a", "--", "sh", "-c", "echo ready; exec sleep 60")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signum)
    process.communicate(timeout=300)
    assert process.returncode == -signum


def test_sigpipe_is_not_ignored_in_the_command(two_teams: Deployment) -> None:
    status = two_teams.ok("exec", "--bundle", "bundle_a", "--", "grep", "SigIgn", "/proc/self/status").stdout
    assert int(status.split()[1], 16) & (1 << (signal.SIGPIPE - 1)) == 0


def test_large_output_on_both_streams_passes_through(two_teams: Deployment) -> None:
    code = "import sys; sys.stderr.write('e' * 200_000); sys.stdout.write('o' * 200_000)"
    result = two_teams.ok("exec", "--bundle", "bundle_a", "--", *in_python(code))
    assert (len(result.stdout), len(result.stderr)) == (200_000, 200_000)


def test_standard_input_folder_and_umask_are_the_callers(two_teams: Deployment) -> None:
    code = "import os, sys; print(sys.stdin.read(), os.getcwd(), oct(os.umask(0)))"
    finished = subprocess.run(
        [
            "sh",
            "-c",
            'umask 027; exec "$@"',
            "sh",
            *two_teams.command("exec", "--team", "team_b", *in_python(code)),
        ],
        cwd=two_teams.folder,
        env=two_teams.environment,
        input="hello",
        text=True,
        capture_output=True,
        check=True,
    )
    assert finished.stdout == f"hello {two_teams.folder} 0o27\n"


def test_variables_are_dropped_kept_out_and_set(two_teams: Deployment) -> None:
    two_teams.spec(
        "env_a",
        ["frame>=2"],
        '[variables]\nset = { GREETING = "two words\\tand a tab" }\nkeep-out = ["AWS_*", "TOKEN"]\n',
    )
    two_teams.ok("build")
    _, _, environment = shown(
        two_teams, "--bundle", "bundle_a", AWS_KEY="1", TOKEN="2", TOKENS="3", PYTHONPATH="/x", PYTHONHOME=""
    )
    assert environment["GREETING"] == "two words\tand a tab"
    assert "TOKENS" in environment
    assert not {"AWS_KEY", "TOKEN", "PYTHONPATH", "PYTHONHOME"} & set(environment)


def test_a_change_of_variables_builds_nothing(two_teams: Deployment) -> None:
    before = two_teams.generations()
    two_teams.spec(
        "env_a", ["frame>=2"], '[checks]\nimports = ["frame", "grid"]\n[variables]\nset = { A = "1" }\n'
    )
    two_teams.ok("build")
    assert two_teams.generations() == before
    assert shown(two_teams, "--bundle", "bundle_a")[2]["A"] == "1"


def test_a_command_that_is_not_there_is_127(two_teams: Deployment) -> None:
    result = two_teams.run("exec", "--bundle", "bundle_a", "--", "no-such-command")
    assert result.exit_code == 127
    assert "no-such-command" in result.stderr
    assert two_teams.run("exec", "--bundle", "bundle_a", "--", "/no/such/file").exit_code == 127


def test_a_command_that_is_not_executable_is_126(two_teams: Deployment) -> None:
    plain = two_teams.write("plain.txt", "text\n")
    result = two_teams.run("exec", "--bundle", "bundle_a", "--", str(plain))
    assert result.exit_code == 126
    plain.chmod(0o755)
    assert two_teams.run("exec", "--bundle", "bundle_a", "--", str(plain)).exit_code == 126


def test_another_interpreters_command_on_path_is_refused(two_teams: Deployment, tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "airflow-like"
    script.write_text(f"#!{sys.executable}\nprint('wrong interpreter')\n")
    script.chmod(0o755)
    shutil.copy(script, folder / "airflow")
    path = f"{folder}:{two_teams.environment['PATH']}"
    for name in ("airflow-like", "airflow", "python3.9", "pip"):
        result = two_teams.run("exec", "--bundle", "bundle_a", "--", name, variables={"PATH": path})
        assert result.exit_code == 127, name
        assert "wrong interpreter" not in result.stdout
    script.write_text("#!/bin/sh\necho fine\n")
    result = two_teams.ok("exec", "--bundle", "bundle_a", "--", "airflow-like", variables={"PATH": path})
    assert result.stdout == "fine\n"


def test_the_callers_virtual_environment_is_left(two_teams: Deployment, tmp_path: Path) -> None:
    folder = tmp_path / "callers" / "bin"
    folder.mkdir(parents=True)
    (folder / "thing").write_text("#!/bin/sh\necho the caller's\n")
    (folder / "thing").chmod(0o755)
    variables = {"VIRTUAL_ENV": str(folder.parent), "PATH": f"{folder}:{two_teams.environment['PATH']}"}
    assert two_teams.run("exec", "--bundle", "bundle_a", "--", "thing", variables=variables).exit_code == 127


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--bundle", "bundel_a"], "Did you mean 'bundle_a'?"),
        (["--team", "team_x"], "team 'team_x'"),
        (["--environment", "env_c"], "environment 'env_c'"),
        (["--bundle", "bundle_a", "--team", "team_b"], "name one"),
        ([], "Neither --bundle nor --team"),
        (["--bundel", "x"], "unknown option"),
    ],
)
def test_no_answer_is_125_and_runs_nothing(two_teams: Deployment, arguments: list[str], said: str) -> None:
    result = two_teams.run("exec", *arguments, "--", *in_python("print('ran')"))
    assert result.exit_code == 125
    assert said in result.stderr
    assert "ran" not in result.stdout
    assert "Traceback" not in result.stderr


def test_teams_come_from_airflows_configuration(two_teams: Deployment) -> None:
    listed = [
        {"name": "new", "classpath": "x", "kwargs": {}, "team_name": "team_b"},
        {"name": "lost", "classpath": "x"},
    ]
    variables = {"AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(listed)}
    code = in_python("import frame; print(frame.__version__)")
    assert two_teams.ok("exec", "--bundle", "new", "--", *code, variables=variables).stdout == "1.5\n"
    lost = two_teams.run("exec", "--bundle", "lost", "--", *code, variables=variables)
    assert lost.exit_code == 125
    assert "has no team" in lost.stderr


def test_two_teams_for_one_bundle_are_refused(two_teams: Deployment) -> None:
    listed = [{"name": "bundle_b", "classpath": "x", "team_name": "team_c"}]
    variables = {"AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(listed)}
    result = two_teams.run("exec", "--bundle", "bundle_b", "--", "true", variables=variables)
    assert result.exit_code == 125
    assert "team_c" in result.stderr
    assert "team_b" in result.stderr


def test_the_default_answers_for_known_bundles_only(two_teams: Deployment) -> None:
    text = (two_teams.folder / "envman.toml").read_text()
    two_teams.write("envman.toml", 'default-environment = "env_a"\n' + text)
    two_teams.ok("build")
    listed = [{"name": "known", "classpath": "x"}]
    variables = {"AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(listed)}
    code = in_python("import frame; print(frame.__version__)")
    assert two_teams.ok("exec", "--bundle", "known", "--", *code, variables=variables).stdout == "2.2\n"
    assert two_teams.run("exec", "--bundle", "unknown", "--", *code, variables=variables).exit_code == 125


def test_explain_shows_the_way_on_standard_error(two_teams: Deployment) -> None:
    result = two_teams.ok("exec", "--bundle", "bundle_b", "--explain", "--", "true")
    assert "team 'team_b'" in result.stderr
    assert "env_b" in result.stderr


def test_without_the_project_the_root_is_enough(two_teams: Deployment, tmp_path: Path) -> None:
    elsewhere = Deployment(tmp_path, {**two_teams.environment, "ENVMAN_ROOT": str(two_teams.root)})
    assert elsewhere.ok("exec", "--bundle", "bundle_a", "--", "python", "-V").stdout.startswith("Python 3")
    without = Deployment(tmp_path, two_teams.environment)
    assert without.run("exec", "--bundle", "bundle_a", "--", "true").exit_code == 125
    assert without.ok("exec", "--root", str(two_teams.root), "--bundle", "bundle_a", "true").stdout == ""


def test_a_declared_environment_that_is_not_built_is_an_error(two_teams: Deployment) -> None:
    (two_teams.root / "env_a").unlink()
    result = two_teams.run("exec", "--bundle", "bundle_a", "--", "true")
    assert result.exit_code == 125
    assert "envman build env_a" in result.stderr


def test_a_damaged_table_or_generation_is_an_error(two_teams: Deployment) -> None:
    (two_teams.root / ".gen" / two_teams.current("env_a") / "envman.json").unlink()
    result = two_teams.run("exec", "--bundle", "bundle_a", "--", "true")
    assert result.exit_code == 125
    assert "not whole" in result.stderr
    (two_teams.root / ".state" / "table").write_text("something else\n")
    result = two_teams.run("exec", "--bundle", "bundle_b", "--", "true")
    assert result.exit_code == 125
    assert "table" in result.stderr


def test_a_table_that_was_edited_runs_nothing_and_never_the_default(two_teams: Deployment) -> None:
    project = (two_teams.folder / "envman.toml").read_text(encoding="utf-8")
    two_teams.write("envman.toml", f'default-environment = "env_a"\n{project}')
    two_teams.ok("publish")
    table = two_teams.root / ".state/table"
    lines = table.read_text(encoding="utf-8").splitlines(keepends=True)
    edits = (
        [*lines[:1], *reversed(lines[1:])],
        [*lines, "bundle\taaa\tenv_a\t\n"],
        [line.replace("\t", "  ") if line.startswith("team\t") else line for line in lines],
        [line.replace("\tteam_b\n", "\tteam_b \n") for line in lines],
    )
    for edited in edits:
        assert edited != lines
        table.write_text("".join(edited), encoding="utf-8")
        result = two_teams.run("exec", "--bundle", "bundle_b", "--", *in_python("print('ran')"))
        assert (result.exit_code, result.stdout) == (125, ""), edited
        assert str(table) in result.stderr
        assert "envman publish" in result.stderr
    two_teams.ok("publish")
    assert shown(two_teams, "--bundle", "bundle_b")[0] == str(
        two_teams.root / ".gen" / two_teams.current("env_b")
    )


def test_a_running_process_stays_in_its_generation_after_a_switch(two_teams: Deployment) -> None:
    code = "import sys; print('up', flush=True); sys.stdin.readline(); import grid; print(grid.__file__)"
    process = two_teams.start("exec", "--bundle", "bundle_a", "--", *in_python(code), stdin=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    old = two_teams.current("env_a")
    two_teams.spec("env_a", ["frame>=2", "tool"])
    two_teams.ok("lock")
    two_teams.ok("build")
    assert two_teams.current("env_a") != old
    stdout, _ = process.communicate("go\n", timeout=300)
    assert f"/.gen/{old}/" in stdout


def test_a_read_only_root_is_enough(two_teams: Deployment) -> None:
    script = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && ! touch "$1/x" 2>/dev/null && shift && exec "$@"'
    command = two_teams.command(
        "exec", "--bundle", "bundle_a", "--", "python", "-c", "import frame; print('ran')"
    )
    finished = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, "sh", str(two_teams.root), *command],
        cwd=two_teams.folder,
        env=two_teams.environment,
        text=True,
        capture_output=True,
        check=False,
    )
    assert finished.stdout == "ran\n", finished.stderr


def test_resolve_says_what_exec_does(two_teams: Deployment) -> None:
    answer = two_teams.ok("resolve", "--bundle", "bundle_b", "--json").json["result"]
    prefix, executable, _ = shown(two_teams, "--bundle", "bundle_b")
    assert answer["environment"] == "env_b"
    assert answer["python"] == executable
    assert answer["generation"] == Path(prefix).name
    assert answer["published"] is True
    explained = two_teams.ok("resolve", "--bundle", "bundle_b", "--explain").stdout
    assert "gives the team 'team_b' the environment 'env_b'" in explained


def test_resolve_notices_what_is_not_published_yet(two_teams: Deployment) -> None:
    text = (two_teams.folder / "envman.toml").read_text()
    two_teams.write("envman.toml", text.replace('team = "team_b"', 'environment = "env_a"'))
    answer = two_teams.ok("resolve", "--bundle", "bundle_b", "--json").json["result"]
    assert (answer["environment"], answer["published"]) == ("env_b", False)
    two_teams.ok("build")
    answer = two_teams.ok("resolve", "--bundle", "bundle_b", "--json").json["result"]
    assert (answer["environment"], answer["published"]) == ("env_a", True)


def test_a_base_interpreter_that_went_away_is_named(two_teams: Deployment) -> None:
    python = two_teams.root / ".gen" / two_teams.current("env_a") / "bin/python"
    python.unlink()
    python.symlink_to("/nowhere/bin/python3")
    result = two_teams.run("exec", "--bundle", "bundle_a", "--", "python", "-V")
    assert result.exit_code == 127
    assert "leads to /nowhere/bin/python3, which is not there" in result.stderr
