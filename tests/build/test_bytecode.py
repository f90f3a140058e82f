"""The bytecode store, with real interpreters; other file systems are what the machine has in memory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from envman.build.bytecode import BytecodeStore, Compiler, Filled
from envman.build.interpreters import discover
from envman.errors import BuildError
from envman.system.digests import Digests
from envman.system.files import cache_folder
from envman.system.processes import Processes

PYTHON = Path(sys.executable)
TAG = f"cpython-3.{sys.version_info.minor}"
SUFFIX = f".{sys.implementation.cache_tag}.pyc"
FILES = {
    "package/__init__.py": "",
    "package/code.py": "def fail():\n    raise ValueError('a')\n",
    "package/template.py": "{{ no python }}\n",
    "single.py": "NAMES = {'a', 'b', 'c'}\ndef has(x): return x in {'p', 'q', 'r', 's'}\n",
}


@dataclass(frozen=True)
class Counting(Compiler):
    """Tells what it was asked to compile."""

    asked: list[str] = field(default_factory=list)

    def run(self, jobs: list[tuple[str, str, str]], folder: Path) -> list[str]:  # type: ignore[override]
        self.asked.extend(name for _, name, _ in jobs)
        return super().run(jobs, folder)


def packages(folder: Path, files: dict[str, str] = FILES) -> Path:
    for path, text in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return folder


def compiler(python: Path = PYTHON) -> Counting:
    return Counting(python, Processes(), 2)


def fill(store: Path, folder: Path, by: Compiler | None = None, **more: set[str]) -> Filled:
    one = BytecodeStore(store, TAG, SUFFIX, Digests(), **more)
    return one.fill(folder, by or compiler(), lambda _: None)


def bytecode(folder: Path) -> dict[str, Path]:
    return {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*.pyc"))}


def test_a_source_is_compiled_once_and_linked_everywhere(tmp_path: Path) -> None:
    a, b = packages(tmp_path / "a"), packages(tmp_path / "b")
    by = compiler()
    assert fill(tmp_path / "store", a, by) == Filled(linked=3, copied=0, compiled=3)
    assert sorted(by.asked) == sorted(FILES)
    by.asked.clear()
    assert fill(tmp_path / "store", b, by) == Filled(linked=3, copied=0, compiled=0)
    assert by.asked == []
    assert [path.stat().st_ino for path in bytecode(a).values()] == [
        path.stat().st_ino for path in bytecode(b).values()
    ]
    assert {f"{path.stat().st_mode:o}" for path in bytecode(a).values()} == {"100644"}


def test_what_differs_is_compiled_apart(tmp_path: Path) -> None:
    """By content, or by the path that tracebacks show."""
    fill(tmp_path / "store", packages(tmp_path / "a"))
    by = compiler()
    other = FILES | {"single.py": "NAMES = ()\n", "moved/code.py": FILES["package/code.py"]}
    fill(tmp_path / "store", packages(tmp_path / "b", other), by)
    assert sorted(by.asked) == ["moved/code.py", "single.py"]


def test_the_bytecode_is_used_whatever_the_times_are(tmp_path: Path) -> None:
    """PEP 552, unchecked: neither the source's time nor its content is compared; tracebacks show its path."""
    a = packages(tmp_path / "a")
    fill(tmp_path / "store", a)
    os.utime(a / "single.py", (0, 0))
    (a / "package/code.py").write_text("raise SystemExit('the source was read')\n")
    for path in bytecode(a).values():
        assert path.read_bytes()[4:8] == b"\x01\x00\x00\x00"
    script = "import single, package.code as c; print(c.fail.__code__.co_filename)"
    told = subprocess.run(
        [PYTHON, "-B", "-c", script], cwd=a, capture_output=True, text=True, check=True
    ).stdout
    assert told == f"{a}/package/code.py\n"


@pytest.mark.parametrize("minor", [10, 11, 12, 13])
def test_the_same_source_gives_the_same_bytes(tmp_path: Path, minor: int) -> None:
    """In another store, in other company, after other sources, in another number of processes."""
    found = discover(None, os.environ).choose("a test's", f"==3.{minor}.*")
    python, suffix = Path(found.executable), f".cpython-3{minor}.pyc"
    library = python.parent.parent / f"lib/python3.{minor}"
    files = {f"lib/{path.name}": path.read_text() for path in sorted(library.glob("[a-d]*.py"))}
    assert len(files) > 20
    more = files | {f"first/{name}.py": f"import os\n{name} = '{name}'\n" for name in ("aa", "join", "path")}
    results = []
    for name, content, jobs in (("a", files, 1), ("b", more, 2)):
        folder = packages(tmp_path / name, content)
        one = BytecodeStore(tmp_path / f"store-{name}", "x", suffix, Digests())
        one.fill(folder, Compiler(python, Processes(), jobs), lambda _: None)
        results.append({path: file.read_bytes() for path, file in bytecode(folder / "lib").items()})
    assert results[0] == results[1]
    assert len(results[0]) == len(files)


def test_another_file_system_gets_copies(tmp_path: Path) -> None:
    memory = Path("/dev/shm")
    folder = memory / f"envman-{os.getpid()}"
    assert memory.stat().st_dev != tmp_path.stat().st_dev
    try:
        a = packages(folder)
        assert fill(tmp_path / "store", a) == Filled(linked=0, copied=3, compiled=3)
        assert len(bytecode(a)) == 3
    finally:
        shutil.rmtree(folder)


def test_bytecode_that_a_wheel_brings_is_replaced_and_not_written_to(tmp_path: Path) -> None:
    a = packages(tmp_path / "a")
    brought = a / f"__pycache__/single{SUFFIX}"
    brought.parent.mkdir()
    in_cache = tmp_path / "in_cache"
    in_cache.write_bytes(b"the wheel's")
    os.link(in_cache, brought)
    fill(tmp_path / "store", a)
    assert in_cache.read_bytes() == b"the wheel's"
    assert brought.read_bytes() != b"the wheel's"


def test_several_builds_at_once_compile_each_source_once(tmp_path: Path) -> None:
    folders = [packages(tmp_path / name) for name in "abcd"]
    by = [compiler() for _ in folders]
    threads = [
        threading.Thread(target=fill, args=(tmp_path / "store", folder, one))
        for folder, one in zip(folders, by, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(name for one in by for name in one.asked) == sorted(FILES)
    assert all(len(bytecode(folder)) == 3 for folder in folders)


def test_a_rebuild_takes_nothing_that_it_has_not_compiled(tmp_path: Path) -> None:
    """A crash of the machine may have left a damaged file in the store."""
    a, b, c = (packages(tmp_path / name) for name in "abc")
    fill(tmp_path / "store", a)
    bytecode(a)["package/__pycache__/code" + SUFFIX].write_bytes(b"")
    renewed: set[str] = set()
    by = compiler()
    for folder in (b, c):
        fill(tmp_path / "store", folder, by, renewed=renewed)
        assert all(path.stat().st_size for path in bytecode(folder).values())
    assert sorted(by.asked) == sorted(FILES)


class Failing(Compiler):
    """Writes half of a file, and ends as a compiler does on a full disk."""

    def run(self, jobs: list[tuple[str, str, str]], folder: Path) -> list[str]:  # type: ignore[override]
        Path(jobs[0][2]).write_bytes(b"half")
        script = "import sys; sys.exit('OSError: [Errno 28] No space left on device')"
        return Compiler(shim(folder, script), self.processes, self.jobs).run(jobs, folder)


def shim(folder: Path, script: str) -> Path:
    file = folder / "shim"
    file.write_text(f'#!/bin/sh\nexec "{PYTHON}" -c "{script}"\n')
    file.chmod(0o755)
    return file


def test_a_failure_leaves_nothing_half_in_the_store(tmp_path: Path) -> None:
    a = packages(tmp_path / "a")
    with pytest.raises(BuildError, match="The disk is full"):
        fill(tmp_path / "store", a, Failing(PYTHON, Processes(), 1))
    assert not list((tmp_path / "store").rglob("*.pyc"))
    assert not list((tmp_path / "store").rglob(".new-*"))
    assert fill(tmp_path / "store", a).linked == 3


def test_what_a_killed_build_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "store/bytecode" / TAG / ".new-left"
    left.mkdir(parents=True)
    (left / "half.pyc").touch()
    fill(tmp_path / "store", packages(tmp_path / "a"))
    assert not left.exists()


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"ENVMAN_CACHE_DIR": "/x/y", "XDG_CACHE_HOME": "/z"}, "/x/y"),
        ({"XDG_CACHE_HOME": "/z"}, "/z/envman"),
        ({}, "~/.cache/envman"),
    ],
)
def test_where_the_store_is(variables: dict[str, str], folder: str) -> None:
    assert cache_folder(variables) == Path(folder).expanduser()
