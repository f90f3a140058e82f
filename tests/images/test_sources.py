"""Packages that are built from source in a base image: by its Python, with nothing of this machine's."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from envman.build.source_builds import SourceBuilds, SourceOptions, SourceTools
from envman.lock.source_only import SourceFile
from envman.oci.bases import fetched, unpacked
from envman.spec.image_names import parse_reference
from envman.system.events import Event
from envman.system.processes import Processes
from envman.usecases.images.base_machine import BaseMachine, base_machine
from envman.uv.runner import Source, Uv
from tests.build.test_source_builds import SAYS
from tests.conftest import Deployment
from tests.images.own_base import make_base
from tests.interpreters import interpreter
from tests.sdists import BACKEND, IN_TREE, make_sdist

HOSTILE = """
import socket, sys
def spoil(*folders):
    for folder in folders:
        for parent, _, _ in os.walk(folder):
            if "/.sources/" not in parent + "/":
                with open(parent + "/POISON", "w"):
                    return
    raise OSError
ATTEMPTS = {
    "uv's cache": lambda: spoil("/.envman/uv-cache", %(uv)r),
    "the root folder": lambda: open("/venv/.gen/other/file", "w"),
    "read the root folder": lambda: open("/venv/.gen/other/file"),
    "this machine": lambda: open(%(secret)r),
    "the base": lambda: spoil("/usr", "/etc", "/lib"),
    "the network": lambda: socket.create_connection(("127.0.0.1", %(port)d), 5),
    "what its build asks for": lambda: spoil(sys.prefix),
}
"""


@pytest.fixture(scope="module")
def uv_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("uv-cache")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, uv_cache: Path) -> Iterator[BaseMachine]:
    folder = tmp_path_factory.mktemp("based")
    name = make_base(folder / "layout", interpreter("3.12"), ["LANG=C.UTF-8"])
    base = fetched(parse_reference(name), folder / "cache", Processes(), lambda _: None)
    unpacked(base, Processes(), lambda _: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UV_CACHE_DIR", str(uv_cache))
        yield base_machine(base, folder / "cache", Processes(), Source(), 1_700_000_000)
    shutil.rmtree(folder, ignore_errors=True)


def test_a_hostile_source_reaches_nothing_of_a_base_or_of_this_machine(
    machine: BaseMachine, uv_cache: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    (machine.root / ".gen/other").mkdir(parents=True)
    (machine.root / ".gen/other/file").write_text("another environment's")
    folder = machine.root / ".gen/this/.sources"
    folder.mkdir(parents=True)
    said: list[Event] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = {"uv": str(uv_cache), "secret": str(tmp_path / "secret"), "port": server.getsockname()[1]}
        archive = make_sdist(tmp_path, "said", backend=HOSTILE % where + SAYS)
        file = SourceFile(
            "said", "1.0", f"file://{archive}", hashlib.sha256(archive.read_bytes()).hexdigest()
        )
        tools = SourceTools(machine.processes, Uv(machine.processes, Source()), machine, said.append)
        interpreter_of_base = machine.found.found[0]
        builds = SourceBuilds(folder, SourceOptions("env_a", interpreter_of_base), tools)
        wheel = builds.wheel(file)
    shutil.unpack_archive(wheel.path, tmp_path / "told", "zip")
    told = json.loads((tmp_path / "told/said.json").read_text())
    assert told["done"] == ["uv's cache"]  # an empty folder of its own, in its place
    assert told["variables"]["LANG"] == "C.UTF-8"
    assert "in a sandbox" in said[-1].detail
    assert list(uv_cache.rglob("POISON")) == []
    assert wheel.path.is_relative_to(machine.cache)
    assert (machine.root / ".gen/other/file").read_text() == "another environment's"


def test_an_image_has_what_was_built_in_its_base(
    images: Deployment, wheelhouse: Path, tmp_path: Path
) -> None:
    """Found in a folder of this machine; a second build of the image builds nothing again."""
    make_sdist(tmp_path / "sdists", "sourced", requires=["grid<2"])
    folders = json.dumps([str(tmp_path / "sdists"), str(wheelhouse)])
    images.write("uv.toml", f"no-index = true\nfind-links = {folders}\n")
    images.spec("env_a", ["sourced"], '[checks]\nimports = ["sourced", "grid"]\n')
    images.ok("lock", "env_a")
    said = images.ok("image", "build", "env_a", "--tag", "team/image_a:sourced").stderr
    assert "sourced 1.0 from source, in a sandbox" in said
    images.spec("env_a", ["sourced"], '[checks]\nimports = ["sourced"]\n')
    images.ok("lock", "env_a")
    again = images.ok("image", "build", "env_a", "--tag", "team/image_a:again").stderr
    assert "checking" in again
    assert "from source" not in again


def test_an_image_has_code_of_ones_own(images: Deployment) -> None:
    """Built once more in the base, whose interpreter is another one: it is the wheel of the lock."""
    backend = BACKEND.format(name="own", version="1.0", requires=["grid<2"], tag="py3-none-any")
    images.write("libs/own/backend.py", backend)
    images.write("libs/own/pyproject.toml", f'{IN_TREE}[project]\nname = "own"\nversion = "1.0"\n')
    images.write("libs/shared/modules.py", "X = 1\n")
    more = 'sources = ["../libs/own", "../libs/shared"]\n[checks]\nimports = ["own", "grid", "modules"]\n'
    images.spec("env_a", [], more)
    images.ok("lock", "env_a")
    said = images.ok("image", "build", "env_a", "--tag", "team/image_a:own").stderr
    assert "own (libs/own) from source, in a sandbox" in said
    assert "checking" in said
