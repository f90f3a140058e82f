"""Which packages of a lock have no wheel for a platform."""

from __future__ import annotations

from typing import Any

import pytest

from envman.lock.source_only import SourceOnly, source_only

LINUX, ARM, MAC, WINDOWS = "linux-x86_64", "linux-aarch64", "macos-arm64", "windows-x86_64"


def package(*wheels: str, marker: str = "") -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": "one",
        "version": "1.0",
        "wheels": [{"url": f"files/{w}"} for w in wheels],
    }
    return {"packages": [entry | ({"marker": marker} if marker else {})]}


@pytest.mark.parametrize(
    ("wheels", "lacking"),
    [
        (["one-1.0-py3-none-any.whl"], ()),
        (["one-1.0-py2.py3-none-any.whl"], ()),
        ([], (LINUX, ARM, MAC, WINDOWS)),
        (["one-1.0-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"], (ARM, MAC, WINDOWS)),
        (["one-1.0-cp312-cp312-linux_x86_64.whl"], (ARM, MAC, WINDOWS)),
        (["one-1.0-cp312-cp312-musllinux_1_2_x86_64.whl"], (LINUX, ARM, MAC, WINDOWS)),
        (["one-1.0-cp39-abi3-manylinux_2_28_aarch64.whl"], (LINUX, MAC, WINDOWS)),
        (["one-1.0-cp313-abi3-manylinux_2_28_aarch64.whl"], (LINUX, ARM, MAC, WINDOWS)),
        (["one-1.0-cp311-cp311-win_amd64.whl"], (LINUX, ARM, MAC, WINDOWS)),
        (["one-1.0-py3-none-win_amd64.whl", "one-1.0-py3-none-macosx_11_0_universal2.whl"], (LINUX, ARM)),
        (["no wheel at all", "one-1.0-py3-none-any.whl"], ()),
    ],
)
def test_a_wheel_is_for_a_platform_and_a_python(wheels: list[str], lacking: tuple[str, ...]) -> None:
    found = source_only(package(*wheels), [LINUX, ARM, MAC, WINDOWS], "3.12")
    assert found == ((SourceOnly("one", "1.0", lacking),) if lacking else ())


def test_a_package_counts_where_its_marker_has_it() -> None:
    lock = package(marker="sys_platform == 'win32' or python_version < '3.12'")
    assert source_only(lock, [LINUX, WINDOWS], "3.12")[0].platforms == (WINDOWS,)
    assert source_only(lock, [LINUX], "3.12") == ()
    assert source_only(lock, [LINUX], "3.11")[0].platforms == (LINUX,)
    assert source_only({}, [LINUX], "3.12") == ()
