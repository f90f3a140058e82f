"""Archives of layers: what envman writes is read, and of everything else nothing is believed."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from envman.image.oci_values import LAYER_GZIP, Descriptor
from envman.oci.layer import BLOCK as WRITTEN_BLOCK
from envman.release.layer_archive import (
    BLOCK,
    SMALLEST_MEMBER,
    ArchiveReader,
    Gunzip,
    UnfitLayerError,
    unpacked_blob,
)
from envman.release.layer_record import LayerFile
from envman.release.unpacking import Expected, Unpacking

PYTHON = "/usr/bin/python3"
LONG = f"lib/{'deep/' * 40}é.py"


def member(name: str, kind: bytes = tarfile.REGTYPE, mode: int = 0o644, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.linkname = kind, mode, target
    return info


def archive(*members: tarfile.TarInfo, content: bytes = b"content") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as opened:
        for one in members:
            if one.isreg():
                one.size = len(content)
            opened.addfile(one, io.BytesIO(content))
    return stream.getvalue()


def described(blob: bytes) -> Descriptor:
    return Descriptor(LAYER_GZIP, f"sha256:{hashlib.sha256(blob).hexdigest()}", len(blob))


def unpacked(folder: Path, *blobs: bytes, most: int = 10_000_000) -> list[LayerFile]:
    folder.mkdir()
    unpacking = Unpacking(folder, Expected(100, most, PYTHON))
    found = [file for blob in blobs for file in unpacking.layer(io.BytesIO(blob), described(blob))]
    unpacking.finish()
    return found


GOOD = (
    member("bin/python", tarfile.SYMTYPE, 0o777, PYTHON),
    member("bin/python3", tarfile.SYMTYPE, 0o777, "python"),
    member("lib64", tarfile.SYMTYPE, 0o777, "lib"),
    member("include", tarfile.DIRTYPE, 0o755),
    member(LONG, mode=0o755),
    member("lib/a.py"),
)


def test_what_envman_writes_is_unpacked(tmp_path: Path) -> None:
    files = unpacked(tmp_path / "g", gzip.compress(archive(*GOOD)))
    assert {one.path: one.mode for one in files} == {
        "bin/python": "120777",
        "bin/python3": "120777",
        "lib64": "120777",
        "include": "40755",
        LONG: "100755",
        "lib/a.py": "100644",
    }
    assert (tmp_path / "g" / LONG).read_bytes() == b"content"
    assert (tmp_path / "g/lib/a.py").stat().st_mode & 0o7777 == 0o644
    assert (tmp_path / "g/bin/python").readlink() == Path(PYTHON)
    assert (
        next(one for one in files if one.path == "lib/a.py").digest == hashlib.sha256(b"content").hexdigest()
    )


def test_members_of_gzip_stand_one_after_the_other() -> None:
    blob = b"".join(gzip.compress(bytes([number]) * 300_000, mtime=0) for number in range(5))
    content = unpacked_blob(io.BytesIO(blob), described(blob).digest, len(blob), 2_000_000)
    assert content == b"".join(bytes([number]) * 300_000 for number in range(5))


@pytest.mark.parametrize("content", [b"", b"x", bytes(SMALLEST_MEMBER - 1)])
def test_what_is_started_anew_all_the_time_is_refused(content: bytes) -> None:
    """4 MB of members that hold nothing take 4 s; what holds little, as long for each byte."""
    opened = Gunzip(io.BytesIO(gzip.compress(content) * 200_000), 10**12)
    with pytest.raises(UnfitLayerError, match="members of less than"):
        list(iter(lambda: opened.read(BLOCK), b""))
    assert opened.size <= BLOCK


def test_the_members_that_envman_writes_are_large_enough() -> None:
    assert SMALLEST_MEMBER <= WRITTEN_BLOCK


REFUSED: dict[str, tuple[tarfile.TarInfo, ...]] = {
    "not below": (member("../a"),),
    "is not below the generation": (member("/etc/passwd"),),
    "'a//b'": (member("a//b"),),
    "'a/./b'": (member("a/./b"),),
    "below more than 128 folders": (member("/".join("a" * 1900)),),
    "type '1'": (member("a"), member("b", tarfile.LNKTYPE, target="a")),
    "type '3'": (member("a", tarfile.CHRTYPE),),
    "type '4'": (member("a", tarfile.BLKTYPE),),
    "type '6'": (member("a", tarfile.FIFOTYPE),),
    "the mode 4755": (member("a", mode=0o4755),),
    "the mode 2755": (member("a", mode=0o2755),),
    "the mode 666": (member("a", mode=0o666),),
    "the mode 777": (member("a", tarfile.DIRTYPE, mode=0o777),),
    "is there twice": (member("a"), member("a")),
    "'b' is there twice": (member("b/c"), member("b")),
    "is a file and a folder": (member("a"), member("a/b")),
    "is a link and a folder": (member("a", tarfile.SYMTYPE, target="lib"), member("a/b")),
    "'envman.json' is envman's own": (member("envman.json"),),
    "'envman.layers' is envman's own": (member("envman.layers"),),
    "to '/etc'": (member("a", tarfile.SYMTYPE, target="/etc"),),
    "to '..'": (member("a", tarfile.SYMTYPE, target=".."),),
    "to '../x'": (member("a", tarfile.SYMTYPE, target="../x"),),
    "to '../../x'": (member("b/a", tarfile.SYMTYPE, target="../../x"),),
    "to 'c/../../x'": (member("b/a", tarfile.SYMTYPE, target="c/../../x"),),
    "to '.'": (member("a", tarfile.SYMTYPE, target="."),),
    f"to '{PYTHON}'": (member("lib/x", tarfile.SYMTYPE, target=PYTHON),),
    "to '/usr/bin/env'": (member("bin/python", tarfile.SYMTYPE, target="/usr/bin/env"),),
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_no_generation_has_is_refused(said: str, tmp_path: Path) -> None:
    with pytest.raises(UnfitLayerError) as caught:
        unpacked(tmp_path / "g", gzip.compress(archive(*REFUSED[said])))
    assert said in str(caught.value)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["g"]


def test_a_layer_has_no_file_of_another_layer(tmp_path: Path) -> None:
    with pytest.raises(UnfitLayerError, match="is there twice"):
        unpacked(tmp_path / "g", gzip.compress(archive(member("a"))), gzip.compress(archive(member("a"))))


def test_a_bomb_ends_where_the_manifest_ends(tmp_path: Path) -> None:
    """10 GB of nothing in a file that says so, and in one that doesn't: neither is written, or held."""
    bomb = gzip.compress(archive(member("a"), content=bytes(50_000_000)))
    with pytest.raises(UnfitLayerError, match="larger, files than its manifest says"):
        unpacked(tmp_path / "a", bomb, most=1_000_000)
    behind = gzip.compress(archive(member("a")) + bytes(50_000_000))
    with pytest.raises(UnfitLayerError, match="unpacks to more"):
        unpacked(tmp_path / "b", behind, most=1_000_000)
    header = bytearray(archive(member(LONG)))
    size = b"%011o\0" % (2**30)
    header[124:136] = size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:512])
    with pytest.raises(UnfitLayerError, match="extended header"):
        unpacked(tmp_path / "c", gzip.compress(bytes(header) + bytes(50_000_000)))


def cut(blob: bytes) -> bytes:
    return blob[: len(blob) // 2]


def appended(blob: bytes) -> bytes:
    return blob + b"more"


def doubled(blob: bytes) -> bytes:
    return gzip.compress(gzip.decompress(blob) * 2)


@pytest.mark.parametrize("change", [cut, appended, doubled])
def test_nothing_is_missing_or_left_over(change: Callable[[bytes], bytes], tmp_path: Path) -> None:
    with pytest.raises(UnfitLayerError):
        unpacked(tmp_path / "g", change(gzip.compress(archive(*GOOD))))


def test_a_blob_that_is_not_what_its_digest_says(tmp_path: Path) -> None:
    (tmp_path / "g").mkdir()
    blob = gzip.compress(archive(*GOOD))
    wrong = (
        Descriptor(LAYER_GZIP, f"sha256:{'0' * 64}", len(blob)),
        Descriptor(LAYER_GZIP, described(blob).digest, len(blob) + 1),
    )
    for number, one in enumerate(wrong):
        (tmp_path / str(number)).mkdir()
        with pytest.raises(UnfitLayerError, match="digest"):
            Unpacking(tmp_path / str(number), Expected(100, 10**6, PYTHON)).layer(io.BytesIO(blob), one)


def test_mutated_archives_are_unpacked_or_refused(tmp_path: Path) -> None:
    """Bytes of the archive, not of the compressed blob: what an attacker writes has a right digest."""
    chance = random.Random(20261128)
    original = archive(*GOOD)
    refused = 0
    for number in range(4000):
        changed = bytearray(original)
        for _ in range(chance.randrange(1, 4)):
            place = chance.randrange(len(changed) if chance.random() < 0.3 else 3 * 512)
            changed[place] = chance.choice([0, 32, 47, 46, 48, 55, 255, chance.randrange(256)])
        if chance.random() < 0.7:  # with a checksum that is right
            for start in range(0, 3 * 512, 512):
                changed[start + 148 : start + 156] = b" " * 8
                changed[start + 148 : start + 156] = b"%06o\0 " % sum(changed[start : start + 512])
        try:
            for entry in (reader := ArchiveReader(io.BytesIO(bytes(changed)))).entries():
                assert ".." not in entry.path.split("/")
                assert not entry.path.startswith("/")
                assert sum(map(len, reader.content())) == entry.size
            if number % 10 == 0:
                unpacked(tmp_path / str(number), gzip.compress(bytes(changed), 1))
        except UnfitLayerError:
            refused += 1
    assert refused > 1000
    assert {one.name for one in tmp_path.iterdir()} <= {str(number) for number in range(4000)}


def test_mutated_blobs_are_read_or_refused() -> None:
    chance = random.Random(20261128)
    original = gzip.compress(archive(*GOOD))
    refused = 0
    for _ in range(3000):
        changed = bytearray(original)
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        opened = Gunzip(io.BytesIO(bytes(changed[: chance.randrange(1, len(changed) + 200)])), 100_000)
        try:
            while opened.read(1000):
                pass
            opened.finish()
        except UnfitLayerError:
            refused += 1
    assert refused > 2000
