"""What an archive of a source may say, and what becomes of it."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging.tags import parse_tag

from envman.build import source_archive
from envman.build.built_wheel import check_wheel
from envman.build.source_archive import UnfitError, check_directory, unpack_source
from envman.system.files import remove_tree
from tests.sdists import make_tarball


def member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.devmajor, info.devminor = kind, target, 1, 3
    return info


def unpacked(tmp_path: Path, members: list[tuple[str, str] | tarfile.TarInfo]) -> Path:
    (tmp_path / "there").mkdir()
    archive = make_tarball(tmp_path / "a-1.0.tar.gz", [("a-1.0/setup.py", "code"), *members])
    return unpack_source(archive, tmp_path / "there")


OUTSIDE = {
    "up": [("a-1.0/../../x", "x")],
    "absolute": [("/etc/envman-test", "x")],
    "backslash": [("a-1.0\\..\\x", "x")],
    "a link out": [member("a-1.0/l", tarfile.SYMTYPE, "../../x")],
    "an absolute link": [member("a-1.0/l", tarfile.SYMTYPE, "/etc/shadow")],
    "through links": [
        member("a-1.0/deep/er", tarfile.DIRTYPE),
        member("a-1.0/deep/er/up", tarfile.SYMTYPE, "../.."),
        member("a-1.0/out", tarfile.SYMTYPE, "deep/er/up/../../x"),
    ],
    "through a link's file": [member("a-1.0/l", tarfile.SYMTYPE, "../../"), ("a-1.0/l/x", "x")],
    "a link below a link": [
        member("a-1.0/l", tarfile.SYMTYPE, "../.."),
        member("a-1.0/l/x", tarfile.SYMTYPE, "y"),
    ],
    "a folder as a file": [("a-1.0/setup.py/x", "x")],
    "a hard link out": [member("a-1.0/l", tarfile.LNKTYPE, "../../x")],
    "a hard link to a file of the machine": [member("a-1.0/l", tarfile.LNKTYPE, "/etc/shadow")],
    "a device": [member("a-1.0/null", tarfile.CHRTYPE)],
    "a pipe": [member("a-1.0/pipe", tarfile.FIFOTYPE)],
    "two folders": [("b-1.0/x", "x")],
    "a file beside it": [("x", "x")],
}


@pytest.mark.parametrize("members", OUTSIDE.values(), ids=list(OUTSIDE))
def test_what_leads_out_of_it_or_is_no_file_is_refused(
    tmp_path: Path, members: list[tuple[str, str] | tarfile.TarInfo]
) -> None:
    (tmp_path / "x").write_text("outside")
    with pytest.raises(UnfitError):
        unpacked(tmp_path, members)
    assert (tmp_path / "x").read_text() == "outside"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-1.0.tar.gz", "there", "x"]


def test_files_and_links_within_it_are_as_they_were_packed(tmp_path: Path) -> None:
    run = member("a-1.0/run", tarfile.REGTYPE)
    run.mode = 0o4755
    made = unpacked(
        tmp_path,
        [
            ("a-1.0/docs/x.txt", "text"),
            member("a-1.0/link", tarfile.SYMTYPE, "docs/x.txt"),
            member("a-1.0/docs/hard", tarfile.LNKTYPE, "a-1.0/docs/x.txt"),
            ("a-1.0/docs/x.txt", "again"),
            run,
        ],
    )
    assert made.name == "a-1.0"
    assert {(made / name).read_text() for name in ("link", "docs/hard", "docs/x.txt")} == {"again"}
    assert (made / "setup.py").stat().st_mtime == 1_700_000_000
    assert [(made / name).stat().st_mode & 0o7777 for name in ("run", "setup.py")] == [0o755, 0o644]


@pytest.mark.parametrize("name", ["../x", "/x", "a-1.0/../../x"])
def test_a_zip_archive_leads_nowhere_either(tmp_path: Path, name: str) -> None:
    (tmp_path / "there").mkdir()
    with zipfile.ZipFile(tmp_path / "a-1.0.zip", "w") as archive:
        archive.writestr("a-1.0/setup.py", "code")
        archive.writestr(name, "x")
    with pytest.raises(UnfitError):
        unpack_source(tmp_path / "a-1.0.zip", tmp_path / "there")
    assert not (tmp_path / "x").exists()


def test_a_zip_archive_is_unpacked_as_well(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with zipfile.ZipFile(tmp_path / "a-1.0.zip", "w") as archive:
        archive.writestr("a-1.0/setup.py", "code")
    assert (unpack_source(tmp_path / "a-1.0.zip", tmp_path / "there") / "setup.py").read_text() == "code"


def test_a_bomb_is_refused_before_it_fills_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_archive, "MOST_BYTES", 1000)
    with pytest.raises(UnfitError, match="more than"):
        unpacked(tmp_path, [("a-1.0/large", "x" * 2000)])
    assert not (tmp_path / "there/a-1.0/large").exists()


def test_so_are_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_archive, "MOST_FILES", 5)
    with pytest.raises(UnfitError, match="more than"):
        unpacked(tmp_path, [(f"a-1.0/{number}", "x") for number in range(9)])


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b\x08" + b"\0" * 40])
def test_what_is_no_archive_says_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "there").mkdir()
    for name in ("a-1.0.tar.gz", "a-1.0.zip"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnfitError, match="archive"):
            unpack_source(tmp_path / name, tmp_path / "there")


def test_what_ends_too_early_says_so(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    whole = make_tarball(tmp_path / "a-1.0.tar.gz", [("a-1.0/setup.py", "code" * 9999)])
    whole.write_bytes(whole.read_bytes()[:-60])
    with pytest.raises(UnfitError):
        unpack_source(whole, tmp_path / "there")


def test_what_a_build_leaves_can_be_removed(tmp_path: Path) -> None:
    """Deeper than a path can be, and without any right; what a link of it leads to stays."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").write_text("kept")
    top = tmp_path / "left"
    top.mkdir()
    (top / "link").symlink_to(tmp_path / "kept")
    (top / "closed").mkdir()
    (top / "closed/x").write_text("")
    (top / "closed").chmod(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(top)
        for _ in range(1200):
            Path("deep").mkdir()
            patch.chdir("deep")
        patch.undo()
    remove_tree(top)
    assert not top.exists()
    assert (tmp_path / "kept/file").read_text() == "kept"


def extended(kind: bytes, content: bytes) -> bytes:
    """An extended header as it stands in an archive."""
    info = tarfile.TarInfo("extended")
    info.type, info.size = kind, len(content)
    padding = b"\0" * (-len(content) % 512)
    return info.tobuf(tarfile.GNU_FORMAT) + content + padding


def record(name: str, value: str) -> bytes:
    """A record of a pax header."""
    rest = f" {name}={value}\n".encode()
    length = len(rest)
    while length != len(str(length)) + len(rest):
        length = len(str(length)) + len(rest)
    return str(length).encode() + rest


def file_of(name: str, content: bytes = b"code") -> bytes:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info.tobuf() + content + b"\0" * (-len(content) % 512)


LONG = 8 * 1024**2
NEGATIVE = tarfile.TarInfo("a-1.0/x")
NEGATIVE.size = -512
BOMBS = {
    "a pax header": (extended(tarfile.XHDTYPE, record("comment", "x" * LONG)), "too large"),
    "a pax header as Solaris has it": (
        extended(tarfile.SOLARIS_XHDTYPE, record("comment", "x" * LONG)),
        "too large",
    ),
    "a long name": (extended(tarfile.GNUTYPE_LONGNAME, b"a" * LONG), "too large"),
    "a long target": (extended(tarfile.GNUTYPE_LONGLINK, b"a" * LONG), "too large"),
    "a header of all": (extended(tarfile.XGLTYPE, record("comment", "x" * LONG)), "too large"),
    "many headers of all": (
        b"".join(
            extended(tarfile.XGLTYPE, record(f"comment{one}", "x" * 100_000)) + file_of(f"a-1.0/{one}")
            for one in range(4)
        ),
        "too large",
    ),
    "many headers": (
        b"".join(
            extended(tarfile.XHDTYPE, record("comment", "x" * 200_000)) + file_of(f"a-1.0/{one}")
            for one in range(6)
        ),
        "too many headers",
    ),
    "holes": (extended(tarfile.GNUTYPE_SPARSE, b""), "with holes"),
    "holes by a pax header": (
        extended(tarfile.XHDTYPE, record("GNU.sparse.major", "1") + record("GNU.sparse.minor", "0"))
        + file_of("a-1.0/x", b"99999999\n" + b"1\n" * 10_000),
        "with holes",
    ),
    "holes by an older one": (
        extended(tarfile.XHDTYPE, record("GNU.sparse.map", ",".join(["1"] * 10_000))) + file_of("a-1.0/x"),
        "with holes",
    ),
    "a size below nothing": (NEGATIVE.tobuf(tarfile.GNU_FORMAT), "says that it has -512 bytes"),
    "a size below nothing by a pax header": (
        extended(tarfile.XHDTYPE, record("size", "-1024")) + file_of("a-1.0/x"),
        "says that it has -1024 bytes",
    ),
}


@pytest.mark.parametrize(("content", "said"), BOMBS.values(), ids=list(BOMBS))
def test_headers_of_a_tar_archive_fill_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, said: str
) -> None:
    monkeypatch.setattr(source_archive, "MOST_HEADERS", 1_000_000)
    archive = tmp_path / "a-1.0.tar"
    archive.write_bytes(file_of("a-1.0/setup.py") + content + file_of("a-1.0/y") + b"\0" * 1024)
    (tmp_path / "there").mkdir()
    with pytest.raises(UnfitError, match=said):
        unpack_source(archive, tmp_path / "there")


def test_headers_as_archives_have_them_are_read(tmp_path: Path) -> None:
    """That of `git archive`, and long names by either kind of header."""
    name = "a-1.0/" + "/".join(["long" * 10] * 20)
    archive = tmp_path / "a-1.0.tar"
    archive.write_bytes(
        extended(tarfile.XGLTYPE, record("comment", "0" * 40))
        + extended(tarfile.GNUTYPE_LONGNAME, f"{name}/gnu".encode() + b"\0")
        + file_of("x")
        + extended(tarfile.XHDTYPE, record("path", f"{name}/pax") + record("mtime", "1.5"))
        + file_of("x")
        + b"\0" * 1024
    )
    (tmp_path / "there").mkdir()
    unpack_source(archive, tmp_path / "there")
    assert sorted(path.name for path in (tmp_path / "there" / name).iterdir()) == ["gnu", "pax"]


def zipped(path: Path, count: int, comment: bytes = b"", before: bytes = b"") -> Path:
    path.write_bytes(before)
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = comment
        for number in range(count):
            archive.writestr(f"a-1.0/{number}", "")
    return path


@pytest.mark.parametrize(
    ("count", "comment", "before"),
    [(12, b"", b""), (12, b"a comment", b""), (12, b"", b"#!/bin/sh\n" * 9), (66_000, b"", b"")],
    ids=["plain", "with a comment", "behind something", "zip64"],
)
def test_what_a_zip_archive_says_of_its_files_is_counted_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, comment: bytes, before: bytes
) -> None:
    archive = zipped(tmp_path / "a-1.0.zip", count, comment, before)
    with archive.open("rb") as stream:
        monkeypatch.setattr(source_archive, "MOST_FILES", count)
        check_directory(stream)
        monkeypatch.setattr(source_archive, "MOST_FILES", count - 1)
        with pytest.raises(UnfitError, match="more than"):
            check_directory(stream)
        monkeypatch.setattr(source_archive, "LARGEST_DIRECTORY", 100)
        with pytest.raises(UnfitError, match="more than 100 bytes"):
            check_directory(stream)


def test_a_zip_archive_of_too_many_files_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = zipped(tmp_path / "said-1.0-py3-none-any.whl", 12)
    source = zipped(tmp_path / "a-1.0.zip", 12)
    monkeypatch.setattr(source_archive, "MOST_FILES", 11)
    monkeypatch.setattr(zipfile, "ZipFile", None)
    with pytest.raises(UnfitError, match="more than 11 files"):
        unpack_source(source, tmp_path)
    tags = frozenset(parse_tag("py3-none-any"))
    with archive.open("rb") as stream, pytest.raises(UnfitError, match="more than 11 files"):
        check_wheel(archive.name, stream, ("said", "1.0"), tags)


@pytest.mark.parametrize("content", [b"", b"x" * 10_000, b"PK\x05\x06" + b"\xff" * 18])
def test_what_is_no_zip_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a-1.0.zip").write_bytes(content)
    with pytest.raises(UnfitError, match=r"can't be unpacked|more than"):
        unpack_source(tmp_path / "a-1.0.zip", tmp_path)
