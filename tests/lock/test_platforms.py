from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.markers import Marker, default_environment
from packaging.specifiers import SpecifierSet

from envman.lock.platforms import environment_markers, host_platform, lowest_python
from envman.spec.values import Platform
from tests.strategies import law

MACHINES = {
    "linux-x86_64": ("linux", "x86_64"),
    "linux-aarch64": ("linux", "aarch64"),
    "macos-arm64": ("darwin", "arm64"),
    "macos-x86_64": ("darwin", "x86_64"),
    "windows-x86_64": ("win32", "AMD64"),
}


def applies(marker: str, platform: str, python: str) -> bool:
    system, machine = MACHINES[platform]
    return Marker(marker).evaluate(
        {"sys_platform": system, "platform_machine": machine, "python_full_version": python}
    )


def test_every_platform_of_a_spec_has_a_marker_that_applies_there_and_nowhere_else() -> None:
    assert set(MACHINES) == set(get_args(Platform))
    for platform in MACHINES:
        (marker,) = environment_markers("==3.12.*", [platform])
        assert [name for name in MACHINES if applies(marker, name, "3.12.1")] == [platform]


@pytest.mark.parametrize("specifier", ["==3.12.*", ">=3.11,<3.13", "~=3.12.2", ">3.11", ">=3.10,!=3.11.*"])
@pytest.mark.parametrize("python", ["3.10.14", "3.11.9", "3.12.1", "3.12.7", "3.13.0"])
def test_a_marker_admits_the_pythons_of_the_spec(specifier: str, python: str) -> None:
    markers = environment_markers(specifier, ["linux-x86_64", "linux-aarch64"])
    admitted = python in SpecifierSet(specifier)
    assert [applies(marker, "linux-x86_64", python) for marker in markers] == [admitted, False]


def test_the_order_of_a_range_does_not_change_a_marker() -> None:
    platforms = ["linux-x86_64"]
    assert environment_markers(">=3.11,<3.13", platforms) == environment_markers("<3.13,>=3.11", platforms)


@pytest.mark.parametrize(
    ("specifier", "lowest"),
    [
        ("==3.12.*", "3.12"),
        ("==3.12.4", "3.12"),
        ("===3.12.4", "3.12"),
        (">=3.11,<3.13", "3.11"),
        ("<3.13,>=3.11.4", "3.11"),
        (">3.10", "3.10"),
        ("~=3.12", "3.12"),
        ("~=3.12.4", "3.12"),
        (">=3.9,==3.12.*", "3.12"),
        (">=3.11,!=3.11.*", "3.12"),
        (">=3.10,!=3.10.*,!=3.11.*", "3.12"),
    ],
)
def test_the_lowest_minor_version_of_a_specifier_is_known(specifier: str, lowest: str) -> None:
    assert lowest_python(specifier) == lowest


PATCHES = [f"3.{minor}.{patch}" for minor in range(9, 17) for patch in range(9)]
bounds = st.builds(
    "{}3.{}{}".format,
    st.sampled_from([">=", ">", "~=", "=="]),
    st.integers(10, 14),
    st.sampled_from(["", ".2", ".5"]),
) | st.builds("==3.{}.*".format, st.integers(10, 14))


@law
@given(st.lists(bounds, min_size=1, max_size=3).map(",".join))
def test_no_python_below_the_lowest_is_admitted_and_one_of_it_is(specifier: str) -> None:
    admitted = [python for python in PATCHES if python in SpecifierSet(specifier)]
    if admitted:
        assert lowest_python(specifier) == admitted[0].rpartition(".")[0]


def test_this_machines_platform_has_this_machines_marker() -> None:
    (marker,) = environment_markers(">=3.10", [host_platform()])
    assert Marker(marker).evaluate(dict(default_environment()))
