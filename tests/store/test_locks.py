"""Locks that somebody else takes: whoever may only read a file stops nobody, and who stops one is named."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from envman.errors import StoreError
from envman.launch import process
from envman.launch.process import hold_generation
from envman.resolver.snapshot import AirflowBundles, Snapshot
from envman.resolver.table import render_table
from envman.store import layout, locks
from envman.store.folder import Store
from envman.store.locks import locked, try_emptied, why_held
from envman.store.root import take_snapshot
from envman.store.switches import Action
from envman.system import lock_holders as lock_holders_module
from envman.system.actor import Actor
from envman.system.lock_holders import UNSEEN, LocksInSight, describe, holder_text, lock_holders
from envman.usecases.gc import GcOutcome, collect
from tests import no_locks
from tests.store.test_manifest import MANIFEST
from tests.stranger import WAYS, stranger

PERMITTED = {
    "flock exclusive": "done",  # nobody asks for that one
    "flock shared": "done",
    "OFD exclusive": "EBADF",
    "OFD shared": "done",
    "POSIX exclusive": "EBADF",
    "POSIX shared": "done",
}
"""What comes of each way to lock a file that is open for reading."""

LIVES = [way for way, said in PERMITTED.items() if "shared" in way and "flock" not in way]
"""What says that somebody lives in a generation."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two generations, of which the first one is current no more; nobody lives in either."""
    store = Store(str(tmp_path / "venv"))
    for generation in ("first", "second"):
        manifest = Path(layout.manifest_path(store.root, generation))
        manifest.parent.mkdir(parents=True)
        manifest.write_text(replace(MANIFEST, generation=generation).to_json(), encoding="utf-8")
        store.publish("env_a", generation, Action.BUILD, Actor())
    store.publish_table(render_table({}, {}, {"env_a": ((), {})}, None))
    return store


def manifest_of(store: Store, generation: str) -> str:
    return layout.manifest_path(store.root, generation)


def snapshot(store: Store) -> Snapshot:
    return take_snapshot(store.root, lambda: AirflowBundles("nowhere", {}))


@contextlib.contextmanager
def lived_in(store: Store) -> Iterator[int]:
    generation, descriptor = hold_generation(snapshot(store), "env_a")
    assert generation == "second"
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def kept(outcome: GcOutcome) -> dict[str, str]:
    return {item.generation: "; ".join(item.reasons) for item in outcome.kept}


def envman(store: Store, *words: str) -> list[str]:
    return [sys.executable, "-m", "envman", *words, "--root", store.root]


def launching(store: Store, *words: str) -> list[str]:
    return [*envman(store, "exec"), "--environment", "env_a", "--", *words]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)


# whoever may only read a manifest


@pytest.mark.parametrize("way", PERMITTED)
def test_who_may_only_read_a_manifest_keeps_nobody_from_starting(store: Store, way: str) -> None:
    with stranger(way, manifest_of(store, "second")) as (said, _):
        assert said == PERMITTED[way]
        finished = run(*launching(store, "/bin/echo", "up"))
        assert (finished.returncode, finished.stdout, finished.stderr) == (0, "up\n", "")


@pytest.mark.parametrize("way", PERMITTED)
def test_a_child_that_inherited_the_hold_keeps_nobody_from_starting(store: Store, way: str) -> None:
    """It has the descriptor of the lock itself, not one of its own."""
    with lived_in(store) as held:
        file = manifest_of(store, "second")
        with stranger(way, file, held) as (said, _):
            assert said == PERMITTED[way]
            with lived_in(store):
                assert why_held(Path(file))


@pytest.mark.parametrize("way", PERMITTED)
def test_who_may_only_read_a_manifest_keeps_it_from_collection_at_most_and_is_named(
    store: Store, way: str
) -> None:
    with stranger(way, manifest_of(store, "first")) as (_, pid):
        would = kept(collect(store, 0, dry_run=True))
        outcome = kept(collect(store, 0, dry_run=False))
    assert would == outcome
    assert ("first" in outcome) == (way in LIVES)
    if way in LIVES:
        assert f"process {pid} (" in outcome["first"]
        assert f": {sys.executable[:40]}" in outcome["first"]
        assert kept(collect(store, 0, dry_run=False)) == {"second": "current of env_a"}


def test_every_way_is_tried() -> None:
    assert {*PERMITTED, "reopened"} == set(WAYS)


# what gc does by the same lock


def test_a_hold_keeps_the_collector_out_and_the_collector_keeps_holds_out(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = Path(manifest_of(store, "second"))
    with lived_in(store), try_emptied(manifest) as empty:
        assert not empty
    with try_emptied(manifest) as empty:
        assert empty
        monkeypatch.setattr(process, "PATIENCE", 0.0)
        with pytest.raises(StoreError) as caught:
            hold_generation(snapshot(store), "env_a")
    (problem,) = caught.value.problems
    assert problem.where == "environment 'env_a'"
    assert f"by process {os.getpid()} (" in problem.what
    assert "gc" in problem.remedy
    with lived_in(store):
        pass


def test_a_start_goes_on_once_the_collector_has_gone(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.ExitStack() as collector:
        assert collector.enter_context(try_emptied(Path(manifest_of(store, "second"))))
        looked = process.current_generation

        def gone(root: str, environment: str) -> str:
            collector.close()
            return looked(root, environment)

        monkeypatch.setattr(process, "current_generation", gone)
        with lived_in(store) as held:
            assert held


def test_a_start_goes_to_the_generation_that_is_current_by_then(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(store)
    assert before.generation("env_a") == "second"
    store.publish("env_a", "first", Action.ROLLBACK, Actor())
    store.discard("second")
    generation, held = hold_generation(before, "env_a")
    os.close(held)
    assert generation == "first"


def test_a_manifest_that_cant_be_opened_is_a_sentence(store: Store) -> None:
    manifest = Path(manifest_of(store, "second"))
    manifest.unlink()
    manifest.symlink_to(manifest)
    finished = run(*launching(store, "/bin/echo"))
    assert finished.returncode == 125
    assert finished.stderr.startswith(f"envman exec: {manifest}: can't be opened: Too many levels")
    assert "Traceback" not in finished.stderr


# builders' locks


@pytest.mark.parametrize("before", [None, 0o644, 0o666])
def test_builders_locks_are_closed_to_everybody_else(store: Store, before: int | None) -> None:
    file = Path(layout.lock_path(store.root, "another"))
    if before is not None:
        file.touch()
        file.chmod(before)
    mask = os.umask(0)
    try:
        with store.locked("another"), store.locked():
            modes = {path.name: path.stat().st_mode & 0o777 for path in file.parent.iterdir()}
    finally:
        os.umask(mask)
    assert modes == {"store": 0o600, "another": 0o600}


def test_a_link_in_the_place_of_a_lock_is_not_followed(store: Store, tmp_path: Path) -> None:
    Path(layout.lock_path(store.root, "another")).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"), store.locked("another"):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_who_holds_a_lock_for_too_long_is_named(store: Store) -> None:
    path = layout.lock_path(store.root, "store")
    with stranger("flock exclusive", path) as (said, pid):
        assert said == "done"
        waited: list[bool] = []
        with pytest.raises(StoreError) as caught, locked(path, lambda: waited.append(True), 0.05):
            pass
    (problem,) = caught.value.problems
    assert (problem.where, waited) == (path, [True])
    assert problem.what.startswith("has been locked for 0 s by process ")
    assert f"process {pid} (" in problem.what
    assert f": {sys.executable[:40]}" in problem.what  # a long command line is cut
    with locked(path):
        pass


def test_what_a_process_calls_itself_is_shown_as_plain_text(store: Store) -> None:
    path = layout.lock_path(store.root, "store")
    odd = "\x1b[2J\nprocess 1 (root: systemd)" * 100
    with Path(path).open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        words = ["/bin/sh", "-c", "echo up; read line", odd]
        pipe = subprocess.PIPE
        with subprocess.Popen(words, stdin=pipe, stdout=pipe, pass_fds=[file.fileno()], text=True) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "up\n"
            assert lock_holders(path) == sorted([os.getpid(), child.pid])
            text = describe(child.pid)
            child.kill()
    assert text.startswith(f"process {child.pid} (")
    assert text.isprintable()
    assert len(text) < 200


def test_one_look_at_the_processes_tells_of_all_generations(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two hundred environments that work hold two hundred generations; a look takes a tenth of a second."""
    names = [f"held-{number}" for number in range(20)]
    held = []
    for name in names:
        manifest = Path(manifest_of(store, name))
        manifest.parent.mkdir(parents=True)
        manifest.write_text(replace(MANIFEST, generation=name).to_json(), encoding="utf-8")
        held.append(os.open(manifest, os.O_RDONLY))
        fcntl.fcntl(held[-1], fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, 0, 0, 0))
    looks = []
    processes = lock_holders_module._processes
    monkeypatch.setattr(lock_holders_module, "_processes", lambda: looks.append(1) or processes())
    try:
        outcome = collect(store, keep=1, dry_run=True)
    finally:
        for one in held:
            os.close(one)
    kept = {one.generation: one.reasons for one in outcome.kept}
    assert {*kept} == {*names, "second"}
    for name in names:
        assert [f"process {os.getpid()} (" in reason for reason in kept[name]] == [True]
    assert len(looks) == 1


def test_a_lock_of_one_file_is_none_of_another(store: Store) -> None:
    seen = LocksInSight()
    with Path(manifest_of(store, "first")).open() as file:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, 0, 0, 0))
        assert seen.holders(manifest_of(store, "first")) == [os.getpid()]
        assert seen.holders(manifest_of(store, "second")) == []
        assert seen.holders(file.fileno()) == [os.getpid()]
    assert LocksInSight().holders(manifest_of(store, "first")) == []


def test_a_holder_that_has_gone_is_nobody(store: Store) -> None:
    with stranger("flock exclusive", layout.lock_path(store.root, "store")):
        pass
    assert holder_text(layout.lock_path(store.root, "store")) == UNSEEN


# a file system without locks


@pytest.mark.parametrize("error", ["ENOLCK", "EOPNOTSUPP", "ENOSYS", "EINVAL"])
def test_where_there_are_no_locks_a_launch_goes_on_and_gc_removes_nothing(store: Store, error: str) -> None:
    assert {error} <= {name for name in no_locks.ERRORS if getattr(no_locks.errno, name) in locks.NO_LOCKS}
    finished = run(*no_locks.command(error, *launching(store, "/bin/echo", "up")))
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "up\n", "")
    finished = run(*no_locks.command(error, *envman(store, "gc"), "--keep", "0", "--dry-run"))
    assert finished.returncode == 0, finished.stderr
    assert "its file system has no locks" in finished.stdout
    assert "0 would go" in finished.stdout
    finished = run(*no_locks.command(error, *envman(store, "gc"), "--keep", "0"))
    assert finished.returncode == 8
    assert f"{store.root}/.lock/store: can't be locked" in finished.stderr
    assert "Traceback" not in finished.stderr
    assert store.generations() == ["first", "second"]


def test_where_only_manifests_have_no_locks_gc_keeps_all(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where builders have locks, and the kernel has none of open file descriptions."""
    real = fcntl.fcntl

    def refuses(descriptor: int, command: int, argument: bytes | int = 0) -> bytes | int:
        if command in {fcntl.F_OFD_SETLK, fcntl.F_OFD_GETLK}:
            raise OSError(22, "Invalid argument")
        return real(descriptor, command, argument)

    monkeypatch.setattr(locks.fcntl, "fcntl", refuses)
    assert set(kept(collect(store, 0, dry_run=False))) == {"first", "second"}
