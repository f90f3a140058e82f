"""What an archive of a source may say, and what becomes of it."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import pytest

from envman.build import source_archive
from envman.build.source_archive import UnfitError, unpack_source
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
