"""`envman lock` with the real uv, over a wheelhouse."""

from __future__ import annotations

import fcntl
import io
import os
import re
import tarfile
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from envman.lock.lockfile import Lock, Pin, parse_lock, render
from tests.conftest import Deployment
from tests.waiting import until
from tests.wheels import make_wheel


def lock_text(deployment: Deployment, name: str) -> str:
    return (deployment.folder / f"environments/{name}.lock").read_text(encoding="utf-8")


def pins(deployment: Deployment, name: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z-]+)==([^\s;]+)", lock_text(deployment, name), re.MULTILINE))


def test_conflicting_environments_are_locked_side_by_side(deployment: Deployment) -> None:
    deployment.spec("env_a", ["frame>=2"])
    deployment.spec("env_b", ["frame<2"])
    result = deployment.ok("lock", "--json")
    assert [row["environment"] for row in result.json["result"]] == ["env_a", "env_b"]
    assert pins(deployment, "env_a") == {"frame": "2.2", "grid": "2.0"}
    assert pins(deployment, "env_b") == {"frame": "1.5", "grid": "1.1"}


def test_a_lock_holds_hashes_and_no_address(deployment: Deployment, wheelhouse: Path) -> None:
    deployment.spec("env_a", ["frame"])
    deployment.ok("lock")
    text = lock_text(deployment, "env_a")
    assert text.count("--hash=sha256:") == 2
    assert "://" not in text
    assert str(wheelhouse) not in text


def test_locking_twice_changes_nothing_and_resolves_nothing(deployment: Deployment) -> None:
    deployment.spec("env_a", ["frame"])
    deployment.ok("lock")
    before = lock_text(deployment, "env_a")
    result = deployment.ok("lock", "--json")
    assert result.json["result"][0]["resolved"] is False
    assert lock_text(deployment, "env_a") == before


def test_versions_are_kept_until_they_are_upgraded(deployment: Deployment, tmp_path: Path) -> None:
    wheels = tmp_path / "own-wheels"
    make_wheel(wheels, "grid", "1.0")
    make_wheel(wheels, "other", "1.0")
    deployment.write("uv.toml", f'no-index = true\nfind-links = ["{wheels}"]\n')
    deployment.spec("env_a", ["grid"])
    deployment.ok("lock")
    make_wheel(wheels, "grid", "1.1")
    deployment.spec("env_a", ["grid", "other"])
    deployment.ok("lock")
    assert pins(deployment, "env_a") == {"grid": "1.0", "other": "1.0"}
    make_wheel(wheels, "other", "1.1")
    changed = deployment.ok("lock", "-P", "grid", "--json").json["result"][0]["changes"]
    assert changed == [{"package": "grid", "old": ["1.0"], "new": ["1.1"]}]
    deployment.ok("lock", "--upgrade")
    assert pins(deployment, "env_a") == {"grid": "1.1", "other": "1.1"}


def test_an_unsatisfiable_environment_leaves_its_lock_and_the_others_alone(deployment: Deployment) -> None:
    deployment.spec("env_a", ["frame>=2"])
    deployment.spec("env_b", ["frame<2"])
    deployment.ok("lock", "env_a")
    before = lock_text(deployment, "env_a")
    deployment.spec("env_a", ["frame>=2", "grid<2"])
    result = deployment.run("lock")
    assert result.exit_code == 5
    assert "environment 'env_a'" in result.stderr
    assert "frame" in result.stderr
    assert "grid<2" in result.stderr
    assert "Traceback" not in result.stderr
    assert lock_text(deployment, "env_a") == before
    assert pins(deployment, "env_b") == {"frame": "1.5", "grid": "1.1"}


def test_check_is_content_with_fresh_locks(two_teams: Deployment) -> None:
    result = two_teams.ok("lock", "--check")
    assert "2 of 2" in result.stdout


@pytest.mark.parametrize(
    ("spec", "label"),
    [
        ('dependencies = ["frame", "tool"]', "dependencies changed"),
        ('dependencies = ["frame"]\nplatforms = ["macos-arm64"]', "platforms changed"),
        ('dependencies = ["frame"]\noverrides = ["grid<2"]', "overrides changed"),
        ('dependencies = ["frame"]\nconstraints = ["c.txt"]', "constraints environments/c.txt was added"),
    ],
)
def test_check_names_the_input_that_changed(deployment: Deployment, spec: str, label: str) -> None:
    deployment.write("environments/c.txt", "grid<3\n")
    deployment.write("environments/env_a.toml", 'requires-python = "==3.12.*"\ndependencies = ["frame"]\n')
    deployment.ok("lock")
    deployment.write("environments/env_a.toml", f'requires-python = "==3.12.*"\n{spec}\n')
    result = deployment.run("lock", "--check")
    assert result.exit_code == 4
    assert label in result.stderr
    assert "envman lock env_a" in result.stderr


def test_check_sees_a_changed_requirements_file(deployment: Deployment) -> None:
    deployment.write("teams/a.txt", "frame  # the team's own file\n")
    deployment.spec("env_a", [], 'requirements-files = ["../teams/a.txt"]\n')
    deployment.ok("lock")
    deployment.write("teams/a.txt", "# another comment\nframe\n")
    deployment.ok("lock", "--check")
    deployment.write("teams/a.txt", "frame<2\n")
    result = deployment.run("lock", "--check")
    assert result.exit_code == 4
    assert "requirements-files teams/a.txt changed" in result.stderr


def test_check_of_a_missing_and_of_a_foreign_lock(deployment: Deployment) -> None:
    deployment.spec("env_a", ["frame"])
    deployment.spec("env_b", ["frame"])
    deployment.write("environments/env_b.lock", "frame==1.5\n")
    result = deployment.run("lock", "--check", "--json")
    assert result.exit_code == 4
    assert [row["status"] for row in result.json["result"]] == ["missing", "damaged"]
    deployment.ok("lock")
    deployment.ok("lock", "--check")


def test_a_package_of_another_platform_is_left_out(deployment: Deployment) -> None:
    deployment.spec("env_a", ["frame", "windows-only; sys_platform == 'win32'"])
    deployment.ok("lock")
    assert "windows-only" not in pins(deployment, "env_a")
    deployment.spec(
        "env_a",
        ["frame", "windows-only; sys_platform == 'win32'"],
        'platforms = ["linux-x86_64", "windows-x86_64"]\n',
    )
    deployment.ok("lock")
    assert pins(deployment, "env_a")["windows-only"] == "1.0"


class _Constraints(BaseHTTPRequestHandler):
    text = ""
    requests = 0

    def do_GET(self) -> None:
        type(self).requests += 1
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.text.encode())

    def log_message(self, *_: object) -> None: ...


def test_a_constraints_url_is_read_when_locking_only(deployment: Deployment) -> None:
    class Handler(_Constraints):
        text = "# published\ngrid==1.0\n"

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/constraints.txt"
    deployment.spec("env_a", ["frame"], f'constraints = ["{url}"]\n')
    deployment.ok("lock")
    assert pins(deployment, "env_a")["grid"] == "1.0"
    assert url not in lock_text(deployment, "env_a")
    read = Handler.requests
    deployment.ok("lock", "--check")
    deployment.ok("build")
    assert Handler.requests == read
    Handler.text = "grid==1.1\n"
    deployment.ok("lock")
    assert pins(deployment, "env_a")["grid"] == "1.1"
    server.shutdown()
    server.server_close()
    result = deployment.run("lock", "-U")
    assert result.exit_code == 4
    assert url in result.stderr


def test_hidden_inputs_do_not_reach_uv(deployment: Deployment) -> None:
    hidden = deployment.write("hidden.txt", "grid<1.1\n")
    deployment.write("pyproject.toml", '[tool.uv]\nconstraint-dependencies = ["grid<1.1"]\n')
    deployment.spec("env_a", ["frame<2"])
    deployment.ok("lock", variables={"UV_CONSTRAINT": str(hidden), "UV_OVERRIDE": str(hidden)})
    assert pins(deployment, "env_a")["grid"] == "1.1"


def test_an_unreachable_index_is_an_error_that_hides_its_password(deployment: Deployment) -> None:
    deployment.write(
        "uv.toml", '[[index]]\nname = "x"\nurl = "http://user:s3cret@127.0.0.1:9/index"\ndefault = true\n'
    )
    deployment.spec("env_a", ["frame"])
    result = deployment.run("lock", variables={"UV_HTTP_RETRIES": "0"})
    assert result.exit_code == 4
    assert "environment 'env_a'" in result.stderr
    assert "s3cret" not in result.stdout + result.stderr
    assert "Check the index" in result.stderr


def test_add_and_remove_edit_spec_and_lock_and_keep_comments(two_teams: Deployment) -> None:
    file = two_teams.write(
        "environments/env_a.toml",
        '# who owns this: team a\nrequires-python = ">=3.10"\ndependencies = [\n    "frame>=2",  # for reports\n]\n',
    )
    two_teams.ok("lock", "env_a")
    two_teams.ok("add", "env_a", "tool>=1")
    assert "# who owns this: team a" in file.read_text()
    assert "# for reports" in file.read_text()
    assert pins(two_teams, "env_a")["tool"] == "1.0"
    two_teams.ok("lock", "--check", "env_a")
    two_teams.ok("remove", "env_a", "tool")
    assert "tool" not in pins(two_teams, "env_a")
    assert "# for reports" in file.read_text()


def test_an_addition_that_does_not_fit_leaves_spec_and_lock(two_teams: Deployment) -> None:
    spec = (two_teams.folder / "environments/env_a.toml").read_text()
    lock = lock_text(two_teams, "env_a")
    result = two_teams.run("add", "env_a", "grid<2")
    assert result.exit_code == 5
    assert (two_teams.folder / "environments/env_a.toml").read_text() == spec
    assert lock_text(two_teams, "env_a") == lock


def test_all_errors_of_all_files_in_one_run(deployment: Deployment) -> None:
    deployment.write("envman.toml", 'root = "venv"\n[bundles]\nb = { enviroment = "env_a" }\n')
    deployment.write("environments/env_a.toml", 'requires-python = "three"\ndependencies = ["frame=>2"]\n')
    deployment.write("environments/env_b.toml", "dependencies = [\n")
    result = deployment.run("lock", "--json")
    assert result.exit_code == 3
    places = [problem["where"] for problem in result.json["problems"]]
    assert "envman.toml: bundles.b.enviroment" in places
    assert "environments/env_a.toml: requires-python" in places
    assert "environments/env_a.toml: dependencies[0]" in places
    assert "environments/env_b.toml" in places
    assert all(problem["remedy"] for problem in result.json["problems"])


METADATA = "Metadata-Version: 2.2\nName: sourced\nVersion: 1.0\nRequires-Python: >=3.8\n"


def make_source(folder: Path) -> None:
    """A source distribution whose metadata is static: uv has nothing to build to read it."""
    with tarfile.open(folder / "sourced-1.0.tar.gz", "w:gz") as archive:
        texts = {"PKG-INFO": METADATA, "pyproject.toml": "[project]\nname = 'sourced'\nversion = '1.0'\n"}
        for name, text in texts.items():
            member = tarfile.TarInfo(f"sourced-1.0/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))


def test_a_package_without_a_wheel_is_named_and_can_be_refused(
    deployment: Deployment, tmp_path: Path
) -> None:
    wheels = tmp_path / "own-wheels"
    make_wheel(wheels, "grid", "1.0")
    make_source(wheels)
    deployment.write("uv.toml", f'no-index = true\nfind-links = ["{wheels}"]\n')
    deployment.spec("env_a", ["grid", "sourced"])
    said = deployment.ok("lock").stderr
    assert "env_a: sourced 1.0 has no wheel for linux-x86_64" in said
    assert "grid" not in said.partition("has no wheel")[2]
    before = lock_text(deployment, "env_a")
    deployment.spec("env_a", ["grid", "sourced"], "no-build = true\n")
    refused = deployment.run("lock")
    assert refused.exit_code == 5
    assert "sourced" in refused.stderr
    assert lock_text(deployment, "env_a") == before
    assert "no-build was added" in deployment.run("lock", "--check").stderr


def test_a_build_installs_no_source_where_the_spec_refuses_it(deployment: Deployment, tmp_path: Path) -> None:
    """The lock has the hashes of both; the index has lost the wheel since."""
    wheels = tmp_path / "own-wheels"
    wheel = make_wheel(wheels, "sourced", "1.0")
    make_source(wheels)
    deployment.write("uv.toml", f'no-index = true\nfind-links = ["{wheels}"]\n')
    deployment.spec("env_a", ["sourced"], "no-build = true\n")
    deployment.ok("lock")
    wheel.unlink()
    refused = deployment.run("build")
    assert refused.exit_code == 6
    assert "has no usable wheels" in refused.stderr
    assert "setuptools" not in refused.stderr  # what a build would ask for first


def test_two_additions_at_once_are_both_there(deployment: Deployment) -> None:
    """The lock is taken before either of them; both wait for it, and the one then for the other."""
    deployment.spec("env_a", [])
    deployment.ok("lock")
    folder = deployment.folder / "environments"
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    processes = [deployment.start("add", "env_a", name) for name in ("grid", "tool")]
    inode = f":{folder.stat().st_ino} "

    def all_wait() -> bool:
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
        return sum("->" in line and inode in line for line in lines) == len(processes)

    try:
        until(all_wait, "they do not wait")
    finally:
        os.close(descriptor)
    for process in processes:
        _, stderr = process.communicate(timeout=300)
        assert process.returncode == 0, stderr
    spec = (folder / "env_a.toml").read_text(encoding="utf-8")
    assert '"grid"' in spec
    assert '"tool"' in spec
    deployment.ok("lock", "--check")


def test_another_environments_lock_answers_no_spec(deployment: Deployment) -> None:
    for name in ("env_a", "env_b"):
        deployment.spec(name, ["grid<2"])
    deployment.ok("lock", "env_a")
    text = (deployment.folder / "environments/env_a.lock").read_text(encoding="utf-8")
    deployment.write("environments/env_b.lock", text)
    result = deployment.run("lock", "--check")
    assert result.exit_code == 4
    assert "environments/env_b.lock: is the lock of the environment 'env_a'" in result.stderr
    deployment.ok("lock")
    deployment.ok("lock", "--check")


def forged(deployment: Deployment, name: str, change: Callable[[tuple[Pin, ...]], tuple[Pin, ...]]) -> None:
    """Edit a lock by hand, and make its digest anew."""
    file = deployment.folder / f"environments/{name}.lock"
    lock = parse_lock(file.read_text(), file.name, name)
    file.write_text(render(Lock(name, lock.inputs, change(lock.pins)), f"environments/{name}.toml"))


EVIL = Pin("tool", "1.0", "", ("sha256:" + "0" * 64,))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda pins: (*pins, EVIL), "tool==1.0 is not what resolving gives"),
        (lambda pins: pins[1:], "frame==2.2 is missing"),
        (
            lambda pins: (*pins[:-1], replace(pins[-1], version="1.1")),
            "grid==1.1 is not what resolving gives",
        ),
        (
            lambda pins: (replace(pins[0], hashes=(*pins[0].hashes, *EVIL.hashes)), *pins[1:]),
            "frame==2.2 has a hash that no file of the index has",
        ),
        (
            lambda pins: (replace(pins[0], hashes=EVIL.hashes), *pins[1:]),
            "frame==2.2 has a hash that no file",
        ),
        (
            lambda pins: (replace(pins[0], marker="sys_platform == 'linux'"), *pins[1:]),
            "frame==2.2 has another marker",
        ),
    ],
)
def test_a_lock_that_was_edited_with_its_digest_is_found_by_resolving(
    deployment: Deployment, change: Callable[[tuple[Pin, ...]], tuple[Pin, ...]], said: str
) -> None:
    deployment.spec("env_a", ["frame>=2"])
    deployment.spec("env_b", ["frame<2"])
    deployment.ok("lock")
    assert "2 of 2 locks" in deployment.ok("lock", "--check", "--resolve").stdout
    forged(deployment, "env_a", change)
    before = lock_text(deployment, "env_a")
    deployment.ok("lock", "--check")
    result = deployment.run("lock", "--check", "--resolve")
    assert result.exit_code == 4
    assert said in result.stderr
    assert "environments/env_b.lock" not in result.stderr
    assert lock_text(deployment, "env_a") == before
    listed = deployment.run("lock", "--check", "--resolve", "--json").json["result"]
    assert [row["status"] for row in listed] == ["edited", "fresh"]


def test_a_lock_with_older_versions_and_fewer_files_is_what_resolving_gives(
    deployment: Deployment, tmp_path: Path
) -> None:
    """Versions are kept while they fit, and a file may come to the index later."""
    wheels = tmp_path / "own-wheels"
    make_wheel(wheels, "grid", "1.0")
    deployment.write("uv.toml", f'no-index = true\nfind-links = ["{wheels}"]\n')
    deployment.spec("env_a", ["grid"])
    deployment.ok("lock")
    make_wheel(wheels, "grid", "2.0")
    deployment.ok("lock", "--check", "--resolve")


def test_resolve_goes_with_check_alone(deployment: Deployment) -> None:
    deployment.spec("env_a", ["grid"])
    result = deployment.run("lock", "--resolve")
    assert result.exit_code == 2
    assert "--resolve: goes with --check alone" in result.stderr
