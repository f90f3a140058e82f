"""The root folder after a command that was cut off."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from envman.release.document import GENERATION
from envman.store import folder, layout
from envman.store.folder import Store
from envman.store.switches import Action
from envman.system.actor import Actor
from envman.usecases.rollback import rollback_target


def published(root: Path, *generations: str) -> Store:
    store = Store(str(root))
    for generation in generations:
        manifest = Path(layout.manifest_path(store.root, generation))
        manifest.parent.mkdir(parents=True)
        manifest.write_text("{}", encoding="utf-8")
        store.publish("env_a", generation, Action.BUILD, Actor())
    return store


@pytest.mark.parametrize("cut", [OSError(errno.ENOSPC, "No space left on device"), SystemExit()], ids=repr)
def test_a_rollback_that_was_cut_off_before_its_switch_can_be_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: BaseException
) -> None:
    store = published(tmp_path, "first", "second")

    def cut_off(*_: object) -> None:
        raise cut

    with monkeypatch.context() as patch:
        patch.setattr(folder, "switch_link", cut_off)
        with pytest.raises(type(cut)):
            store.publish("env_a", "first", Action.ROLLBACK, Actor())
    assert store.current("env_a") == "second"
    assert [switch.generation for switch in store.history("env_a")] == ["first", "second"]
    assert rollback_target(store, "env_a", None) == "first"
    assert store.publish("env_a", "first", Action.ROLLBACK, Actor())
    assert [switch.action.value for switch in store.history("env_a")] == ["build", "build", "rollback"]


def test_what_was_cut_off_before_it_took_its_place_is_removed(tmp_path: Path) -> None:
    store = published(tmp_path, "first")
    strays = [
        tmp_path / name for name in (".env_a.7.new", ".state/.env_a.history.x.new", ".state/.table.x.new")
    ]
    for stray in strays:
        stray.touch()
    store.remove_leftovers()
    assert [stray for stray in strays if stray.exists()] == []
    assert store.current("env_a") == "first"


def test_git_sees_nothing_of_a_new_root_and_a_folder_that_was_there_is_left_as_it_is(tmp_path: Path) -> None:
    with Store(f"{tmp_path}/project/.venvs").locked():
        pass
    assert (tmp_path / "project/.venvs/.gitignore").read_text() == "*\n"
    (tmp_path / "given").mkdir()
    with Store(f"{tmp_path}/given").locked():
        pass
    assert [path.name for path in (tmp_path / "given").iterdir()] == [".lock"]


def test_the_names_of_what_is_rebuilt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A root that has nothing of the name gives one that no host has of an earlier build."""
    store, name = Store(str(tmp_path)), "0123456789ab"
    assert store.name_for(name, rebuild=False) == name
    monkeypatch.setattr("envman.store.folder.time.time", lambda: 1_795_843_200.0)
    assert store.name_for(name, rebuild=True) == f"{name}-498845"
    assert GENERATION.fullmatch(store.name_for(name, rebuild=True))
    published(tmp_path, name, "ba9876543210-7")
    assert store.name_for(name, rebuild=True) == f"{name}-2"
    published(tmp_path, f"{name}-498845")
    assert store.name_for(name, rebuild=False) == f"{name}-498845"
    assert store.name_for(name, rebuild=True) == f"{name}-498846"
