from __future__ import annotations

import os
from pathlib import Path

import pytest

from envman.errors import ImageError
from envman.image.entries import in_order, written
from envman.image.oci_values import CONFIG, MANIFEST, Descriptor, digest_of
from envman.oci.image_layout import Layout
from envman.oci.layer import Compression
from envman.oci.layers import LayerStore


def store(folder: Path, epoch: int = 0) -> LayerStore:
    return LayerStore(Layout(folder), epoch, Compression.GZIP, 1)


def test_a_blob_is_read_as_it_was_written(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    blob = layout.put(CONFIG, b"{}")
    assert blob == Descriptor(CONFIG, digest_of(b"{}"), 2)
    assert layout.read(blob.digest) == b"{}"
    assert layout.has(blob)


def test_what_is_altered_or_missing_is_told(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    blob = layout.put(CONFIG, b"{}")
    layout.path(blob.digest).write_bytes(b"[]")
    with pytest.raises(ImageError, match="is altered"):
        layout.read(blob.digest)
    layout.path(blob.digest).unlink()
    with pytest.raises(ImageError, match="has no blob"):
        layout.read(blob.digest)
    assert not layout.has(blob)


def test_a_name_points_to_one_image_and_may_move(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    first, second = (layout.put(MANIFEST, text) for text in (b"1", b"2"))
    layout.name("team/a:1", first)
    layout.name("team/b:1", first)
    layout.name("team/a:1", second)
    assert {name: one.digest for name, one in layout.names().items()} == {
        "team/a:1": second.digest,
        "team/b:1": first.digest,
    }


def test_a_damaged_index_is_told(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    (tmp_path / "index.json").write_text("{")
    with pytest.raises(ImageError, match="is no index"):
        layout.names()


def test_a_blob_that_is_not_kept_leaves_nothing(tmp_path: Path) -> None:
    layout = Layout(tmp_path)

    def break_off() -> None:
        with layout.new_blob() as stream:
            stream.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    assert not list((tmp_path / "blobs").glob(".new-*"))


def test_what_a_killed_run_left_goes_after_a_day(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    old, young = (tmp_path / "blobs" / name for name in (".new-old", ".new-young"))
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    layout.put(CONFIG, b"{}")
    assert (old.exists(), young.exists()) == (False, True)


def test_a_blob_is_taken_from_another_layout_by_a_link(tmp_path: Path) -> None:
    one, other = Layout(tmp_path / "1"), Layout(tmp_path / "2")
    blob = one.put(CONFIG, b"{}")
    other.take(blob, one)
    assert other.path(blob.digest).samefile(one.path(blob.digest))
    other.take(blob, one)


def test_a_copy_is_a_file_of_its_own_and_replaces_a_damaged_one(tmp_path: Path) -> None:
    """Of the right size, as a flipped bit leaves it."""
    one, other = Layout(tmp_path / "1"), Layout(tmp_path / "2")
    blob = one.put(CONFIG, b"{}")
    other.copy(blob, one)
    there = other.path(blob.digest)
    assert (there.read_bytes(), there.stat().st_nlink) == (b"{}", 1)
    there.write_bytes(b"[]")
    assert (other.has(blob), other.is_sound(blob)) == (True, False)
    assert one.is_sound(blob)
    other.copy(blob, one)
    assert other.is_sound(blob)
    number = there.stat().st_ino
    other.copy(blob, one)
    assert there.stat().st_ino == number


def test_a_damaged_layer_is_written_again(tmp_path: Path) -> None:
    entries = list(in_order([written("a", b"1")]))
    first, _ = store(tmp_path).layer(entries, "")
    path = Layout(tmp_path).path(first.blob.digest)
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    assert Layout(tmp_path).has(first.blob)
    again, reused = store(tmp_path).layer(entries, "")
    assert (again, reused) == (first, False)
    assert Layout(tmp_path).is_sound(first.blob)


@pytest.mark.parametrize(
    "changes", [{"size": True}, {"size": -1}, {"size": "2"}, {"size": 2**63}, {"annotations": {"x": ["y"]}}]
)
def test_a_descriptor_is_of_its_types(changes: dict[str, object]) -> None:
    data = Descriptor(CONFIG, digest_of(b"{}"), 2, {"x": "y"}).to_dict()
    assert Descriptor.from_dict(data).size == 2
    with pytest.raises((TypeError, ValueError)):
        Descriptor.from_dict({**data, **changes})


def test_a_layer_is_written_once(tmp_path: Path) -> None:
    entries = list(in_order([written("a", b"1")]))
    first, reused = store(tmp_path).layer(entries, "note")
    assert not reused
    again, reused = store(tmp_path).layer(entries, "note")
    assert (again, reused) == (first, True)
    other, reused = store(tmp_path, epoch=1).layer(entries, "note")
    assert other.diff_id != first.diff_id
    assert not reused


def test_a_layer_whose_blob_is_gone_or_cut_is_written_again(tmp_path: Path) -> None:
    entries = list(in_order([written("a", b"1")]))
    first, _ = store(tmp_path).layer(entries, "")
    path = Layout(tmp_path).path(first.blob.digest)
    path.write_bytes(path.read_bytes()[:-1])
    again, reused = store(tmp_path).layer(entries, "")
    assert (again, reused) == (first, False)
    assert Layout(tmp_path).has(first.blob)


def test_an_unfinished_blob_that_gets_its_name_meanwhile_is_no_error(tmp_path: Path) -> None:
    """Another build's: it is listed, and gone when it is looked at; as is a link to nowhere."""
    layout = Layout(tmp_path)
    (tmp_path / "blobs/.new-gone").symlink_to("nowhere")
    assert layout.put("text/plain", b"mine").size == 4
