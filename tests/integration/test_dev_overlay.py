"""The dev overlay: what `[dev]` asks for, locked over the environment's own versions, built beside it."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from envman.lock.lockfile import parse_lock, render
from tests.conftest import Deployment, in_python
from tests.wheels import make_wheel

VERSIONS = in_python("import frame, grid, tool, sys; print(frame.__version__, grid.__version__, sys.prefix)")


@pytest.fixture
def project(two_teams: Deployment, tmp_path: Path) -> Deployment:
    """`helper` fits both environments, by grid's version; `tool` needs it."""
    wheels = tmp_path / "wheels"
    make_wheel(wheels, "helper", "1.0", ["grid<2"])
    make_wheel(wheels, "helper", "2.0", ["grid>=2"])
    make_wheel(wheels, "only-new", "1.0", ["grid>=2"])
    two_teams.environment["UV_FIND_LINKS"] = str(wheels)
    for name in ("env_a", "env_b"):
        spec = two_teams.folder / f"environments/{name}.toml"
        spec.write_text(spec.read_text() + '[dev]\ndependencies = ["tool", "helper", "grid"]\n')
    return two_teams


def overlays(deployment: Deployment) -> list[Path]:
    return sorted((deployment.root / ".dev").iterdir())


def pins(deployment: Deployment, name: str) -> list[str]:
    text = (deployment.folder / f"environments/{name}.dev-lock").read_text()
    return [line.split(" ")[0] for line in text.splitlines() if "==" in line.split(" ")[0]]


def test_it_holds_the_environments_versions_and_only_what_that_lacks(project: Deployment) -> None:
    missing = project.run("lock", "--check")
    assert missing.exit_code == 4
    assert (
        "environments/env_a.dev-lock: the dev overlay of the environment 'env_a' has no lock"
        in missing.stderr
    )
    project.ok("lock")
    assert pins(project, "env_a") == ["helper==2.0", "tool==1.0"]
    assert pins(project, "env_b") == ["helper==1.0", "tool==1.0"]
    assert "4 of 4 locks answer their specs" in project.ok("lock", "--check").stdout
    before = {name: project.current(name) for name in ("env_a", "env_b")}
    for bundle, versions in (("bundle_a", "2.2 2.0"), ("bundle_b", "1.5 1.1")):
        ran = project.ok("run", "--bundle", bundle, "--dev", *VERSIONS)
        assert ran.stdout.startswith(f"{versions} {project.root}/.dev/")
    assert len(overlays(project)) == 2
    assert "building" not in project.ok("run", "--bundle", "bundle_a", "--dev", *VERSIONS).stderr
    assert {name: project.current(name) for name in before} == before
    assert project.run("exec", "--bundle", "bundle_a", *VERSIONS).exit_code == 1  # no tool there
    program = project.ok("run", "--environment", "env_a", "--dev", "tool")
    assert f"{project.root}/.dev/" in program.stdout
    assert project.run("run", "--environment", "env_a", "tool").exit_code == 127
    project.ok("verify")  # nothing of the generations has changed


def test_what_changed_is_named_and_nothing_is_built_of_it(project: Deployment) -> None:
    project.ok("lock")
    spec = project.folder / "environments/env_a.toml"
    text = spec.read_text()
    spec.write_text(text.replace('"tool", ', ""))
    for command in (("lock", "--check"), ("run", "--bundle", "bundle_a", "--dev", "true")):
        stale = project.run(*command)
        assert stale.exit_code == (4 if command[0] == "lock" else 125)
        assert "dev.dependencies changed" in stale.stderr
    assert not (project.root / ".dev").exists()
    spec.write_text(text.replace('["frame>=2"]', '["frame>=2", "heavy"]'))
    project.ok("lock", "env_a")
    behind = project.run("run", "--bundle", "bundle_a", "--dev", "true")
    assert behind.exit_code == 125
    assert "is not built from environments/env_a.lock" in behind.stderr
    spec.write_text(text.replace('"helper"', '"helper<2"'))
    unfit = project.run("lock", "env_a")
    assert unfit.exit_code == 5
    assert (
        "environments/env_a.toml: dev.dependencies: does not fit what environments/env_a.lock" in unfit.stderr
    )
    spec.write_text(text.partition("[dev]")[0])
    project.ok("lock", "env_a")
    assert not (project.folder / "environments/env_a.dev-lock").exists()
    none = project.run("run", "--bundle", "bundle_a", "--dev", "true")
    assert "declares no dev dependencies" in none.stderr


def texts(deployment: Deployment) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (deployment.folder / "environments").iterdir()}


def test_a_tool_is_added_to_dev_and_nothing_is_left_of_one_that_does_not_fit(project: Deployment) -> None:
    project.ok("lock")
    locked = (project.folder / "environments/env_a.lock").read_bytes()
    lock = project.ok("add", "env_a", "only-new", "--dev", "--json").json["result"]["lock"]
    assert (lock["changes"], lock["dev_changes"]) == (
        [],
        [{"package": "only-new", "old": [], "new": ["1.0"]}],
    )
    assert "only-new==1.0" in pins(project, "env_a")
    unknown = project.ok("lock", "env_a", "-P", "only-new", "-P", "panda").stderr
    assert [line.partition(":")[0] for line in unknown.splitlines() if "no lock has" in line] == ["panda"]
    assert project.run("lock", "-P", "!!").exit_code == 2
    assert (project.folder / "environments/env_a.lock").read_bytes() == locked
    project.ok("lock", "--check")
    before = texts(project)
    for words in (("add", "env_a", "grid<2"), ("add", "env_b", "only-new", "--dev")):
        assert project.run(*words).exit_code == 5
        assert texts(project) == before  # grid<2 can be locked, but not with helper over it
    assert project.run("add", "env_a", "tool", "--dev", "--build").exit_code == 2
    removed = project.ok("remove", "env_a", "only-new", "--dev").stdout
    assert "only-new removed from [dev] of environments/env_a.toml" in removed
    assert "env_a [dev]  only-new  1.0  -" in removed


def test_a_dev_lock_that_was_edited_by_hand_is_told(project: Deployment, tmp_path: Path) -> None:
    project.ok("lock", "env_a")
    project.ok("lock", "env_a", "--check", "--resolve")
    file = "environments/env_a.dev-lock"
    lock = parse_lock((project.folder / file).read_text(), file, "env_a")
    evil = replace(lock.pins[0], name="only-new", version="1.0")
    project.write(file, render(replace(lock, pins=(*lock.pins, evil)), "environments/env_a.toml"))
    project.ok("lock", "env_a", "--check")
    told = project.run("lock", "env_a", "--check", "--resolve")
    assert told.exit_code == 4
    what = f"{file}: is not what resolving [dev] of environments/env_a.toml gives: only-new==1.0 is not what"
    assert what in told.stderr


def test_it_goes_with_its_generation(project: Deployment) -> None:
    project.ok("lock")
    first = project.start("run", "--bundle", "bundle_a", "--dev", *VERSIONS)
    second = project.start("run", "--bundle", "bundle_a", "--dev", *VERSIONS)  # both at once
    said = {process.communicate(timeout=100)[0] for process in (first, second)}
    assert len(said) == 1
    (old,) = overlays(project)
    spec = project.folder / "environments/env_a.toml"
    spec.write_text(spec.read_text().replace('"tool", ', ""))
    project.ok("lock", "env_a")
    project.ok("run", "--bundle", "bundle_a", "--dev", "true")
    assert len(overlays(project)) == 2
    assert "dev overlay" in project.ok("gc", "--dry-run").stdout
    assert len(overlays(project)) == 2
    database = project.root / ".dev" / f"{project.current('env_a')}-database"
    database.mkdir()
    (database / "envman-dev.json").touch()
    assert f"{old.name}  removed" in project.ok("gc").stdout
    left, kept = overlays(project)
    assert (left != old, kept) == (True, database)
    (left / "envman-dev.json").unlink()  # as a build that was killed leaves it
    project.ok("gc")
    assert overlays(project) == [database]
    project.ok("run", "--bundle", "bundle_a", "--dev", "true")
    spec.write_text(spec.read_text().replace('["frame>=2"]', '["frame>=2", "heavy"]'))
    project.ok("lock", "env_a")
    project.ok("build", "env_a")
    project.ok("gc", "--keep", "1")
    assert overlays(project) == []


STAND_IN = """\
import os, pathlib, signal, sys


def main(arguments):
    print(sys.prefix, os.environ["AIRFLOW_HOME"], os.getcwd(), arguments, sys.path[-1], sys.stdin.isatty())
    assert "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD" not in os.environ
    assert "AIRFLOW__SECRETS__BACKEND" not in os.environ
    __import__("common.who")  # which the bundle shares
    pathlib.Path(os.environ["AIRFLOW_HOME"], "left").touch()
    sys.stdout.flush()
    if arguments == ["wait"]:
        signal.pause()
    return int(arguments[0]) if arguments else 5
"""


@pytest.fixture
def tested(project: Deployment, tmp_path: Path) -> Deployment:
    """A bundle with tests, and what stands for pytest: it tells how it was called."""
    make_wheel(tmp_path / "wheels", "pytest", "1.0", files={"pytest/__init__.py": STAND_IN})
    text = (project.folder / "envman.toml").read_text()
    of_a = '{ environment = "env_a", path = "dags", shared = ["../common"] }'
    text = text.replace('{ environment = "env_a" }', of_a)
    project.write("common/who.py", "")
    project.write("envman.toml", text)
    project.write("dags/tests/test_it.py", "")
    spec = project.folder / "environments/env_a.toml"
    spec.write_text(spec.read_text().replace('"tool", ', '"pytest", '))
    project.ok("lock", "env_a")
    project.ok("publish")
    project.environment |= {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD": "cat /etc/password",
        "AIRFLOW__SECRETS__BACKEND": "vault",
        "TMPDIR": str(tmp_path),
    }
    return project


def test_a_bundles_tests_run_in_the_overlay_and_leave_nothing(tested: Deployment, tmp_path: Path) -> None:
    none = tested.ok("test", "bundle_a")  # pytest's 5: there are no tests
    assert "env_a has no Airflow: the bundle's files are not parsed" in none.stderr
    prefix, home, folder, arguments, last, _ = none.stdout.split()
    assert prefix.startswith(f"{tested.root}/.dev/")
    assert Path(home).parent == tmp_path
    assert folder == last == str(tested.folder / "dags")
    assert arguments == "[]"
    for code in (3, 5):
        assert tested.run("test", "bundle_a", "--no-check", "--", str(code)).exit_code == code
    process = tested.start("test", "bundle_a", "--no-check", "--", "wait")
    assert process.stdout is not None
    assert "wait" in process.stdout.readline()
    process.terminate()
    process.communicate(timeout=100)
    assert process.returncode == -15
    assert not list(tmp_path.glob("envman-test-*"))
    no_dag = tested.run("test", "bundle_a", "--dag", "sales")
    assert "it has no Airflow" in no_dag.stderr
    wrong = tested.run("test", "bundle_a", "-x")
    assert wrong.exit_code == 2
    other = tested.folder / "environments/env_b.toml"
    other.write_text(other.read_text().partition("[dev]")[0])
    without = tested.run("test", "bundle_b", "--no-check", "--path", "dags")
    assert without.exit_code == 2
    assert "envman add env_b pytest --dev" in without.stderr


def test_editors_have_a_path_that_stays(tested: Deployment) -> None:
    tested.write("dags/.vscode/settings.json", '{ // mine\n  "a": 1\n}\n')
    said = tested.ok("sync", "bundle_a").stdout
    link = tested.folder / ".envman/bundle_a"
    assert link.readlink().parent == tested.root / ".dev"
    assert str(link / "bin/python") in said
    settings = (tested.folder / "dags/.vscode/settings.json").read_text()
    assert '"${workspaceFolder}/../.envman/bundle_a/bin/python"' in settings
    assert "// mine" in settings
    assert (tested.folder / "dags/pyrightconfig.json").exists()
    assert (tested.folder / ".envman/.gitignore").read_text() == "*\n"
    code = "import frame, helper, sys; print(sys.dont_write_bytecode)"
    ran = subprocess.run(
        [link / "bin/python", "-c", code], env={}, capture_output=True, text=True, check=True
    )
    assert ran.stdout == "True\n"  # so that an editor's pytest leaves the generation alone
    before = link.readlink()
    tested.ok("build", "env_a", "--rebuild")
    assert tested.ok("sync", "bundle_a", "--json").json["result"]["files"][0]["status"] == "unchanged"
    assert link.readlink() != before
    tested.write("dags/pyproject.toml", "[tool.pyright]\n")
    (tested.folder / "dags/pyrightconfig.json").unlink()
    left = tested.ok("sync", "bundle_a")
    assert "pyrightconfig.json was left as it is: pyproject.toml has [tool.pyright]" in left.stderr
    assert '{"venvPath": "../.envman", "venv": "bundle_a"}' in left.stderr
    link.unlink()
    link.mkdir()
    assert tested.run("sync", "bundle_a").exit_code == 2
