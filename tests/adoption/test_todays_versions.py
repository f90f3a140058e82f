"""Today's set as requirements: also where its own metadata contradicts it."""

from __future__ import annotations

import json
from typing import Any

from envman.adoption.found_airflow import read_answer
from envman.adoption.todays_versions import TodaysVersions, differences, todays_versions
from tests.adoption.answers import answer, distribution


def today(*distributions: dict[str, Any]) -> TodaysVersions:
    found = read_answer(json.dumps(answer(distributions)))
    return todays_versions(found.installed(), found.python)


def test_each_distribution_is_pinned_by_its_normalized_name() -> None:
    found = today(distribution("Grid_Two", "2.0"), distribution("frame", "1.5", "grid-two>=2"))
    assert found.pins == ("frame==1.5", "grid-two==2.0")
    assert (found.overrides, found.contradictions, found.left_out) == ((), (), ())


def test_what_contradicts_the_metadata_is_overridden_and_named() -> None:
    found = today(distribution("frame", "2.2", "grid>=2", "lost>1"), distribution("grid", "1.0"))
    assert found.overrides == ("grid==1.0", "lost ; python_version < '0'")
    assert [(one.package, one.requirement, one.installed) for one in found.contradictions] == [
        ("frame", "grid>=2", "1.0"),
        ("frame", "lost>1", ""),
    ]


def test_a_marker_decides_whether_a_requirement_counts() -> None:
    requires = (
        "grid>=2 ; sys_platform == 'win32'",
        "lost ; python_version < '3.8'",
        "plus ; extra == 'more'",
    )
    found = today(distribution("frame", "2.2", *requires), distribution("grid", "1.0"))
    assert found.overrides == ()


def test_what_counts_for_another_python_of_the_lock_contradicts_too() -> None:
    """The lock is for a whole minor version, and uv resolves for PyPy and later patches, too."""
    requires = ("grid>=2 ; python_full_version >= '3.12.7'", "lost ; implementation_name == 'pypy'")
    found = today(distribution("frame", "2.2", *requires), distribution("grid", "1.0"))
    assert found.overrides == ("grid==1.0",)


def test_extras_that_are_asked_for_are_followed() -> None:
    found = today(
        distribution("app", "1", "frame[all]"),
        distribution("frame", "2.2", "frame[fast]; extra == 'all'", "grid>=2 ; extra == 'fast'"),
        distribution("grid", "1.0"),
    )
    assert found.overrides == ("grid==1.0",)


def test_what_no_index_has_is_left_out_and_never_asked_of_one() -> None:
    """An index may have a stranger's package of that name."""
    found = today(
        distribution("app", "1", "rules>=1"),
        distribution("rules", "1.4", editable=True, origin="file:///src/rules"),
        distribution("tools", "2", origin="https://git.example/tools", commit="abc"),
    )
    assert found.pins == ("app==1",)
    assert found.overrides == ("rules ; python_version < '0'",)
    assert [(one.name, one.origin) for one in found.left_out] == [
        ("rules", "editable, file:///src/rules"),
        ("tools", "https://git.example/tools at abc"),
    ]
    assert 'sources = ["../libs/rules"]' in found.left_out[0].remedy
    assert "rules==1.4. Take its override out then" in found.left_out[0].remedy
    assert "override" not in found.left_out[1].remedy
    assert found.contradictions[0].words() == "app asks for rules>=1: it is left out"


def test_a_wheel_that_was_installed_by_its_path_has_no_source_to_name() -> None:
    found = today(distribution("rules", "1.4", origin="file:///wheels/rules-1.4-py3-none-any.whl"))
    assert found.left_out[0].remedy.startswith("Serve a wheel of it from your index")


def test_what_conda_and_the_system_have_installed_is_pinned_with_a_doubt() -> None:
    found = today(
        distribution("grid", "1", installer="conda", origin="file:///home/conda/feedstock_root/work"),
        distribution("six", "1.16.0", has_record=False, installer=""),
        distribution("torch", "2.3.0+cpu"),
    )
    assert found.pins == ("grid==1", "six==1.16.0", "torch==2.3.0+cpu")
    assert [one.name for one in found.doubts] == ["grid", "six", "torch"]


def test_a_version_that_is_none_is_left_out() -> None:
    found = today(distribution("odd", "1.0-of-monday"), distribution("empty", ""))
    assert found.pins == ()
    assert [one.name for one in found.left_out] == ["empty", "odd"]


def test_a_package_for_another_python_is_named() -> None:
    found = today(
        distribution("new", "1", requires_python=">=3.13"), distribution("old", "1", requires_python="?")
    )
    assert found.wrong_python == ("new 1 asks for Python >=3.13",)


def test_the_differences_are_those_of_versions_and_of_what_is_there() -> None:
    found = today(
        distribution("a", "1.0"),
        distribution("b", "2"),
        distribution("c", "3"),
        distribution("d", "4", editable=True),
    )
    told = differences(found.pins, found.left_out, {"a": "1", "b": "2.1", "new": "5"})
    assert [(one.package, one.today, one.locked) for one in told] == [
        ("d", "4", ""),
        ("b", "2", "2.1"),
        ("c", "3", ""),
        ("new", "", "5"),
    ]
    assert differences(found.pins, (), {"a": "1.0", "b": "2", "c": "3"}) == ()
