"""Base images, and programs that run in them: bubblewrap, umoci and skopeo for real."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from envman.errors import ImageError, InterruptedByUserError
from envman.image.entries import in_order, written
from envman.oci.bases import Base, fetched, unpacked
from envman.oci.image_layout import Layout
from envman.oci.layer import Compression
from envman.oci.layers import LayerStore
from envman.spec.image_names import parse_reference
from envman.system.children import CHILDREN
from envman.system.processes import Processes
from envman.system.sandbox import Mount, Sandbox
from envman.usecases.images.base_machine import base_machine
from envman.uv.runner import Source
from tests.images.own_base import add_image, make_base
from tests.interpreters import interpreter
from tests.moments import processes_of


@pytest.fixture(scope="module")
def name(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_base(tmp_path_factory.mktemp("base"), interpreter("3.12"), ["LANG=C.UTF-8"])


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def fetch(name: str, cache: Path, said: list[str] | None = None) -> Base:
    return fetched(parse_reference(name), cache, Processes(), (said if said is not None else []).append)


@pytest.fixture(scope="module")
def base(name: str, cache: Path) -> Iterator[Base]:
    base = fetch(name, cache)
    unpacked(base, Processes(), lambda _: None)
    yield base
    shutil.rmtree(cache, ignore_errors=True)


def test_a_base_is_fetched_and_unpacked_once(name: str, base: Base, cache: Path) -> None:
    said: list[str] = []
    again = fetch(name, cache, said)
    unpacked(again, Processes(), said.append)
    assert again == base
    assert said == []
    assert (base.root / "etc/passwd").is_file()
    assert base.environ()["LANG"] == "C.UTF-8"


def test_a_killed_unpacking_is_begun_anew(name: str, tmp_path: Path) -> None:
    base = fetch(name, tmp_path)
    left = base.folder / ".root-killed"
    (left / "it").mkdir(parents=True)
    unpacked(base, Processes(), lambda _: None)
    assert not left.exists()
    assert (base.root / "etc/passwd").is_file()


def test_an_unknown_base_is_told(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="can't be read") as caught:
        fetch(f"oci:{tmp_path}/nothing:here", tmp_path)
    assert "nothing" in caught.value.problems[0].where
    assert caught.value.problems[0].remedy == "Look at the path."


def test_a_base_of_another_architecture_is_told(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "layout")
    layer, _ = LayerStore(layout, 0, Compression.GZIP, 1).layer(list(in_order([written("a", b"1")])), "")
    layout.name("base", add_image(layout, layer, [], arch="s390x"))
    with pytest.raises(ImageError, match="it is for linux/s390x, this machine is linux/"):
        fetch(f"oci:{tmp_path}/layout:base", tmp_path)


def test_a_base_without_python_is_told(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "layout")
    layer, _ = LayerStore(layout, 0, Compression.GZIP, 1).layer(list(in_order([written("a", b"1")])), "")
    layout.name("base", add_image(layout, layer, ["PATH=/bin"]))
    base = fetch(f"oci:{tmp_path}/layout:base", tmp_path)
    unpacked(base, Processes(), lambda _: None)
    with pytest.raises(ImageError, match="has no Python that runs: none on its PATH, /bin"):
        base_machine(base, tmp_path, Processes(), Source(), 0)


def test_a_bases_interpreter_is_found(base: Base, cache: Path) -> None:
    machine = base_machine(base, cache, Processes(), Source(), 0)
    python = interpreter("3.12")
    assert [one.executable for one in machine.found.found] == [python]
    assert machine.is_same(machine.newest())
    assert base_machine(base, cache, Processes(), Source(), 0).root == machine.root
    assert base_machine(base, cache, Processes(), Source(), 1).root != machine.root


# programs in it


@pytest.fixture
def inside(base: Base, tmp_path: Path) -> Sandbox:
    (tmp_path / "root").mkdir()
    (tmp_path / "read").mkdir()
    mounts = [
        Mount(str(tmp_path / "root"), "/venv", writable=True),
        Mount(str(tmp_path / "read"), "/.envman/read"),
    ]
    return Sandbox(base.root, base.environ(), mounts)


def shell(inside: Sandbox, script: str, *arguments: str, folder: str = "/", **variables: str) -> str:
    finished = inside.run(["/bin/sh", "-c", script, "sh", *arguments], {**os.environ, **variables}, folder)
    assert finished.exit_code == 0, finished
    return finished.stdout.strip()


def test_paths_are_those_inside(inside: Sandbox, tmp_path: Path) -> None:
    root = f"{tmp_path}/root"
    assert (
        shell(inside, "echo $1 $TEST; pwd", f"{root}/a", folder=root, TEST=f"{root}/b")
        == "/venv/a /venv/b\n/venv"
    )
    shell(inside, "echo written > file", folder=root)
    assert (tmp_path / "root/file").read_text() == "written\n"


def test_any_other_working_folder_is_there_too(inside: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work/file").write_text("here")
    assert (
        shell(inside, "read line < file; echo $line; pwd", folder=f"{tmp_path}/work") == "here\n/.envman/work"
    )


def test_the_image_itself_is_not_written_to(inside: Sandbox, base: Base) -> None:
    for path in ("/file", "/etc/file", "/.envman/read/file"):
        finished = inside.run(["/bin/sh", "-c", f"echo x > {path}"], {}, "/")
        assert finished.exit_code != 0
    assert not (base.root / "file").exists()


def test_variables_are_the_images_and_what_builds_need(
    inside: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the caller")
    monkeypatch.setenv("UV_INDEX_PRIVATE_PASSWORD", "for uv")
    monkeypatch.setenv("LANG", "de_DE")
    told = shell(inside, "export -p", ADDED="by the build").splitlines()
    assert "export UV_INDEX_PRIVATE_PASSWORD='for uv'" in told
    assert "export ADDED='by the build'" in told
    assert "export LANG='C.UTF-8'" in told
    assert "export HOME='/.envman/home'" in told
    assert not [line for line in told if "of the caller" in line]


def test_no_variable_is_on_a_command_line(inside: Sandbox) -> None:
    secret = "only-in-the-environment"
    script = "for one in /proc/[0-9]*; do while read -r line; do echo $line; done < $one/cmdline; done 2>&1"
    assert secret not in shell(inside, script, UV_INDEX_PRIVATE_PASSWORD=secret)


def test_processes_of_this_machine_are_not_seen(inside: Sandbox) -> None:
    numbers = [
        int(line.rpartition("/")[2]) for line in shell(inside, "ls() { echo /proc/[0-9]*; }; ls").split()
    ]
    assert max(numbers) < 10


def test_what_is_interrupted_ends(inside: Sandbox, tmp_path: Path) -> None:
    folder = tmp_path / "root"
    folder.mkdir(exist_ok=True)
    os.mkfifo(folder / "started")

    def interrupt() -> None:
        (folder / "started").read_text()
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(InterruptedByUserError), CHILDREN.owned():
        inside.run(["/bin/sh", "-c", "echo > started; while :; do :; done"], {}, str(folder))
    thread.join()
    assert processes_of(tmp_path, {os.getpid()}) == []


def test_without_bubblewrap_that_is_said(inside: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ImageError, match="bubblewrap is not installed") as caught:
        inside.run(["/bin/sh"], {}, "/")
    assert "--engine" in caught.value.problems[0].remedy


def test_a_program_in_it_has_none_of_roots_rights(inside: Sandbox) -> None:
    """Whoever may mount gets at the machine's files."""
    assert (
        shell(
            inside,
            "while read name value; do case $name in CapEff:) echo $value;; esac; done < /proc/self/status",
        )
        == "0" * 16
    )
    finished = inside.run([interpreter("3.12"), "-c", MOUNT], os.environ, "/")
    assert finished.stdout == "-1\n", finished


MOUNT = "import ctypes; print(ctypes.CDLL(None).mount(b'none', b'/tmp', b'tmpfs', 0, None))"
