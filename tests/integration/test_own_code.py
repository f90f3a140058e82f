"""`sources` of a spec: locked with a digest and a hash, built again and compared, installed with the rest."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from envman.lock.lockfile import parse_lock, render
from tests.conftest import Deployment, in_python
from tests.integration.test_revision_diff import git
from tests.integration.test_source_builds import HOSTILE, SECRETS, poisoned
from tests.sdists import BACKEND, IN_TREE
from tests.waiting import until
from tests.wheels import make_wheel

OWN = '[project]\nname = "own"\nversion = "1.0"\ndependencies = ["grid<2"]\n'
LOCK = "environments/env_a.lock"


def project(deployment: Deployment, path: str, name: str = "own", backend: str = "", **more: object) -> Path:
    """A project with a backend of its own, which needs nothing to be built."""
    text = BACKEND.format(
        name=name, version="1.0", requires=more.get("requires", []), tag=more.get("tag", "py3-none-any")
    )
    deployment.write(f"{path}/backend.py", text + backend)
    return deployment.write(f"{path}/pyproject.toml", IN_TREE + OWN.replace("own", name))


def spec(deployment: Deployment, *sources: str, more: str = "", dependencies: tuple[str, ...] = ()) -> None:
    deployment.spec(
        "env_a", list(dependencies), f"sources = {json.dumps([f'../{one}' for one in sources])}\n{more}"
    )


def said(deployment: Deployment, code: str) -> str:
    return deployment.ok("exec", "--environment", "env_a", "--", *in_python(code)).stdout.strip()


@pytest.fixture
def owner(deployment: Deployment, tmp_path: Path) -> Deployment:
    """A deployment with a cache of its own."""
    deployment.environment["ENVMAN_CACHE_DIR"] = str(tmp_path / "envman-cache")
    return deployment


@contextmanager
def index() -> Iterator[tuple[str, list[str]]]:
    """An index that has nothing, its address and what it was asked for."""
    asked: list[str] = []

    class Nothing(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Nothing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/", asked
        server.shutdown()


def test_code_of_ones_own_is_locked_built_and_installed_and_no_index_is_asked_for_it(
    owner: Deployment, wheelhouse: Path, tmp_path: Path
) -> None:
    project(owner, "libs/own", requires=["helpers", "grid<2"])
    owner.write("libs/helpers/helpers/h.py", "H = 7\n")
    owner.write("libs/helpers/tool.py", "from helpers.h import H\n")
    owner.write("common/__init__.py", "C = 1\n")
    make_wheel(tmp_path / "others", "own", "9.0", ["nowhere"])  # whoever serves that is not believed
    spec(owner, "libs/own", "libs/helpers", "common", dependencies=("frame",))
    with index() as (address, asked):
        owner.write(
            "uv.toml",
            f'find-links = ["{wheelhouse}", "{tmp_path}/others"]\nindex-strategy = "unsafe-best-match"\n'
            f'[[index]]\nurl = "{address}"\ndefault = true\n',
        )
        owner.ok("lock")
        text = (owner.folder / LOCK).read_text()
        assert {"# source own: libs/own", "# source helpers: libs/helpers", "# source common: common"} <= {
            *text.splitlines()
        }
        assert "own==1.0" in text
        assert "/libs" not in text.partition("\n\n")[2]
        owner.ok("build")
        owner.ok("lock", "--check", "--resolve")
        owner.ok("wheelhouse", "env_a", "house")
    assert {path.strip("/") for path in asked} >= {"frame", "grid"}
    assert not [path for path in asked if any(name in path for name in ("own", "helpers", "common"))]
    assert said(owner, "import own, tool, common; print(own.__version__, tool.H, common.C)") == "1.0 7 1"
    generation = (owner.root / "env_a").resolve()
    for name in ("own", "helpers", "common"):
        info = next(generation.glob(f"lib/python3*/site-packages/{name}-*.dist-info"))
        listed = {one.name for one in info.iterdir()} | set((info / "RECORD").read_text().split(","))
        assert not [one for one in listed if "direct_url" in one or "uv_cache" in one]
    owner.ok("verify")
    assert {one.name.partition("-")[0] for one in (owner.folder / "house").iterdir()} == {
        *("own", "helpers", "common", "frame", "grid")
    }
    # what a host without the source's build has: the wheelhouse alone
    owner.environment["ENVMAN_CACHE_DIR"] = str(tmp_path / "another-cache")
    told = owner.ok("build", "--rebuild", "--offline", "--wheelhouse", "house").stderr
    assert "from source" not in told


def test_neither_builds_nor_tools_have_an_index_asked_for_a_source(owner: Deployment, tmp_path: Path) -> None:
    """Whoever puts a source's name on an index must not be run in a build, nor decide a dev overlay."""
    others = tmp_path / "others"
    make_wheel(others, "plugin", "1.0", ["helpers"])  # which a build asks for
    make_wheel(others, "tester", "1.0", ["own"])
    project(owner, "libs/own")
    text = (owner.folder / "libs/own/pyproject.toml").read_text().replace('dependencies = ["grid<2"]\n', "")
    owner.write("libs/helpers/helpers.py", "H = 7\n")
    spec(owner, "libs/own", "libs/helpers", more='[dev]\ndependencies = ["tester"]\n')
    with index() as (address, asked):
        owner.write("uv.toml", f'find-links = ["{others}"]\n[[index]]\nurl = "{address}"\ndefault = true\n')
        owner.write("libs/own/pyproject.toml", text.replace("requires = []", 'requires = ["Helpers>1"]'))
        refused = owner.run("lock")
        assert refused.exit_code == 6
        assert "its build asks for 'helpers', a source, and no index is asked for that" in refused.stderr
        owner.write("libs/own/pyproject.toml", text.replace("requires = []", 'requires = ["plugin"]'))
        for command in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "before the locks")):
            git(owner.folder, *command)
        owner.ok("lock")
        owner.ok("build")
        told = owner.ok("diff", "--git", "HEAD", "--json").json["result"]
        first = owner.current("env_a")
        owner.ok("build", "--rebuild")
        mixed = owner.run("bisect", "env_a", "--good", first, "--", "true")
    assert {one["package"] for one in told["packages"]} == {"own", "helpers"}
    assert "holds code of the project's own: helpers, own" in mixed.stderr
    assert {path.strip("/") for path in asked} == {"plugin", "tester"}
    dev = (owner.folder / "environments/env_a.dev-lock").read_text().partition("\n\n")[2]
    assert dev.startswith("tester==1.0 ")
    assert "own==" not in dev


def test_a_lock_whose_sources_were_taken_out_by_hand_is_refused(owner: Deployment) -> None:
    owner.write("libs/own/own.py", "O = 7\n")
    spec(owner, "libs/own")
    owner.ok("lock")
    lock = parse_lock((owner.folder / LOCK).read_text(), LOCK, "env_a")
    for sources in ((), tuple(replace(one, path="libs/other") for one in lock.sources)):
        owner.write(LOCK, render(replace(lock, sources=sources), "environments/env_a.toml"))
        for command in (("lock", "--check"), ("build",)):
            refused = owner.run(*command)
            assert refused.exit_code == 4
            assert "its sources are not those of environments/env_a.toml" in refused.stderr


def test_another_path_and_umask_give_the_same_lock_and_a_change_is_told(
    owner: Deployment, tmp_path: Path
) -> None:
    project(owner, "libs/own")
    spec(owner, "libs/own")
    owner.ok("lock")
    text = (owner.folder / LOCK).read_text()
    clone = Deployment(tmp_path / "elsewhere", dict(owner.environment))
    shutil.copytree(owner.folder, clone.folder)
    os.utime(clone.folder / "libs/own/backend.py", (1, 1))
    for umask in (0o002, 0o077):
        clone.environment["ENVMAN_CACHE_DIR"] = str(tmp_path / f"cache-{umask}")
        (clone.folder / LOCK).unlink(missing_ok=True)
        before = os.umask(umask)
        try:
            clone.ok("lock")
        finally:
            os.umask(before)
        assert (clone.folder / LOCK).read_text() == text
    clone.ok("build")
    clone.write("libs/own/__pycache__/x.pyc", "")
    clone.ok("lock", "--check")
    clone.write("libs/own/own/more.py", "")
    refused = clone.run("lock", "--check")
    assert (refused.exit_code, "sources libs/own changed" in refused.stderr) == (4, True)
    assert clone.run("build").exit_code == 4
    assert json.loads(clone.ok("list", "--json").stdout)


DIFFERENT = "def files():\n    import os\n    return {'own/__init__.py': os.getcwd()}\n"
HOOK = (
    "def build_wheel(folder, config_settings=None, metadata_directory=None):\n    return wheel(folder, {}, "
)
FAILING = {
    "fails": ("raise SystemExit('no way')\n", "no way"),
    "two wheels": (DIFFERENT, "two builds of it give two wheels: own/__init__.py differ in them"),
    "another's": (f"{HOOK}info='other-1.0')\n", "'other-1.0-py3-none-any.whl' is not own"),
    "one machine's": (f"{HOOK}tag='py3-none-linux_x86_64')\n", "for some machines alone"),
    "an address": ("REQUIRES = ['six @ https://a.example/six.whl']\n", "asks for 'six' by its address"),
}


@pytest.mark.parametrize("kind", FAILING)
def test_a_source_that_can_not_be_locked_is_told_and_the_old_lock_stays(owner: Deployment, kind: str) -> None:
    backend, what = FAILING[kind]
    owner.write(LOCK, "as it was")
    project(owner, "libs/own", backend=backend)
    spec(owner, "libs/own")
    refused = owner.run("lock")
    assert (refused.exit_code, what in refused.stderr) == (6, True), refused.stderr
    assert "Traceback" not in refused.stderr or kind == "fails"
    assert (owner.folder / LOCK).read_text() == "as it was"


def test_two_of_one_name_and_an_override_are_refused(owner: Deployment) -> None:
    for path in ("libs/own", "libs/other"):
        project(owner, path)
        owner.write(f"{path}/pyproject.toml", IN_TREE)  # whose name only its build tells
        owner.write(f"{path}/setup.py", "")
    spec(owner, "libs/own", "libs/other", more='overrides = ["own==9"]\n')
    refused = owner.run("lock")
    assert refused.exit_code == 4
    assert "libs/other and libs/own are both named 'own'" in refused.stderr
    assert "override of 'own'" in refused.stderr


def test_a_file_that_another_package_brings_too_is_refused(owner: Deployment) -> None:
    """Else chance would say which one stands there, and each build of the lock another thing."""
    owner.write("libs/own/tables.py", "T = 1\n")
    owner.write("libs/own/same.py", "")
    owner.write("libs/other/tables.py", "T = 2\n")
    owner.write("libs/other/same.py", "")
    owner.write("libs/other/grid/__init__.py", "G = 2\n")
    spec(owner, "libs/own", "libs/other", dependencies=("grid",))
    owner.ok("lock")
    refused = owner.run("build")
    assert refused.exit_code == 6
    assert "site-packages/tables.py by other-0+c" in refused.stderr
    assert "site-packages/grid/__init__.py by grid-" in refused.stderr
    assert "same.py" not in refused.stderr
    assert not (owner.root / "env_a").exists()


def test_what_a_build_gives_another_time_is_compared_with_the_lock(owner: Deployment) -> None:
    told = "def files():\n    import os\n    return {'own/__init__.py': os.environ.get('SAYS', 'nothing')}\n"
    project(owner, "libs/own", backend=told)
    spec(owner, "libs/own")
    owner.ok("lock")
    spec(owner, "libs/own", more='source-builds.variables = { SAYS = "x" }\n')
    refused = owner.run("build")
    assert refused.exit_code == 6
    assert "and not the locked sha256:" in refused.stderr
    assert not (owner.root / "env_a").exists()


def test_a_hostile_source_reaches_nothing(owner: Deployment, tmp_path: Path) -> None:
    home, cache = Path(owner.environment["HOME"]), Path(owner.environment["UV_CACHE_DIR"])
    (home / ".netrc").write_text("machine example.org login me password hunter2\n")
    where = {"home": str(home), "cache": str(cache), "root": str(owner.root), "mark": "m", "port": 9}
    project(owner, "libs/hostile", "hostile", HOSTILE.format(**where))
    owner.write("keep/secret.txt", "mine")
    spec(owner, "libs/hostile")
    owner.ok("lock", variables=SECRETS)
    owner.ok("build", variables=SECRETS)
    told = json.loads(said(owner, "import hostile; print(hostile.SAID)"))
    assert told["done"] == []
    assert poisoned(home, cache, owner.root, owner.folder, tmp_path / "envman-cache") == []


def test_an_endless_build_ends_with_its_command(owner: Deployment, tmp_path: Path) -> None:
    project(owner, "libs/own", backend="import signal\nsignal.pause()\n")
    spec(owner, "libs/own")
    mark = f"{tmp_path}/temporary"
    Path(mark).mkdir()
    owner.environment["TMPDIR"] = mark

    def hooks() -> list[str]:
        words = subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True, check=True).stdout
        return [line for line in words.splitlines() if "call_hook.py get_requires" in line and mark in line]

    process = owner.start("lock")
    until(lambda: bool(hooks()), lambda: "no hook was called", 60)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) != 0
    assert hooks() == []
    assert not (owner.folder / LOCK).exists()
    assert list(Path(mark).iterdir()) == []
