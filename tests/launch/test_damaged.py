"""What a launch says of a table that it can't read: a sentence with a remedy, and nothing is started."""

from __future__ import annotations

import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from envman.errors import ExitCode
from envman.resolver.table import FORMAT
from envman.store import layout
from envman.store.folder import Store
from envman.store.switches import Action
from envman.system.actor import Actor

DAMAGED = {
    "an unknown kind": b"environment\tenv_a\t\nsandbox\tenv_a\tseccomp\n",
    "no variable": b"environment\tenv_a\t+A\n",
    "a variable that execve refuses": b"environment\tenv_a\t+A=\0\n",
    "no name of a variable": b"environment\tenv_a\t+=x\n",
    "no UTF-8": b"environment\tenv_a\t+A=\xff\n",
    "no end": b"environment\tenv_a\t",
    "another order": b"limits\tenv_a\tpids=9\nenvironment\tenv_a\t\n",
    "two of a name": b"environment\tenv_a\t\nenvironment\tenv_a\t-HOME\n",
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "venv"))
    manifest = Path(layout.manifest_path(store.root, "first"))
    manifest.parent.mkdir(parents=True)
    manifest.write_text("{}", encoding="utf-8")
    store.publish("env_a", "first", Action.BUILD, Actor())
    return store


@pytest.mark.parametrize("records", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_table_is_a_sentence_and_starts_nothing(store: Store, records: bytes) -> None:
    path = Path(layout.table_path(store.root))
    path.write_bytes(f"{FORMAT} {zlib.crc32(records):08x}\n".encode() + records)
    words = ["exec", "--root", store.root, "--environment", "env_a", "--", "/bin/echo", "started"]
    finished = subprocess.run(
        [sys.executable, "-m", "envman", *words], capture_output=True, text=True, check=False, timeout=60
    )
    assert (finished.returncode, finished.stdout) == (ExitCode.LAUNCH, "")
    first, remedy = finished.stderr.splitlines()
    assert first.startswith(f"envman exec: {path}: the published table can't be read: ")
    assert "envman publish" in remedy


@pytest.mark.parametrize("records", DAMAGED.values(), ids=DAMAGED)
def test_every_command_has_the_code_of_the_root_folder_for_it(store: Store, records: bytes) -> None:
    path = Path(layout.table_path(store.root))
    path.write_bytes(f"{FORMAT} {zlib.crc32(records):08x}\n".encode() + records)
    words = ["resolve", "--root", store.root, "--environment", "env_a"]
    finished = subprocess.run(
        [sys.executable, "-m", "envman", *words], capture_output=True, text=True, check=False, timeout=60
    )
    assert finished.returncode == ExitCode.STORE, finished.stderr
    assert f"error: {path}: the published table can't be read: " in finished.stderr
    assert "Traceback" not in finished.stderr
