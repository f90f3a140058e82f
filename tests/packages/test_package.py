from __future__ import annotations

from envman.packages.package import Package, dependencies, top_level

MARKERS = {"sys_platform": "linux", "python_version": "3.12", "extra": ""}


def test_what_is_installed_and_applies_is_a_dependency() -> None:
    packages = [
        Package("a", "1", ("B>=1", "c ; sys_platform == 'win32'", "d ; python_version >= '3.10'", "absent")),
        Package("b", "1"),
        Package("c", "1"),
        Package("d", "1", ("a", "d")),
    ]
    assert dependencies(packages, MARKERS) == {"a": ("b", "d"), "b": (), "c": (), "d": ("a",)}


def test_an_extra_counts_where_a_package_asks_for_it() -> None:
    asked = Package("top", "1", ("middle[more]",))
    middle = Package("middle", "1", ("leaf ; extra == 'more'", "leaf2 ; extra == 'other'"))
    leaves = [Package("leaf", "1"), Package("leaf2", "1")]
    assert dependencies([asked, middle, *leaves], MARKERS)["middle"] == ("leaf",)
    assert dependencies([middle, *leaves], MARKERS)["middle"] == ()


def test_an_extra_of_an_extra_is_found_whatever_the_order_of_names() -> None:
    packages = [
        Package("z", "1", ("a[x]",)),
        Package("a", "1", ("b[y] ; extra == 'x'",)),
        Package("b", "1", ("a[w] ; extra == 'y'", "c ; extra == 'y'")),
        Package("c", "1"),
        Package("d", "1"),
    ]
    found = dependencies(packages, MARKERS)
    assert (found["z"], found["a"], found["b"]) == (("a",), ("b",), ("a", "c"))


def test_a_package_may_ask_for_its_own_extras() -> None:
    packages = [
        Package("a", "1", ("b[all]",)),
        Package("b", "1", ("b[more] ; extra == 'all'", "c ; extra == 'more'")),
        Package("c", "1"),
    ]
    assert dependencies(packages, MARKERS) == {"a": ("b",), "b": ("c",), "c": ()}


def test_a_requirement_of_old_times_is_passed_over() -> None:
    assert dependencies([Package("a", "1", ("b (>=1.0, <2.0-dev", "b")), Package("b", "1")], MARKERS) == {
        "a": ("b",),
        "b": (),
    }


def test_from_the_top_everything_can_be_reached() -> None:
    needs = {"a": ("b",), "b": (), "x": ("y",), "y": ("z",), "z": ("x",)}
    assert top_level(needs) == ("a", "x")
    assert top_level({}) == ()
