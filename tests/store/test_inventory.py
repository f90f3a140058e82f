from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envman.store import layout
from envman.store.inventory import (
    Difference,
    FileEntry,
    Inventory,
    altered_since_packed,
    differences,
    parse_inventory,
    take_inventory,
)
from envman.store.listed_files import first_difference
from envman.system.digests import Digests
from tests.strategies import free_text, law


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def generation(tmp_path: Path) -> Path:
    folder = tmp_path / "generation"
    (folder / "bin").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "empty").chmod(0o755)
    (folder / "lib" / "deep").mkdir(parents=True)
    (folder / "bin" / "tool").write_bytes(b"#!x\n")
    (folder / "bin" / "tool").chmod(0o755)
    (folder / "lib" / "deep" / "a.py").write_bytes(b"")
    (folder / "lib" / "deep" / "a.py").chmod(0o644)
    (folder / "bin" / "python").symlink_to("/usr/bin/python3")
    (folder / "lib64").symlink_to("lib")
    return folder


def test_every_file_and_link_is_listed_with_its_type_bits_and_content(generation: Path) -> None:
    inventory = take_inventory(generation, Digests())
    assert inventory.entries == {
        "bin/tool": FileEntry("100755", sha256(b"#!x\n")),
        "bin/python": FileEntry("120777", sha256(b"/usr/bin/python3")),
        "lib/deep/a.py": FileEntry("100644", sha256(b"")),
        "lib64": FileEntry("120777", sha256(b"lib")),
        "empty": FileEntry("40755", "-"),
    }
    assert inventory.size == len(b"#!x\n") + len("/usr/bin/python3") + len("lib")


def test_envmans_own_files_are_not_listed_but_namesakes_are(generation: Path) -> None:
    for folder in (generation, generation / "lib"):
        (folder / layout.MANIFEST).write_text("{}")
        (folder / layout.FILES).write_text("")
    found = take_inventory(generation, Digests()).entries
    assert not {layout.MANIFEST, layout.FILES} & set(found)
    assert {f"lib/{layout.MANIFEST}", f"lib/{layout.FILES}"} <= set(found)


def test_a_long_file_is_read_to_its_end(tmp_path: Path) -> None:
    content = b"x" * (1 << 20) + b"the end"
    (tmp_path / "long").write_bytes(content)
    assert take_inventory(tmp_path, Digests()).entries["long"].digest == sha256(content)


def test_what_is_no_file_has_no_content(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert take_inventory(tmp_path, Digests()).entries["pipe"].digest == "-"


def test_a_name_of_any_bytes_survives(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\n\xe2\x80\xa8")).write_bytes(b"x")
    inventory = take_inventory(tmp_path, Digests())
    assert parse_inventory(inventory.to_text().encode("utf-8").decode("utf-8")) == inventory.entries


def test_no_files_are_an_empty_list(tmp_path: Path) -> None:
    inventory = take_inventory(tmp_path, Digests())
    assert (inventory.entries, inventory.size, inventory.to_text()) == ({}, 0, "")
    assert parse_inventory("") == {}


def test_an_unaltered_generation_does_not_differ(generation: Path) -> None:
    listed = take_inventory(generation, Digests()).entries
    assert differences(listed, take_inventory(generation, Digests()).entries) == ()


def test_every_kind_of_alteration_is_found(generation: Path) -> None:
    listed = take_inventory(generation, Digests()).entries
    (generation / "bin" / "tool").chmod(0o700)
    (generation / "lib" / "deep" / "a.py").write_bytes(b"x = 1\n")
    (generation / "lib64").unlink()
    (generation / "lib64").symlink_to("bin")
    (generation / "bin" / "python").unlink()
    (generation / "empty" / "new.pth").touch()
    assert differences(listed, take_inventory(generation, Digests()).entries) == (
        Difference("missing", "bin/python"),
        Difference("changed", "bin/tool"),
        Difference("added", "empty/new.pth"),
        Difference("changed", "lib/deep/a.py"),
        Difference("changed", "lib64"),
    )


def test_a_folder_that_was_emptied_is_told_of_by_its_files(generation: Path) -> None:
    listing = take_inventory(generation, Digests()).to_text()
    (generation / "lib/deep/a.py").unlink()
    found = take_inventory(generation, Digests()).entries
    assert differences(parse_inventory(listing), found) == (Difference("missing", "lib/deep/a.py"),)
    assert first_difference(str(generation), listing) == "lib/deep/a.py is missing"
    (generation / "lib/deep").rmdir()
    (generation / "lib/other").mkdir()
    assert first_difference(str(generation), listing) == "lib/other was added"


def test_a_link_in_place_of_a_file_of_the_same_content_is_a_change(generation: Path) -> None:
    listed = take_inventory(generation, Digests()).entries
    tool = generation / "bin" / "tool"
    tool.rename(generation / "bin" / "moved")
    tool.symlink_to("moved")
    assert Difference("changed", "bin/tool") in differences(
        listed, take_inventory(generation, Digests()).entries
    )


@pytest.mark.parametrize(
    "line",
    ["not JSON", "", "[]", '["100644", "00"]', '["100644", "00", "a", "b"]', "{}", "1", '["1", "2", ["a"]]'],
)
def test_a_damaged_list_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_inventory(f'["100644", "00", "a"]\n{line}\n')


def record(generation: Path, *rows: bytes) -> None:
    """Install a package whose RECORD has these rows."""
    folder = generation / "lib" / "python3.12" / "site-packages" / "frame-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "RECORD").write_bytes(b"\r\n".join(rows))


def of(content: bytes) -> bytes:
    return b"sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")


def altered(generation: Path) -> list[str]:
    return altered_since_packed(generation, take_inventory(generation, Digests()))


def test_a_file_that_is_not_as_its_package_recorded_it_is_told_of(generation: Path) -> None:
    site = generation / "lib" / "python3.12" / "site-packages"
    record(
        generation,
        b"same.py," + of(b"same") + b",4",
        b'"odd, name.py",' + of(b"was") + b",3",
        b"changed.py," + of(b"was") + b",3",
        b"../../../bin/tool," + of(b"another") + b",7",
    )
    (site / "same.py").write_bytes(b"same")
    (site / "changed.py").write_bytes(b"is")
    (site / "odd, name.py").write_bytes(b"is")
    assert altered(generation) == [
        "bin/tool",
        "lib/python3.12/site-packages/changed.py",
        "lib/python3.12/site-packages/odd, name.py",
    ]


@pytest.mark.parametrize(
    "row",
    [
        b"a.py,,",
        b"a.py,md5=AAAA,1",
        b"a.py",
        b"",
        b"gone.py," + of(b"x") + b",1",
        b"__pycache__/a.cpython-312.pyc," + of(b"x") + b",1",
    ],
)
def test_what_a_record_does_not_answer_for_is_not_told_of(generation: Path, row: bytes) -> None:
    record(generation, row)
    site = generation / "lib" / "python3.12" / "site-packages"
    (site / "__pycache__").mkdir()
    for name in ("a.py", "__pycache__/a.cpython-312.pyc"):
        (site / name).write_bytes(b"is")
    assert altered(generation) == []


@pytest.mark.parametrize("row", [b"a.py,sha256=x,1", b"a.py,sha256=\xc3\xbc,1"])
def test_a_digest_that_can_not_be_one_is_not_the_files(generation: Path, row: bytes) -> None:
    record(generation, row)
    (generation / "lib" / "python3.12" / "site-packages" / "a.py").write_bytes(b"is")
    assert altered(generation) == ["lib/python3.12/site-packages/a.py"]


def test_a_file_that_two_packages_brought_is_as_one_of_them_recorded_it(generation: Path) -> None:
    """Such as the tests/__init__.py that many packages put beside their own folder: the last one's stays."""
    record(generation, b"tests/__init__.py," + of(b"first") + b",5")
    site = generation / "lib" / "python3.12" / "site-packages"
    (site / "frame-1.0.dist-info").rename(site / "grid-1.0.dist-info")
    record(generation, b"tests/__init__.py," + of(b"second") + b",6")
    (site / "tests").mkdir()
    for content, expected in (
        (b"first", []),
        (b"second", []),
        (b"third", ["lib/python3.12/site-packages/tests/__init__.py"]),
    ):
        (site / "tests" / "__init__.py").write_bytes(content)
        assert altered(generation) == expected


def test_a_record_in_another_encoding_is_read_as_far_as_it_goes(generation: Path) -> None:
    record(generation, b"\xff.py," + of(b"x") + b",1", b"a.py," + of(b"was") + b",3")
    (generation / "lib" / "python3.12" / "site-packages" / "a.py").write_bytes(b"is")
    assert altered(generation) == ["lib/python3.12/site-packages/a.py"]


entries = st.dictionaries(
    free_text,
    st.builds(FileEntry, st.sampled_from(["100644", "100755"]), st.sampled_from(["00", "11"])),
    max_size=5,
)


@law
@given(entries)
def test_a_list_reads_back_as_it_was_whatever_the_files_are_called(found: dict[str, FileEntry]) -> None:
    text = Inventory(found, 0).to_text()
    assert parse_inventory(text) == found
    assert text.count("\n") == len(found)


@law
@given(entries, entries)
def test_differences_lead_from_the_list_to_what_is_there(
    listed: dict[str, FileEntry], found: dict[str, FileEntry]
) -> None:
    result = differences(listed, found)
    assert [difference.path for difference in result] == sorted({*listed, *found} - same(listed, found))
    for difference in result:
        assert (difference.kind == "missing") == (difference.path not in found)
        assert (difference.kind == "added") == (difference.path not in listed)


def same(listed: dict[str, FileEntry], found: dict[str, FileEntry]) -> set[str]:
    return {path for path in listed if found.get(path) == listed[path]}
