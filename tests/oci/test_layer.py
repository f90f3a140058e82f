from __future__ import annotations

import gzip
import hashlib
import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from envman.errors import ImageError
from envman.image.entries import Entry, Kind, folder, in_order, written
from envman.oci.layer import BLOCK, Compression, Written, entries_below, write_layer
from envman.system.digests import Digests

EPOCH = 1_700_000_000


def layer(
    entries: list[Entry], jobs: int = 2, compression: Compression = Compression.GZIP
) -> tuple[bytes, Written]:
    stream = io.BytesIO()
    told = write_layer(list(in_order(entries)), stream, EPOCH, compression, jobs)
    return stream.getvalue(), told


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "bin").mkdir(parents=True)
    (root / "bin/run").write_bytes(b"#!/bin/sh\n")
    (root / "bin/run").chmod(0o4755)
    os.link(root / "bin/run", root / "bin/again")
    (root / "spool").mkdir()
    (root / "spool").chmod(0o1777)
    (root / "big").write_bytes(os.urandom(BLOCK + 5))
    (root / ("long" * 40)).write_text("a name that the old format has no room for")
    (root / "ümlaut").symlink_to("big")
    return root


def test_the_bytes_depend_on_what_stands_in_it_alone(tree: Path, tmp_path: Path) -> None:
    """Not on times, on links between the files here, nor on how many threads compress."""
    other = tmp_path / "other"
    subprocess.run(["cp", "-r", "--preserve=mode", tree, other], check=True)
    os.utime(other / "big", (1, 1))
    (other / "spool").chmod(0o1777)
    blobs = {
        layer(list(entries_below(folder, "venv", Digests(), lambda _: False)), jobs)[0]
        for folder in (tree, other)
        for jobs in (1, 2, 5)
    }
    assert len(blobs) == 1


def test_it_is_what_others_read(tree: Path, tmp_path: Path) -> None:
    blob, told = layer(list(entries_below(tree, "venv", Digests(), lambda _: False)))
    archive = gzip.decompress(blob)
    assert told.digest == f"sha256:{hashlib.sha256(blob).hexdigest()}"
    assert told.diff_id == f"sha256:{hashlib.sha256(archive).hexdigest()}"
    assert told.size == len(blob)
    (tmp_path / "layer.tar.gz").write_bytes(blob)
    subprocess.run(["tar", "-xpf", "layer.tar.gz", "--no-same-owner"], cwd=tmp_path, check=True)
    found = tmp_path / "venv"
    assert (found / "big").read_bytes() == (tree / "big").read_bytes()
    assert (found / "bin/run").stat().st_ino == (found / "bin/again").stat().st_ino
    assert (found / "bin/run").stat().st_mode & 0o7777 == 0o4755
    assert (found / "spool").stat().st_mode & 0o7777 == 0o1755
    assert (found / "ümlaut").readlink() == Path("big")
    assert (found / "big").stat().st_mtime == EPOCH
    assert (found / ("long" * 40)).is_file()


def test_a_layer_has_the_digest_that_it_had_yesterday() -> None:
    """Where this fails, a library writes other bytes: images of the same content get other digests."""
    entries = [folder("venv"), written("venv/a", b"envman " * 100_000), written("venv/b", b"", 0o755)]
    _, told = layer([*entries, folder("opt/airflow", user=50000, mode=0o775)])
    assert told.diff_id == DIFF_ID
    assert told.digest == GZIP_DIGEST


DIFF_ID = "sha256:75f37537a0717584cfe7d00e3d2f6cd1c1e4395b205317566b7ca6b0c8e7547b"
GZIP_DIGEST = "sha256:250234b3c7cac07075ca594a3f5b5068820279d688957dd7fd9ae2ce6b903a4a"


def test_nothing_is_left_out_or_counted_twice(tree: Path) -> None:
    blob, _ = layer(list(entries_below(tree, "venv", Digests(), lambda path: path in {"big", "spool"})))
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(blob))) as archive:
        names = archive.getnames()
        assert {(one.uid, one.gid, one.uname, one.gname) for one in archive} == {(0, 0, "", "")}
    assert names == [
        "venv",
        "venv/bin",
        "venv/bin/again",
        "venv/bin/run",
        f"venv/{'long' * 40}",
        "venv/ümlaut",
    ]


def test_sockets_and_pipes_are_left_out(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert [one.kind for one in entries_below(tmp_path, "venv", Digests(), lambda _: False)] == [Kind.FOLDER]


def test_a_file_that_shrinks_meanwhile_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    entries = list(entries_below(tmp_path, "venv", Digests(), lambda _: False))
    (tmp_path / "file").write_bytes(b"1")
    with pytest.raises(OSError, match="unexpected end of data"):
        layer(entries)


def test_zstd_is_there_on_demand() -> None:
    import zstandard

    blob, told = layer([written("a", b"x" * BLOCK * 3)], compression=Compression.ZSTD)
    archive = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(blob), read_across_frames=True).read()
    assert told.diff_id == f"sha256:{hashlib.sha256(archive).hexdigest()}"
    assert Compression.ZSTD.media_type.endswith("+zstd")


def test_a_missing_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "deflate", None)
    with pytest.raises(ImageError, match="the library deflate"):
        layer([])
