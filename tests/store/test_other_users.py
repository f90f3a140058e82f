"""A root folder of root's, and a team's own user that locks whatever it may open."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from envman.launch.process import hold_generation
from envman.store import layout
from envman.store.folder import Store
from envman.store.locks import try_emptied, why_held
from envman.store.switches import Action
from envman.system.actor import Actor
from envman.usecases.gc import collect
from tests.store import test_locks
from tests.stranger import WAYS, stranger

store = test_locks.store
NOBODY = 65534


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder that everybody may look into, as pytest's own are not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_another_user_opens_no_lock_of_builders(store: Store) -> None:
    for way in WAYS:
        with stranger(way, layout.lock_path(store.root, "store"), user=NOBODY) as (said, _):
            assert said == "EACCES"
            assert store.publish("env_a", "first", Action.ROLLBACK, Actor())
            assert store.publish("env_a", "second", Action.BUILD, Actor())


@pytest.mark.parametrize("inherited", [False, True])
def test_another_user_keeps_nobody_from_starting(store: Store, inherited: bool) -> None:
    """Neither by a descriptor of its own, nor by that of the hold, which workloads inherit."""
    said = {}
    file = layout.manifest_path(store.root, "second")
    for way in WAYS:
        with (
            test_locks.lived_in(store) as held,
            stranger(way, file, held if inherited else None, NOBODY) as (word, _),
            test_locks.lived_in(store),
        ):
            said[way] = word
    assert said == test_locks.PERMITTED | {"reopened": "EACCES"}


def test_another_users_hold_is_seen_and_named_and_ends_with_it(store: Store) -> None:
    manifest = Path(layout.manifest_path(store.root, "first"))
    with stranger("OFD shared", str(manifest), user=NOBODY) as (_, pid):
        reasons = test_locks.kept(collect(store, 0, dry_run=False))
        assert reasons["first"].startswith(f"process {pid} (nobody: ")
        with try_emptied(manifest) as empty:
            assert not empty
    assert why_held(manifest) == ""


def test_a_hold_is_there_as_long_as_a_child_of_another_user_has_it(store: Store) -> None:
    """It outlives whoever took it, by every process that has the descriptor."""
    manifest = Path(layout.manifest_path(store.root, "second"))
    generation, held = hold_generation(test_locks.snapshot(store), "env_a")
    assert generation == "second"
    with stranger("reopened", str(manifest), held, NOBODY):
        os.close(held)
        assert why_held(manifest)
    assert why_held(manifest) == ""


def as_nobody(ask: Callable[[], object]) -> object:
    """What a call gives in a fork that is another user's."""
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os.write(writing, json.dumps(ask()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        said = answer.read()
    os.waitpid(pid, 0)
    return json.loads(said)


def test_another_user_may_still_look_what_gc_would_do(store: Store) -> None:
    def look() -> dict[str, str]:
        return test_locks.kept(collect(store, 0, dry_run=True))

    with store.locked("second"):
        pass
    assert as_nobody(look) == {"second": "current of env_a"}
    with store.locked("first"):
        assert as_nobody(look) == {"first": "being built", "second": "current of env_a"}
