from __future__ import annotations

from envman.packages.package import Package, conflicts, dependencies, top_level

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


PYTHON = {**MARKERS, "python_full_version": "3.12.1"}


def test_what_is_asked_for_and_not_there_is_told() -> None:
    packages = [
        Package("a", "1", ("B>=2", "c==1.*", "absent ; python_version >= '3.10'"), requires_python=">=3.13"),
        Package("b", "1.9"),
        Package("c", "1.5rc1"),
    ]
    assert conflicts(packages, PYTHON, ()) == [
        "a requires Python >=3.13, but it is 3.12.1",
        "a requires B>=2, but 1.9 is installed",
        'a requires absent; python_version >= "3.10", but that is not installed',
    ]
    assert conflicts(packages, PYTHON, {"b", "absent"}) == ["a requires Python >=3.13, but it is 3.12.1"]


def test_what_does_not_apply_here_is_not_asked_for() -> None:
    packages = [
        Package(
            "a", "1", ("b ; sys_platform == 'win32'", "c ; extra == 'more'", "d @ https://x/d.whl", "e>=1")
        ),
        Package("d", "0"),
        Package("e", "2.0b1"),  # a lock that pins it has allowed it
    ]
    assert conflicts(packages, PYTHON, ()) == []


def test_what_no_standard_knows_is_the_resolvers_to_judge() -> None:
    packages = [
        Package("a", "1", ("b (>=1.0, <2.0-dev", "c"), requires_python=">=3.8.*"),
        Package("c", "of old"),
    ]
    assert conflicts(packages, PYTHON, ()) == []


def test_from_the_top_everything_can_be_reached() -> None:
    needs = {"a": ("b",), "b": (), "x": ("y",), "y": ("z",), "z": ("x",)}
    assert top_level(needs) == ("a", "x")
    assert top_level({}) == ()
