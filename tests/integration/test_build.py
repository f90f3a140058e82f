"""`envman build` with the real uv and virtualenv: generations, checks, rollback, gc, verify."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from envman.resolver.table import Table
from envman.store.locks import why_held
from tests.conftest import PYTHON, Deployment, in_python
from tests.waiting import until
from tests.wheels import make_wheel


def versions(deployment: Deployment, name: str) -> str:
    code = in_python("import frame, grid; print(frame.__version__, grid.__version__)")
    return deployment.ok("exec", "--environment", name, "--", *code).stdout.strip()


def test_a_build_publishes_whole_generations(two_teams: Deployment) -> None:
    assert two_teams.generations() == {two_teams.current("env_a"), two_teams.current("env_b")}
    folder = two_teams.root / "env_a"
    manifest = json.loads((folder / "envman.json").read_text())
    assert manifest["packages"] == {"frame": "2.2", "grid": "2.0"}
    assert manifest["interpreter"]["version"].startswith(f"{PYTHON}.")
    assert set(manifest["tools"]) == {"envman", "uv", "virtualenv"}
    lock = (two_teams.folder / "environments/env_a.lock").read_text()
    assert (folder / "envman.lock").read_text() == lock
    assert list((folder / f"lib/python{PYTHON}/site-packages/frame/__pycache__").glob("*.pyc"))


def test_a_build_with_nothing_to_do_does_nothing(two_teams: Deployment) -> None:
    before = {path: path.lstat().st_mtime_ns for path in two_teams.root.rglob("*")}
    result = two_teams.ok("build", "--json")
    assert [row["status"] for row in result.json["result"]] == ["unchanged", "unchanged"]
    assert {path: path.lstat().st_mtime_ns for path in two_teams.root.rglob("*")} == before


RUNNING = """\
warm = false
preload = ["frame"]
user = "team_a"
limits = { memory = "2G", cpu = 1.5 }
variables = { pass = ["MY_*"] }
"""


@pytest.mark.parametrize(
    ("command", "row"), [(["build"], ["unchanged"]), (["build", "env_a"], ["unchanged"]), (["publish"], [])]
)
def test_how_workloads_run_is_published_anew_and_nothing_is_locked_or_built(
    two_teams: Deployment, command: list[str], row: list[str]
) -> None:
    before, generation = two_teams.generations(), two_teams.current("env_a")
    two_teams.spec("env_a", ["frame>=2"], f'{RUNNING}[checks]\nimports = ["frame", "grid"]\n')
    two_teams.ok("lock", "--check")
    result = two_teams.ok(*command, "--json").json["result"]
    assert not row or {entry["status"] for entry in result} == set(row)
    assert (two_teams.generations(), two_teams.current("env_a")) == (before, generation)
    table = Table((two_teams.root / ".state/table").read_text())
    assert (table.is_warm("env_a"), table.preload("env_a")) == (False, ["frame"])
    assert (table.user("env_a"), table.passed("env_a")) == (("team_a", ""), ["MY_*"])
    assert table.limits("env_a") == {"memory": 2 * 1024**3, "cpu": 1.5}
    two_teams.spec("env_a", ["frame>=2"], '[checks]\nimports = ["frame", "grid"]\n')
    two_teams.ok(*command)
    table = Table((two_teams.root / ".state/table").read_text())
    assert (table.is_warm("env_a"), table.user("env_a"), table.limits("env_a")) == (True, None, {})


def test_the_same_content_is_built_once_for_two_environments(deployment: Deployment) -> None:
    deployment.spec("env_a", ["frame"])
    deployment.spec("env_b", ["frame"])
    deployment.ok("lock")
    deployment.ok("build")
    assert deployment.current("env_a") == deployment.current("env_b")
    assert len(deployment.generations()) == 1


def test_a_stale_lock_is_not_built(two_teams: Deployment) -> None:
    before = two_teams.current("env_a")
    two_teams.spec("env_a", ["frame>=2", "tool"])
    result = two_teams.run("build")
    assert result.exit_code == 4
    assert "dependencies changed" in result.stderr
    assert two_teams.current("env_a") == before


def test_a_file_that_is_not_the_locked_one_is_refused(
    two_teams: Deployment, tmp_path: Path, wheelhouse: Path
) -> None:
    two_teams.spec("env_a", ["frame>=2", "tool"])
    two_teams.ok("lock")
    before = two_teams.current("env_a")
    shutil.copytree(wheelhouse, tmp_path / "other")
    evil = {"frame/evil.py": "print('not what was locked')\n"}
    make_wheel(tmp_path / "other", "frame", "2.2", ["grid>=2"], evil)
    variables = {"UV_CACHE_DIR": str(tmp_path / "cache")}
    result = two_teams.run("build", "--wheelhouse", str(tmp_path / "other"), variables=variables)
    assert result.exit_code == 6
    assert "frame==2.2" in result.stderr
    assert "not the one that was locked" in result.stderr
    assert two_teams.current("env_a") == before
    assert versions(two_teams, "env_a") == "2.2 2.0"
    assert two_teams.generations() == {before, two_teams.current("env_b")}


def test_a_lock_that_was_edited_by_hand_is_refused(two_teams: Deployment) -> None:
    file = two_teams.folder / "environments/env_a.lock"
    file.write_text(re.sub(r"grid==2\.0", "grid==2.1", file.read_text()))
    for command in (["build"], ["lock", "--check"]):
        result = two_teams.run(*command)
        assert result.exit_code == 4
        assert "its pins were changed" in result.stderr
    assert versions(two_teams, "env_a") == "2.2 2.0"
    two_teams.ok("lock")
    two_teams.ok("lock", "--check")


def test_failed_checks_keep_what_was_published(two_teams: Deployment) -> None:
    before = two_teams.current("env_a"), two_teams.current("env_b")
    two_teams.spec("env_a", ["frame>=2", "broken"], '[checks]\nimports = ["frame", "broken", "absent"]\n')
    two_teams.spec(
        "env_b", ["frame<2"], '[checks]\ncommands = [["python", "-c", "import sys; sys.exit(3)"]]\n'
    )
    two_teams.ok("lock")
    result = two_teams.run("build")
    assert result.exit_code == 6
    assert "broken: RuntimeError: broken on import" in result.stderr
    assert "absent: ModuleNotFoundError" in result.stderr
    assert "ended with 3" in result.stderr
    assert (two_teams.current("env_a"), two_teams.current("env_b")) == before
    assert two_teams.generations() == set(before)


def test_a_failed_environment_does_not_stop_the_others_nor_move_bundles(two_teams: Deployment) -> None:
    text = (two_teams.folder / "envman.toml").read_text()
    two_teams.write(
        "envman.toml",
        text.replace('bundle_a = { environment = "env_a" }', 'bundle_a = { environment = "env_b" }'),
    )
    two_teams.spec("env_a", ["frame>=2", "broken"], '[checks]\nimports = ["broken"]\n')
    two_teams.spec("env_b", ["frame<2", "tool"])
    two_teams.ok("lock")
    before = two_teams.current("env_b")
    assert two_teams.run("build").exit_code == 6
    assert two_teams.current("env_b") != before
    answer = two_teams.ok("resolve", "--bundle", "bundle_a", "--json").json["result"]
    assert answer["environment"] == "env_a"


def test_an_override_is_not_called_a_conflict(deployment: Deployment) -> None:
    deployment.spec("env_a", ["frame>=2"], 'overrides = ["grid<2"]\n')
    deployment.ok("lock")
    deployment.ok("build")
    assert versions(deployment, "env_a") == "2.2 1.1"


def test_an_edit_that_went_into_uvs_cache_is_not_built_in(two_teams: Deployment, tmp_path: Path) -> None:
    variables = {"UV_CACHE_DIR": str(tmp_path / "cache"), "UV_LINK_MODE": "hardlink"}
    two_teams.ok("build", "env_a", "--rebuild", variables=variables)
    file = two_teams.root / f"env_a/lib/python{PYTHON}/site-packages/frame/__init__.py"
    with file.open("a") as stream:
        stream.write("EDITED = True\n")
    assert two_teams.run("verify", "env_a").exit_code == 8
    result = two_teams.run("build", "env_a", "--rebuild", variables=variables)
    assert result.exit_code == 6
    assert "frame/__init__.py" in result.stderr
    assert "uv cache clean" in result.stderr


def test_a_lock_of_another_platform_is_not_built(deployment: Deployment) -> None:
    deployment.spec("env_a", ["frame"], 'platforms = ["windows-x86_64"]\n')
    deployment.ok("lock")
    result = deployment.run("build")
    assert result.exit_code == 6
    assert "windows-x86_64" in result.stderr


def test_a_python_that_is_not_there_is_named(deployment: Deployment) -> None:
    deployment.write("environments/env_a.toml", 'requires-python = "==3.99.*"\ndependencies = ["grid"]\n')
    deployment.ok("lock")
    result = deployment.run("build")
    assert result.exit_code == 6
    assert "==3.99.*" in result.stderr
    assert "found: 3." in result.stderr


def test_scripts_point_to_the_generation(deployment: Deployment) -> None:
    deployment.spec("env_a", ["tool"])
    deployment.ok("lock")
    deployment.ok("build")
    script = deployment.root / "env_a/bin/tool"
    generation = str(deployment.root / ".gen" / deployment.current("env_a"))
    assert generation in script.read_text()
    assert deployment.ok("exec", "--environment", "env_a", "--", "tool").stdout.strip() == generation


def test_rollback_goes_back_and_forth(two_teams: Deployment) -> None:
    first = two_teams.current("env_a")
    two_teams.spec("env_a", ["frame>=2", "tool"])
    two_teams.ok("lock")
    two_teams.ok("build")
    second = two_teams.current("env_a")
    outcome = two_teams.ok("rollback", "env_a", "--json").json["result"]
    assert (outcome["old"], outcome["new"]) == (second, first)
    assert two_teams.current("env_a") == first
    rows = two_teams.ok("history", "env_a", "--json").json["result"]
    assert [(row["generation"], row["action"]) for row in rows] == [
        (first, "rollback"),
        (second, "build"),
        (first, "build"),
    ]
    assert rows[0]["current"] is True
    assert two_teams.run("rollback", "env_a").exit_code == 2
    two_teams.ok("rollback", "env_a", "--to", second)
    assert two_teams.current("env_a") == second
    assert two_teams.run("rollback", "env_a", "--to", "nonsense").exit_code == 2
    assert two_teams.run("rollback", "env_x").exit_code == 2


def rebuilt(deployment: Deployment, count: int) -> list[str]:
    """Several generations of env_a, one after the other."""
    for number in range(count):
        deployment.spec("env_a", ["frame>=2"], f'[checks]\ncommands = [["true", "{number}"]]\n')
        deployment.ok("lock")
        deployment.ok("build", "env_a")
    rows = deployment.ok("history", "env_a", "--json").json["result"]
    return [row["generation"] for row in reversed(rows)]


def test_gc_keeps_current_and_recent_generations(two_teams: Deployment) -> None:
    names = rebuilt(two_teams, 4)
    dry = two_teams.ok("gc", "--keep", "2", "--dry-run", "--json").json["result"]
    assert {row["generation"] for row in dry["removed"]} == set(names[:-2])
    assert set(names) <= two_teams.generations()
    two_teams.ok("gc", "--keep", "2")
    assert two_teams.generations() == {*names[-2:], two_teams.current("env_b")}
    result = two_teams.run("rollback", "env_a", "--to", names[0])
    assert result.exit_code == 8
    assert "collected" in result.stderr


@pytest.mark.parametrize(
    "how",
    [
        pytest.param("import time; print('up', flush=True); time.sleep(60)", id="the process itself"),
        pytest.param(
            "import subprocess, sys; subprocess.Popen(['sleep', '60'], stdout=2); print('up', flush=True)",
            id="a child that closed the descriptor",
        ),
        pytest.param(
            "import subprocess, sys; print('up', flush=True); subprocess.run(['sleep', '60'], close_fds=False, env={})",
            id="a child that kept the descriptor alone",
        ),
    ],
)
def test_gc_keeps_what_somebody_lives_in(two_teams: Deployment, how: str) -> None:
    generation = two_teams.current("env_a")
    process = two_teams.start("exec", "--bundle", "bundle_a", "--", *in_python(how), start_new_session=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        rebuilt(two_teams, 2)
        kept = two_teams.ok("gc", "--keep", "0", "--json").json["result"]["kept"]
        assert generation in {row["generation"] for row in kept}
        assert generation in two_teams.generations()
    finally:
        os.killpg(process.pid, 9)
        process.communicate()  # to the end of its output: its children have ended, too
    manifest = two_teams.root / ".gen" / generation / "envman.json"
    until(lambda: not why_held(manifest), "somebody still holds the generation")
    two_teams.ok("gc", "--keep", "0")
    assert generation not in two_teams.generations()


def test_gc_drops_an_undeclared_environment_only_when_told(two_teams: Deployment) -> None:
    generation = two_teams.current("env_a")
    (two_teams.folder / "environments/env_a.toml").unlink()
    two_teams.write("envman.toml", 'root = "venv"\n')
    two_teams.ok("gc", "--keep", "0")
    assert generation in two_teams.generations()
    two_teams.ok("gc", "--keep", "0", "--undeclared", "--dry-run")
    assert two_teams.current("env_a") == generation
    two_teams.ok("gc", "--keep", "0", "--undeclared")
    assert two_teams.generations() == {two_teams.current("env_b")}
    assert not (two_teams.root / "env_a").is_symlink()


def test_gc_keeps_what_was_started_through_the_link(two_teams: Deployment) -> None:
    generation = two_teams.current("env_a")
    python = str(two_teams.root / "env_a/bin/python")
    waiting = [python, "-c", "import sys; print('up', flush=True); sys.stdin.read()"]
    pipe = subprocess.PIPE
    with subprocess.Popen(waiting, env={}, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        rebuilt(two_teams, 1)
        two_teams.ok("gc", "--keep", "0")
        assert generation in two_teams.generations()
        process.kill()


def test_verify_finds_changed_missing_and_added_files(two_teams: Deployment) -> None:
    two_teams.ok("verify")
    packages = two_teams.root / f"env_a/lib/python{PYTHON}/site-packages"
    (packages / "frame/__init__.py").unlink()
    (packages / "frame/__init__.py").write_text("__version__ = 'tampered'\n")
    (packages / "grid/__init__.py").unlink()
    (packages / "evil.pth").write_text("import os\n")
    (two_teams.root / "env_a/bin/activate").chmod(0o777)
    result = two_teams.run("verify", "--json")
    assert result.exit_code == 8
    found = {(row["kind"], Path(row["path"]).name) for row in result.json["result"][0]["differences"]}
    assert found == {
        ("changed", "__init__.py"),
        ("missing", "__init__.py"),
        ("added", "evil.pth"),
        ("changed", "activate"),
    }
    assert result.json["result"][1]["differences"] == []


def test_a_base_interpreter_that_is_gone_is_told_of(two_teams: Deployment) -> None:
    """Somebody has removed a Python from the machine."""
    manifest = two_teams.root / "env_a/envman.json"
    document = json.loads(manifest.read_text())
    document["interpreter"]["executable"] = "/gone/bin/python3"
    manifest.write_text(json.dumps(document))
    result = two_teams.run("verify")
    assert result.exit_code == 8
    assert (
        "env_a/bin/python: leads to the base interpreter, which is gone: /gone/bin/python3" in result.stderr
    )
    listed = two_teams.ok("list", "--json").json["result"]
    assert [row["interpreter"].endswith(", gone") for row in listed] == [True, False]


def test_a_damaged_generation_is_rebuilt_beside_itself(two_teams: Deployment) -> None:
    old = two_teams.current("env_a")
    (two_teams.root / "env_a/bin/activate").write_text("damaged\n")
    two_teams.ok("build", "env_a", "--rebuild")
    assert two_teams.current("env_a") == f"{old}-2"
    two_teams.ok("verify")
    result = two_teams.ok("build", "--json").json["result"]
    assert [row["status"] for row in result] == ["unchanged", "unchanged"]


def test_looking_needs_no_right_to_write(two_teams: Deployment) -> None:
    script = (
        'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && "$@" gc --dry-run && "$@" build'
    )
    finished = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, "sh", str(two_teams.root), *two_teams.command()],
        cwd=two_teams.folder,
        env=two_teams.environment,
        text=True,
        capture_output=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert "2 unchanged" in finished.stdout


def test_a_wrong_spec_hides_nothing_that_is_published(two_teams: Deployment) -> None:
    two_teams.write("environments/env_a.toml", "dependencies = 3\n")
    result = two_teams.ok("list")
    assert two_teams.current("env_a") in result.stdout
    assert "as the specs are wrong" in result.stderr
    assert "env_b" in two_teams.ok("resolve", "--bundle", "bundle_b").stdout


def test_the_project_option_decides_the_root(two_teams: Deployment, tmp_path: Path) -> None:
    other = Deployment(tmp_path / "other", two_teams.environment)
    other.write("envman.toml", 'root = "elsewhere"\n')
    other.spec("env_z", ["grid"])
    result = two_teams.ok(
        "list", "--project", str(other.folder), "--json", variables={"ENVMAN_PROJECT": str(two_teams.folder)}
    )
    assert [row["environment"] for row in result.json["result"]] == ["env_z"]


def test_offline_and_wheelhouse_builds(deployment: Deployment, tmp_path: Path, wheelhouse: Path) -> None:
    deployment.spec("env_a", ["frame>=2"])
    deployment.ok("lock")
    deployment.ok("wheelhouse", "env_a", str(tmp_path / "filled"))
    assert sorted(entry.name for entry in (tmp_path / "filled").iterdir()) == [
        "frame-2.2-py3-none-any.whl",
        "grid-2.0-py3-none-any.whl",
    ]
    deployment.write("uv.toml", "offline = true\n")
    variables = {"UV_CACHE_DIR": str(tmp_path / "empty-cache")}
    refused = deployment.run("build", "--offline", variables=variables)
    assert refused.exit_code == 6
    deployment.ok("build", "--wheelhouse", str(tmp_path / "filled"), variables=variables)
    assert versions(deployment, "env_a") == "2.2 2.0"
    shutil.rmtree(deployment.root)
    deployment.ok("build", "--offline", "--wheelhouse", str(tmp_path / "filled"), variables=variables)
    assert deployment.run("build", "--wheelhouse", "nowhere").exit_code == 2


def test_list_and_diff(two_teams: Deployment) -> None:
    rows = two_teams.ok("list", "--json").json["result"]
    assert [(row["environment"], row["lock"], row["bundles"], row["packages"]) for row in rows] == [
        ("env_a", "fresh", ["bundle_a"], 2),
        ("env_b", "fresh", ["bundle_b"], 2),
    ]
    table = two_teams.ok("list").stdout
    assert "env_b" in table
    assert "\x1b" not in table
    changes = two_teams.ok("diff", "env_a", "env_b", "--json").json["result"]["changes"]
    assert changes == [
        {"package": "frame", "old": ["2.2"], "new": ["1.5"]},
        {"package": "grid", "old": ["2.0"], "new": ["1.1"]},
    ]
    two_teams.spec("env_a", ["frame>=2", "tool"])
    two_teams.ok("lock")
    changes = two_teams.ok("diff", "env_a", "--json").json["result"]["changes"]
    assert changes == [{"package": "tool", "old": [], "new": ["1.0"]}]
    assert two_teams.run("diff", "env_a", "env_c").exit_code == 2


@pytest.mark.parametrize(
    "command", [["list"], ["history", "env_a"], ["verify"], ["gc"], ["lock", "--check"], ["build"]]
)
def test_json_has_one_envelope(two_teams: Deployment, command: list[str]) -> None:
    document = two_teams.ok(*command, "--json").json
    assert list(document) == ["schema_version", "envman", "command", "ok", "result", "problems"]
    assert document["schema_version"] == 1
    assert document["command"] == command[0]


def test_a_list_into_a_closed_pipe_is_quiet(two_teams: Deployment) -> None:
    process = two_teams.start("list", "--json")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    process.wait()
    process.stderr.close()


def test_init_writes_a_project_that_checks_out(deployment: Deployment) -> None:
    deployment.ok("init", "starter")
    starter = Deployment(deployment.folder / "starter", deployment.environment)
    assert starter.run("lock", "--check").exit_code == 4
    assert (starter.folder / "bundles/bundle_a/hello_a.py").is_file()
    refused = deployment.run("init", "starter")
    assert refused.exit_code == 2
    assert "is there already" in refused.stderr


def test_environments_that_share_a_generation_have_nothing_to_do(deployment: Deployment) -> None:
    deployment.spec("env_a", ["frame"])
    deployment.spec("env_b", ["frame"], 'platforms = ["linux-x86_64", "linux-aarch64"]\n')
    deployment.ok("lock")
    deployment.ok("build")
    result = deployment.ok("build", variables={"PATH": "/nowhere"})  # where no interpreter could be found
    assert "2 unchanged" in result.stdout
    deployment.write("environments/env_b.toml", 'requires-python = "==3.99.*"\ndependencies = ["frame"]\n')
    deployment.ok("lock")
    assert deployment.run("build", "env_b").exit_code == 6


def test_a_program_that_is_no_python_is_refused(two_teams: Deployment) -> None:
    result = two_teams.run("build", "env_a", "--python", "/bin/ls")
    assert result.exit_code == 6
    assert "--python /bin/ls: no such interpreter" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("option", ["--python", "--wheelhouse", "--project", "--root"])
def test_an_option_with_an_empty_value_is_refused(deployment: Deployment, option: str) -> None:
    for words in ([option, ""], [f"{option}="]):
        result = deployment.run("build", *words)
        assert result.exit_code == 2
        assert "is a variable not set?" in result.stderr


def test_images_are_listed_where_nothing_can_be_written(deployment: Deployment) -> None:
    deployment.write("file", "")
    result = deployment.ok("image", "list", variables={"ENVMAN_CACHE_DIR": f"{deployment.folder}/file/cache"})
    assert "Traceback" not in result.stderr
