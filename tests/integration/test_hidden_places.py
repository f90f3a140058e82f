"""A project, credentials and indexes below the machine's own folders: packages that run find nothing of them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Deployment, empty
from tests.sdists import make_sdist
from tests.wheels import make_wheel

READS = """
import os
found = []
for path in {paths!r}:
    try:
        if os.listdir(path) if os.path.isdir(path) else open(path).read():
            found.append(path)
    except OSError:
        pass
if found:
    raise SystemExit("it has read " + repr(found))
"""
DYNAMIC = {"PKG-INFO": "Metadata-Version: 1.0\nName: spy\nVersion: 1.0\n"}


class Opt:
    """A project below /opt, with a netrc, a client's certificate and a folder of files beside it; envman is
    run from elsewhere.
    """

    def __init__(self, folder: Path, elsewhere: Path, wheelhouse: Path, variables: dict[str, str]) -> None:
        self.project = empty(folder / "project", wheelhouse, variables)
        self.files = folder / "files"
        self.files.mkdir()
        secrets = {"NETRC": folder / "etc/netrc", "SSL_CLIENT_CERT": folder / "etc/client.pem"}
        (folder / "etc").mkdir()
        for path in secrets.values():
            path.write_text("machine index.example login me password hunter2\n")
        self.variables = {name: str(path) for name, path in secrets.items()}
        self.variables |= {
            "ENVMAN_PROJECT": str(self.project.folder),
            "ENVMAN_CACHE_DIR": str(elsewhere / "cache"),
            "UV_FIND_LINKS": str(self.files),
        }
        self.envman = Deployment(elsewhere, {**variables, **self.variables})
        paths = [*map(str, secrets.values()), str(self.files)]
        paths += [str(self.project.folder / name) for name in ("uv.toml", "envman.toml", "environments")]
        self.reads = READS.format(paths=paths)


@pytest.fixture
def opt(tmp_path: Path, wheelhouse: Path, clean_environment: dict[str, str]) -> Iterator[Opt]:
    with tempfile.TemporaryDirectory(dir="/opt", prefix="envman-test-") as folder:
        Path(folder).chmod(0o755)
        yield Opt(Path(folder), tmp_path, wheelhouse, clean_environment)


@pytest.mark.parametrize("what", ["lock", "build", "check"])
def test_what_packages_run_finds_no_file_of_the_project(opt: Opt, what: str) -> None:
    more = ""
    if what == "check":
        make_wheel(opt.files, "spy", "1.0", files={"spy/__init__.py": opt.reads})
        more = '[checks]\nimports = ["spy"]\n'
    else:
        make_sdist(opt.files, "spy", backend=opt.reads, files=DYNAMIC if what == "lock" else None)
    opt.project.spec("env_a", ["spy"], more)
    said = opt.envman.ok("lock").stderr
    said += opt.envman.ok("build").stderr
    assert "in a sandbox" in said


def test_the_attack_is_a_real_one(opt: Opt) -> None:
    """Outside of a sandbox it finds all of it."""
    (opt.files / "a").touch()
    opt.project.spec("env_a", [])
    finished = subprocess.run([sys.executable, "-c", opt.reads], capture_output=True, text=True, check=False)
    assert finished.stderr.count("/opt/") == 6
