"""An unpacked base is a stranger's: whatever its links say, nothing outside of it is read or written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from envman.errors import ImageError
from envman.image.entries import Entry
from envman.image.oci_values import ImageManifest, parse_config, parse_manifest
from envman.oci.bases import Base
from envman.spec.project import Environment
from envman.store.manifest import BaseInterpreter, parse_interpreter
from envman.system import beneath
from envman.system.beneath import read_in_root
from envman.system.digests import Digests
from envman.system.sandbox import Mount, Sandbox
from envman.usecases.images.base_machine import _candidates
from envman.usecases.images.base_packages import check_packages
from envman.usecases.images.image_contents import launcher_entries

SECRET = "secret:x:50001:0::/:/bin/sh\n"
STATUS = "Package: libsecret\nStatus: install ok installed\nVersion: 1\n"
PYTHON = BaseInterpreter("CPython", "3.12.1", "linux-x86_64", "/usr/bin/python3", "1-2")


@pytest.fixture(params=["openat2", "step by step"])
def base(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Base:
    """Beside its files stands what is of this machine alone."""
    if request.param == "step by step":
        monkeypatch.setattr(beneath, "_resolved", beneath._walked)
    made = Base("a-base", "sha256:" + "0" * 64, tmp_path / "base", parse_manifest(MANIFEST, "it"), {})
    made.root.mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    for name, text in {"passwd": SECRET, "status": STATUS, "python3": ""}.items():
        (tmp_path / "outside" / name).write_text(text)
        (tmp_path / "outside" / name).chmod(0o600)
    return made


DESCRIPTOR = '{"mediaType":"m","digest":"sha256:%s","size":1}' % ("1" * 64)
MANIFEST = f'{{"config":{DESCRIPTOR},"layers":[]}}'.encode()


def in_image(base: Base) -> dict[str, Entry]:
    staged = base.folder / "staged"
    staged.mkdir(exist_ok=True)
    return {entry.path: entry for entry in launcher_entries(staged, base, PYTHON, Digests())}


def accounts(base: Base) -> tuple[str, str]:
    """Where the list of accounts is in the image, and its text."""
    found = [one for one in in_image(base).values() if one.content and b":50000:0:" in one.content]
    return found[0].path, (found[0].content or b"").decode()


def straight(root: Path, outside: str) -> None:
    (root / "etc").mkdir()
    (root / "etc/passwd").symlink_to(f"{outside}/passwd")


def upwards(root: Path, outside: str) -> None:
    (root / "etc").mkdir()
    (root / "etc/passwd").symlink_to(f"../../../..{outside}/passwd")


def by_its_folder(root: Path, outside: str) -> None:
    (root / "etc").symlink_to(outside)


def by_a_chain(root: Path, outside: str) -> None:
    (root / "a").symlink_to("..")
    (root / "b").symlink_to("a/../../outside")
    (root / "etc").symlink_to("b")


def by_a_process(root: Path, outside: str) -> None:
    (root / "etc").symlink_to(f"/proc/{os.getpid()}/root{outside}")


WAYS = [straight, upwards, by_its_folder, by_a_chain, by_a_process]


@pytest.mark.parametrize("lead", WAYS)
def test_no_account_of_this_machine_gets_into_an_image(
    base: Base, tmp_path: Path, lead: Callable[[Path, str], None]
) -> None:
    lead(base.root, str(tmp_path / "outside"))
    assert "secret" not in accounts(base)[1]
    with pytest.raises(OSError, match=r"\w"):
        read_in_root(str(base.root), "etc/passwd", 2**20)


@pytest.mark.parametrize(
    "target", ["/usr/lib/passwd", "../usr/lib/passwd", "../../../usr/lib/passwd", "/lib/passwd"]
)
def test_a_link_means_within_the_image(base: Base, target: str) -> None:
    (base.root / "etc").mkdir()
    (base.root / "usr/lib").mkdir(parents=True)
    (base.root / "lib").symlink_to("/usr/lib")
    (base.root / "usr/lib/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nimage:x:7:7::/:\n")
    (base.root / "etc/passwd").symlink_to(target)
    path, text = accounts(base)
    assert path == "usr/lib/passwd"  # so that the link stays, and shows the account
    assert [line.partition(":")[0] for line in text.splitlines()] == ["root", "image", "airflow"]


def pipe(place: Path) -> None:
    os.mkfifo(place)


def too_large(place: Path) -> None:
    with place.open("wb") as stream:
        stream.truncate(2**20 + 1)


def loop(place: Path) -> None:
    place.symlink_to("passwd")


@pytest.mark.parametrize("make", [pipe, too_large, loop, Path.mkdir])
def test_accounts_that_are_no_file_are_refused(base: Base, make: Callable[[Path], None]) -> None:
    (base.root / "etc").mkdir()
    make(base.root / "etc/passwd")
    with pytest.raises(ImageError, match="its /etc/passwd can't be read"):
        in_image(base)


@pytest.mark.parametrize("place", ["var/lib/dpkg/status", "var/lib/dpkg/status.d/x", "var/lib/dpkg", "var"])
def test_packages_of_this_machine_are_not_the_bases(base: Base, tmp_path: Path, place: str) -> None:
    (base.root / place).parent.mkdir(parents=True, exist_ok=True)
    outside = tmp_path / "outside"
    target = outside / "status" if place.endswith(("status", "x")) else outside
    (outside / "lib").symlink_to(".")
    (outside / "dpkg").symlink_to(".")
    (base.root / place).symlink_to(target)
    wanted = Environment("env_a", "environments/env_a.toml", "==3.12.*", (), (), apt=("libsecret",))
    with pytest.raises(ImageError, match="lacks the Debian packages"):
        check_packages(base, [wanted])
    (base.root / place).unlink()
    own = base.root / "var/lib/dpkg"
    own.mkdir(parents=True, exist_ok=True)
    (own / "status").write_text(STATUS)
    check_packages(base, [wanted])


def test_interpreters_of_this_machine_are_not_the_bases(base: Base, tmp_path: Path) -> None:
    (base.root / "bin").symlink_to(tmp_path / "outside")
    config = {"config": {"Env": [f"PATH=/bin:{tmp_path}/outside:/../../outside:../outside:/own"]}}
    (base.root / "own").mkdir()
    (base.root / "own/python3.12").write_text("")
    found = Base(base.name, base.digest, base.folder, base.manifest, config)
    assert [*_candidates(found)] == ["/own/python3.12"]


FACTS = {
    "implementation": "CPython",
    "version": "3.12.1",
    "platform": "linux-x86_64",
    "executable": "/usr/bin/python3",
    "stamp": "1-2",
}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("version", "3.12.1/../../../../x"),
        ("implementation", "../x"),
        ("implementation", ""),
        ("executable", "python3"),
        ("executable", "/a\nb"),
        ("platform", "x" * 61),
        ("stamp", 5),
        ("more", "x"),
    ],
)
def test_what_a_bases_python_says_of_itself_is_checked(key: str, value: object) -> None:
    assert parse_interpreter(json.dumps(FACTS)).version == "3.12.1"
    with pytest.raises(ValueError, match="does not say which Python it is"):
        parse_interpreter(json.dumps({**FACTS, key: value}))


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "[" * 100_000, "5", "9" * 5000])
def test_what_is_no_answer_of_python_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="does not say which Python it is"):
        parse_interpreter(text)


@pytest.mark.parametrize(
    "digest",
    ["", "sha256:", "sha256:../../x", "../x", "sha256:" + "0" * 63, "md5:" + "0" * 32, "sha256:" + "G" * 64],
)
def test_a_digest_that_is_none_becomes_no_path(digest: str) -> None:
    text = MANIFEST.replace(b"sha256:" + b"1" * 64, digest.encode())
    with pytest.raises(ImageError, match="is no image manifest: a digest is none"):
        parse_manifest(text, "it")


@pytest.mark.parametrize(
    "config",
    [
        b'{"Env":[5]}',
        b'{"Env":5}',
        b"[]x",
        b'{"User":5}',
        b'{"Labels":{"a":5}}',
        b'{"Labels":[5]}',
        b'"x"',
        b"[" * 10**5,
    ],
)
def test_a_configuration_of_wrong_types_is_refused(config: bytes) -> None:
    with pytest.raises(ImageError, match="is no image configuration"):
        parse_config(b'{"rootfs":{"diff_ids":[]},"config":' + config + b"}", "it")
    assert isinstance(parse_manifest(MANIFEST, "it"), ImageManifest)


@pytest.mark.parametrize("place", ["/venv", "/.envman", "/etc/resolv.conf", "/tmp", "/proc", "/.envman/uv"])
def test_a_mount_goes_where_no_link_of_the_image_leads(base: Base, tmp_path: Path, place: str) -> None:
    first = base.root / place.lstrip("/").split("/")[0]
    first.symlink_to("../../../../elsewhere/outside")
    sandbox = Sandbox(base.root, {}, [Mount(str(tmp_path), place)])
    assert sandbox._place(place).startswith("/elsewhere/outside")
    assert not any(part.is_symlink() for part in (base.root / sandbox._place(place).lstrip("/")).parents)


def test_an_image_in_which_nothing_can_be_mounted_is_refused(base: Base) -> None:
    (base.root / "venv").symlink_to("venv")
    with pytest.raises(ImageError, match="nothing can be mounted at /venv"):
        Sandbox(base.root, {}, [])._place("/venv")
