"""The same environments by each engine, for real: what is in the image, how it runs, and what is not in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.images import machine
from tests.images.engines.conftest import CREDENTIALS, Built, Podman, Project, options_of
from tests.images.machine import SECRETS, Image, PrivateIndex, look_for_secrets

pytestmark = [pytest.mark.registry, pytest.mark.xdist_group("engines")]
TOOLS = ("buildah", "podman", "docker")
WHERE = "import grid, os, sys; print(json.dumps([grid.__version__, os.getuid(), os.getgid(), os.getcwd()]))"


def test_it_runs_as_airflows_user_and_not_as_root(built: Built, podman: Podman) -> None:
    podman.take(built.tag)
    for bundle, version in (("bundle_a", "1.0"), ("bundle_b", "2.0")):
        words = ("envman", "exec", "--bundle", bundle, "--")
        assert podman.python(built.tag, WHERE, *words) == [version, 50000, 0, "/opt/airflow"]


def test_its_user_has_a_name_and_a_home_and_cant_write_to_the_environments(
    built: Built, podman: Podman
) -> None:
    podman.take(built.tag)
    code = (
        "import os, pathlib, pwd\n"
        "home = pathlib.Path.home(); (home / 'file').touch()\n"
        "print(json.dumps([pwd.getpwuid(os.getuid()).pw_name, str(home), os.access('/venv/env_a', os.W_OK)]))"
    )
    words = ("envman", "exec", "--environment", "env_a", "--")
    assert podman.python(built.tag, code, *words) == ["airflow", "/opt/airflow", False]


def test_files_that_both_environments_have_are_in_the_layer_once(built: Built) -> None:
    layer = built.image.environments_layer()
    parts = [entry for entry in layer if "/heavy/part_" in entry.name and entry.name.endswith(".py")]
    assert len(parts) == 400
    assert sum(entry.islnk() for entry in parts) == 200
    compiled = [entry for entry in layer if "/heavy/__pycache__/part_" in entry.name]
    assert sum(entry.islnk() for entry in compiled) == 200


def test_no_secret_is_in_a_layer_a_configuration_a_history_or_a_log(
    built: Built, index: PrivateIndex
) -> None:
    assert index.answered > 0
    for secret in SECRETS:
        assert secret.decode() not in built.log
        assert not built.image.holds(secret)


def test_nothing_of_the_build_is_in_it(built: Built) -> None:
    names = {
        entry.name
        for number in range(1, len(built.image.manifest["layers"]))
        for entry in built.image.entries(number)
    }
    assert not [name for name in names if name.startswith(("project", "opt/build", "context", "root/.cache"))]
    assert not [name for name in names if name.endswith(("uv.toml", "requirements.txt", ".netrc"))]


@pytest.mark.parametrize("engine", TOOLS)
def test_all_engines_make_the_same_environments(engine: str, build_all: Callable[[str], Built]) -> None:
    def files(built: Built) -> dict[str, object]:
        return {
            entry.name.rstrip("/"): (entry.type, entry.mode & 0o7777, entry.uid, entry.size, entry.linkname)
            for entry in built.image.environments_layer()
        }

    assert files(build_all(engine)) == files(build_all("envman"))


def test_buildah_and_podman_make_the_same_image(build_all: Callable[[str], Built]) -> None:
    assert build_all("buildah").image.manifest == build_all("podman").image.manifest


def test_a_changed_lock_changes_the_image(built: Built, project: Project, tmp_path: Path) -> None:
    """Also where a tool keeps its steps: the Containerfile is the same."""
    changed = project.copy_of(tmp_path / "project")
    (changed.folder / "team_b/requirements.txt").write_text("grid>=2\n", encoding="utf-8")
    changed.ok("lock", **CREDENTIALS)
    words = ["--all-in-one", *options_of(built.engine), "--tag", f"localhost/changed-{built.engine}:1"]
    changed.ok("image", "build", *words, **CREDENTIALS)
    said = json.loads(changed.ok("image", "inspect", words[-1], "--json").stdout)["result"]
    assert said["facts"]["environments"]["env_b"]["packages"] == {"grid": "2.0"}


def test_the_image_says_what_it_holds(built: Built, project: Project) -> None:
    said = json.loads(project.ok("image", "inspect", built.tag, "--json").stdout)["result"]
    assert said["user"] == "50000:0"
    assert said["entrypoint"] == ["/opt/envman/bin/envman", "container-entrypoint"]
    assert said["facts"]["environments"]["env_b"]["packages"] == {"grid": "2.0", "heavy": "1.0"}
    environ = dict(entry.split("=", 1) for entry in built.image.config["config"]["Env"])
    assert environ["ENVMAN_ROOT"] == "/venv"
    assert environ["AIRFLOW_HOME"] == environ["HOME"] == "/opt/airflow"
    assert environ["PATH"].endswith(":/opt/envman/bin")


def test_no_secret_stays_in_the_tools_storage(built: Built, project: Project) -> None:
    """Neither in the layers of the build's own stage, which a tool keeps to build faster the next time."""
    found = look_for_secrets(project.storage_of(built.engine))
    assert (found.exit_code, found.log) == (1, "")


@pytest.mark.parametrize("engine", TOOLS)
def test_without_credentials_it_ends_with_what_the_tool_said_last(
    engine: str, project: Project, tmp_path: Path
) -> None:
    words = ["image", "build", "env_a", *options_of(engine), "--tag", "localhost/never:1"]
    done = project.not_built_yet(tmp_path / "project").envman(*words)
    assert done.exit_code == 9
    assert f"error: {engine}: could not build the image" in done.log
    assert "credentials" in done.log


@pytest.mark.parametrize("engine", TOOLS)
def test_a_stale_lock_stops_it_before_the_tool_is_run(engine: str, project: Project, tmp_path: Path) -> None:
    changed = project.copy_of(tmp_path / "project")
    (changed.folder / "team_b/requirements.txt").write_text("grid\n", encoding="utf-8")
    done = changed.envman("image", "build", "env_b", f"--engine={engine}", "--tag", "localhost/never:1")
    assert (done.exit_code, "STEP" in done.log) == (4, False)


def test_debian_packages_are_installed_by_a_tool_and_wanted_of_the_base_by_envman(
    project: Project, podman: Podman, tmp_path: Path
) -> None:
    changed = project.copy_of(tmp_path / "project")
    spec = changed.folder / "environments/env_a.toml"
    spec.write_text(spec.read_text("utf-8") + '[image]\napt = ["hello", "mawk"]\n', "utf-8")
    changed.ok("lock", **CREDENTIALS)
    tag = "localhost/apt:1"
    done = changed.envman("image", "build", "env_a", "--tag", tag, **CREDENTIALS)
    assert done.exit_code == 9
    assert "lacks the Debian packages of its image.apt: hello\n" in done.log
    changed.ok("image", "build", "env_a", *options_of("buildah"), "--tag", tag, **CREDENTIALS)
    podman.take(tag)
    code = (
        "import os, subprocess\n"
        "said = subprocess.run(['hello'], capture_output=True, text=True).stdout\n"
        "print(json.dumps([said, os.listdir('/var/lib/apt/lists')]))"
    )
    assert podman.python(tag, code) == ["Hello, world!\n", []]


@pytest.mark.parametrize("engine", ["envman", "buildah", "docker"])
def test_a_base_from_a_registry_keeps_its_layers_and_its_user(
    engine: str, project: Project, podman: Podman, base: str, tmp_path: Path
) -> None:
    with machine.registry() as registry:
        name = f"{registry}/team/base:12"
        own = machine.with_user(base, tmp_path)
        machine.run(["skopeo", "copy", "--quiet", "--dest-tls-verify=false", own, f"docker://{name}"])
        tag = f"{registry}/team/{engine}:1"
        words = ["env_a", *options_of(engine), "--base", name, "--tag", tag]
        project.ok("image", "build", *words, **CREDENTIALS)
        image, original = project.image(tag), Image(Path(own.split(":")[1]), own.split(":")[2])
        assert image.manifest["layers"][0]["digest"] == original.manifest["layers"][0]["digest"]
        if engine != "envman":
            label = image.config["config"]["Labels"]["org.opencontainers.image.base.name"]
            assert label.startswith(f"{registry}/team/base@sha256:")
        project.ok("image", "push", tag)
    podman.take(tag)
    code = "import os; print(json.dumps([os.getuid(), os.getcwd(), os.environ['AIRFLOW_HOME']]))"
    assert podman.python(tag, code) == [65534, "/tmp", "/srv/airflow"]


def test_what_this_machine_has(project: Project) -> None:
    states = json.loads(project.ok("image", "engines", "--json").stdout)["result"]
    assert {one["engine"]: one["works"] for one in states} == dict.fromkeys(("envman", *TOOLS), True)


def test_a_daemon_that_does_not_run(project: Project) -> None:
    done = project.envman(
        *("image", "build", "env_a", "--engine=docker", "--tag", "localhost/never:1"),
        DOCKER_HOST="unix:///no",
    )
    assert done.exit_code == 9
    assert "its daemon does not answer" in done.log
