from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from envman.lock.changes import PackageChange, package_changes
from tests.strategies import law, packages, versions


def test_changes_are_told_by_package_sorted_by_name() -> None:
    old = {"same": ("1",), "gone": ("1",), "moved": ("1",), "split": ("1",)}
    new = {"same": ("1",), "came": ("1",), "moved": ("2",), "split": ("1", "2")}
    assert package_changes(old, new) == (
        PackageChange("came", (), ("1",)),
        PackageChange("gone", ("1",), ()),
        PackageChange("moved", ("1",), ("2",)),
        PackageChange("split", ("1",), ("1", "2")),
    )


def test_against_nothing_everything_is_new() -> None:
    assert package_changes({}, {"a": ("1",)}) == (PackageChange("a", (), ("1",)),)


sets = st.dictionaries(packages, st.lists(versions, min_size=1, max_size=2).map(tuple), max_size=5)


@law
@given(sets, sets)
def test_the_changes_lead_from_the_old_set_to_the_new_and_back(
    old: dict[str, tuple[str, ...]], new: dict[str, tuple[str, ...]]
) -> None:
    result = dict(old)
    for change in package_changes(old, new):
        assert result.pop(change.package, ()) == change.old
        if change.new:
            result[change.package] = change.new
    assert result == new
    assert [(c.package, c.new, c.old) for c in package_changes(old, new)] == [
        (c.package, c.old, c.new) for c in package_changes(new, old)
    ]
