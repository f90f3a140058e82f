"""The locks of two revisions as values: what changed in which environment, and which one has a new name."""

from __future__ import annotations

from envman.lock.comparison import EnvironmentStatus, compare_locks
from envman.lock.lockfile import Lock, Pin


def lock(*pins: str, digest: str = "a", python: str = "3.12") -> Lock:
    parts = [pin.partition("==") for pin in pins]
    hashes = (f"sha256:{digest * 64}",)
    return Lock(
        "", {"requires-python": python}, tuple(Pin(name, version, "", hashes) for name, _, version in parts)
    )


def test_an_environment_is_unchanged_changed_added_or_removed() -> None:
    old = {"same": lock("a==1"), "other": lock("a==1", "b==1"), "gone": lock("c==1")}
    new = {"same": lock("a==1"), "other": lock("a==2", "b==1", python="3.13"), "new": lock("d==1")}
    found = {one.environment: one for one in compare_locks(old, new)}
    assert {name: one.status.value for name, one in found.items()} == {
        "same": "unchanged",
        "other": "changed",
        "gone": "removed",
        "new": "added",
    }
    assert [(one.package, one.old, one.new) for one in found["other"].packages] == [("a", ("1",), ("2",))]
    assert found["other"].inputs == ("requires-python changed",)
    assert [(one.package, one.old, one.new) for one in found["gone"].packages] == [("c", ("1",), ())]


def test_a_renamed_environment_is_found_by_its_packages_each_once() -> None:
    old = {"a": lock("x==1", "y==1", "z==1"), "b": lock("p==1")}
    new = {"c": lock("x==1", "y==1", "z==2"), "d": lock("x==1", "y==1", "z==1"), "e": lock("q==1")}
    found = {one.environment: (one.before, one.status) for one in compare_locks(old, new)}
    assert found["d"] == ("a", EnvironmentStatus.RENAMED)
    assert found["c"] == ("", EnvironmentStatus.ADDED)
    assert found["e"] == ("", EnvironmentStatus.ADDED)
    assert found["b"] == ("b", EnvironmentStatus.REMOVED)


def test_hashes_that_were_replaced_are_told_and_those_that_came_are_not() -> None:
    before = lock("a==1")
    more = Lock("", before.inputs, (Pin("a", "1", "", (*before.pins[0].hashes, "sha256:" + "b" * 64)),))
    assert compare_locks({"e": before}, {"e": more})[0].replaced == ()
    assert compare_locks({"e": before}, {"e": more})[0].status is EnvironmentStatus.UNCHANGED
    swapped = compare_locks({"e": before}, {"e": lock("a==1", digest="c")})[0]
    assert (swapped.replaced, swapped.status) == (("a",), EnvironmentStatus.CHANGED)


def test_of_an_older_lock_that_can_not_be_read_nothing_is_claimed() -> None:
    found = compare_locks({}, {"e": lock("a==1")}, unreadable=["e"])
    assert [(one.environment, one.status, one.packages) for one in found] == [
        ("e", EnvironmentStatus.UNREADABLE, ())
    ]
