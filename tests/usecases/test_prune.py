"""What of a cache goes: real layouts and folders, made old."""

from __future__ import annotations

import fcntl
import os
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path

import pytest

from envman.errors import ImageError
from envman.image.oci_values import CONFIG, INDEX, LAYER_GZIP, MANIFEST, Descriptor, ImageManifest
from envman.image.referrers import Document, index, referrer, referrers_tag
from envman.oci.image_layout import Layout
from envman.usecases.prune import What, prune

OLD = time.time() - 40 * 86400


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ENVMAN_CACHE_DIR", str(tmp_path))
    return tmp_path


def make_old(*paths: Path) -> None:
    for path in paths:
        os.utime(path, (OLD, OLD))


def add_image(layout: Layout, name: str, layers: list[bytes]) -> Descriptor:
    """An image with a document, both with names."""
    config = layout.put(CONFIG, name.encode())
    image = layout.put(
        MANIFEST, ImageManifest(config, tuple(layout.put(LAYER_GZIP, one) for one in layers)).to_json()
    )
    layout.name(name, image)
    document = Document("a.json", "application/json", f"about {name}".encode())
    layout.put(document.media_type, document.content)
    about = referrer(document, image, "2026-11-23T12:00:00Z")
    layout.put(MANIFEST, about.to_json())
    layout.name(referrers_tag(image.digest), layout.put(INDEX, index([about.described()])))
    return image


def blobs(layout: Layout) -> set[Path]:
    return set((layout.folder / "blobs/sha256").iterdir())


def test_an_old_image_goes_and_what_others_need_stays(cache: Path) -> None:
    layout = Layout(cache / "images")
    add_image(layout, "team/new:1", [b"shared", b"new"])
    kept = blobs(layout)
    add_image(layout, "team/old:1", [b"shared", b"old"])
    make_old(*blobs(layout))
    os.utime(layout.path(layout.names()["team/new:1"].digest))
    would = prune(30, dry_run=True)
    assert (would.unused[0].what, would.unused[0].name) == (What.IMAGE, "team/old:1")
    assert "team/old:1" in layout.names()
    assert prune(30, dry_run=False).unused == would.unused
    assert blobs(layout) == kept
    assert [name for name in layout.names() if not name.startswith("sha256-")] == ["team/new:1"]
    assert len(layout.names()) == 2
    assert prune(30, dry_run=False).unused == ()


def test_layers_of_releases_go_by_when_they_were_used(cache: Path) -> None:
    layout = Layout(cache / "releases")
    old, new = (layout.path(layout.put(LAYER_GZIP, one).digest) for one in (b"old", b"new"))
    left = layout.folder / ".push-killed"
    (left / "blobs").mkdir(parents=True)
    make_old(old, left)
    assert [(one.what, one.name) for one in prune(30, dry_run=True).unused] == [(What.LAYERS, "1 files")]
    assert left.is_dir()
    prune(30, dry_run=False)
    assert blobs(layout) == {new}
    assert not left.exists()


def test_what_is_new_stays_though_nothing_names_it(cache: Path) -> None:
    """A build that runs just now has not named its image yet."""
    layout = Layout(cache / "images")
    layout.put(LAYER_GZIP, b"being built")
    assert prune(1, dry_run=False).unused == ()
    assert len(blobs(layout)) == 1


@pytest.mark.parametrize(
    ("folder", "what"),
    [
        ("bases", What.BASE),
        ("roots", What.ENVIRONMENTS),
        ("virtualenv", What.VIRTUALENV),
        ("sources", What.SOURCE),
        ("wheels", What.WHEEL),
        ("metadata", What.METADATA),
    ],
)
def test_folders_go_by_when_they_were_used(cache: Path, folder: str, what: What) -> None:
    for name in ("old", "new"):
        (cache / folder / name / "in").mkdir(parents=True)
        (cache / folder / name / "in/file").write_bytes(b"12345")
    make_old(cache / folder / "old")
    (unused,) = prune(30, dry_run=True).unused
    assert (unused.what, unused.name, unused.size, unused.days) == (what, "old", 5, 40)
    prune(30, dry_run=False)
    assert [path.name for path in (cache / folder).iterdir()] == ["new"]


def test_one_that_was_half_removed_goes(cache: Path) -> None:
    left = cache / "bases/.gone-abc"
    left.mkdir(parents=True)
    make_old(left)
    assert [one.name for one in prune(30, dry_run=False).unused] == ["abc"]
    assert not left.exists()


def test_bytecode_that_stands_in_an_environment_stays(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = cache / "bytecode/cpython-3.12.1/ab"
    store.mkdir(parents=True)
    for name in ("used", "unused"):
        (store / f"{name}.pyc").write_bytes(b"123")
    (tmp_path / "linked.pyc").hardlink_to(store / "used.pyc")
    assert prune(30, dry_run=False).unused == ()  # neither has been there for long
    later = time.time() + 31 * 86400
    monkeypatch.setattr(time, "time", lambda: later)
    (unused,) = prune(30, dry_run=False).unused
    assert (unused.what, unused.name, unused.size) == (What.BYTECODE, "1 files", 3)
    assert [path.name for path in store.iterdir()] == ["used.pyc"]


def test_two_at_once_take_turns(cache: Path) -> None:
    layout = Layout(cache / "images")
    layout.put(LAYER_GZIP, b"old")
    make_old(*blobs(layout))
    first = os.open(cache, os.O_RDONLY)
    fcntl.flock(first, fcntl.LOCK_EX)
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(prune, 30, dry_run=False)
        with pytest.raises(FutureTimeout):
            second.result(0.3)
        os.close(first)
        assert [one.what for one in second.result(30).unused] == [What.LAYERS]


def test_there_may_be_no_cache_yet(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVMAN_CACHE_DIR", str(cache / "none"))
    assert prune(30, dry_run=False).unused == ()


def test_an_empty_cache_has_nothing(cache: Path) -> None:
    assert prune(30, dry_run=False).unused == ()
    assert list(cache.iterdir()) == []


def test_what_cant_be_removed_is_told(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cache / "roots/old").mkdir(parents=True)
    make_old(cache / "roots/old")

    def refuse(self: Path, _target: Path) -> Path:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(ImageError, match="roots/old: can't be pruned: Permission denied"):
        prune(30, dry_run=False)
