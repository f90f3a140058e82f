from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envman.spec.inputs import ConstraintSet, InputChange, Inputs, changed_inputs, digest, fingerprint
from tests.strategies import free_text, law, requirements

INPUTS = Inputs(
    environment="env_a",
    requires_python="==3.12.*",
    platforms=("linux-x86_64", "linux-aarch64"),
    airflow_version="3.3.2",
    requirements={"dependencies": ("pandas>=2", "numpy"), "requirements-files r.txt": ("attrs",)},
    constraints=(ConstraintSet("constraints c.txt", None, ("numpy<2", "attrs<20")),),
    overrides=("numpy==1.26.4", "attrs==19"),
)
URL = ConstraintSet("constraints[0]", "https://index.example/c.txt", ("numpy<2",))


def test_a_digest_says_how_it_was_made() -> None:
    assert digest(["a", "b"]) == "sha256:911169ddaaf146aff539f58c26c489af3b892dff0fe283c1c264c65ae5aa59a2"


def test_every_input_has_a_label_of_the_spec() -> None:
    assert list(INPUTS.digests()) == [
        "requires-python",
        "platforms",
        "airflow-version",
        "overrides",
        "dependencies",
        "requirements-files r.txt",
        "constraints c.txt",
    ]


@pytest.mark.parametrize(
    "other",
    [
        {"platforms": ("linux-aarch64", "linux-x86_64")},
        {"overrides": ("attrs==19", "numpy==1.26.4")},
        {"requirements": {"requirements-files r.txt": ("attrs",), "dependencies": ("numpy", "pandas>=2")}},
        {"requirements": {**INPUTS.requirements, "dependencies": ("numpy", "pandas>=2", "numpy")}},
        {"constraints": (ConstraintSet("constraints c.txt", None, ("attrs<20", "numpy<2", "numpy<2")),)},
        {"environment": "env_b"},
    ],
)
def test_order_repeats_and_the_environments_name_decide_nothing(other: dict[str, Any]) -> None:
    assert replace(INPUTS, **other).digests() == INPUTS.digests()


@pytest.mark.parametrize(
    ("other", "label", "change"),
    [
        ({"requires_python": "==3.11.*"}, "requires-python", InputChange.CHANGED),
        ({"platforms": ("linux-x86_64",)}, "platforms", InputChange.CHANGED),
        ({"airflow_version": "3.3.3"}, "airflow-version", InputChange.CHANGED),
        ({"airflow_version": None}, "airflow-version", InputChange.CHANGED),
        ({"overrides": ("numpy==1.26.4",)}, "overrides", InputChange.CHANGED),
        (
            {"requirements": {**INPUTS.requirements, "dependencies": ("pandas",)}},
            "dependencies",
            InputChange.CHANGED,
        ),
        (
            {"requirements": {"dependencies": ("pandas>=2", "numpy")}},
            "requirements-files r.txt",
            InputChange.REMOVED,
        ),
        (
            {"requirements": {**INPUTS.requirements, "pyprojects[0] p": ()}},
            "pyprojects[0] p",
            InputChange.ADDED,
        ),
        ({"constraints": ()}, "constraints c.txt", InputChange.REMOVED),
        (
            {"constraints": (ConstraintSet("constraints c.txt", None, ("numpy<2",)),)},
            "constraints c.txt",
            InputChange.CHANGED,
        ),
    ],
)
def test_any_change_is_named_by_its_label(other: dict[str, Any], label: str, change: InputChange) -> None:
    changed = replace(INPUTS, **other).digests()
    assert changed_inputs(INPUTS.digests(), changed) == [(label, change)]
    assert fingerprint(changed) != fingerprint(INPUTS.digests())


def test_a_change_is_told_as_half_a_sentence() -> None:
    assert [change.value for change in InputChange] == ["was added", "was removed", "changed"]


def test_nothing_changed_is_no_change() -> None:
    assert changed_inputs(INPUTS.digests(), INPUTS.digests()) == []


def test_changes_come_in_the_order_of_their_labels() -> None:
    assert changed_inputs({"b": "1", "c": "1"}, {"a": "1", "c": "2"}) == [
        ("a", InputChange.ADDED),
        ("b", InputChange.REMOVED),
        ("c", InputChange.CHANGED),
    ]


def test_a_url_and_what_it_holds_are_two_inputs() -> None:
    digests = replace(INPUTS, constraints=(URL,)).digests()
    assert {label for label in digests if label.startswith("constraints")} == {
        "constraints[0]",
        "constraints[0] content",
    }


def test_an_unread_url_takes_the_content_that_the_lock_recorded() -> None:
    recorded = replace(INPUTS, constraints=(URL,)).digests()
    unread = replace(INPUTS, constraints=(replace(URL, lines=None),))
    assert unread.digests(fetched=recorded) == recorded
    assert changed_inputs(recorded, unread.digests()) == [("constraints[0] content", InputChange.REMOVED)]


def test_another_url_is_a_change_although_its_content_is_unread() -> None:
    recorded = replace(INPUTS, constraints=(URL,)).digests()
    other = replace(INPUTS, constraints=(replace(URL, url="https://index.example/d.txt", lines=None),))
    assert changed_inputs(recorded, other.digests(fetched=recorded)) == [
        ("constraints[0]", InputChange.CHANGED)
    ]


def test_other_content_behind_the_same_url_is_a_change_of_the_content() -> None:
    recorded = replace(INPUTS, constraints=(URL,)).digests()
    other = replace(INPUTS, constraints=(replace(URL, lines=("numpy<3",)),))
    assert changed_inputs(recorded, other.digests()) == [("constraints[0] content", InputChange.CHANGED)]


lists = st.lists(requirements, max_size=5)


@law
@given(lists, st.randoms(use_true_random=False))
def test_the_fingerprint_does_not_feel_the_order_of_requirements(lines: list[str], random: Any) -> None:
    shuffled = random.sample(lines, len(lines))
    one, other = (
        replace(INPUTS, requirements={"dependencies": tuple(found)}).digests() for found in (lines, shuffled)
    )
    assert fingerprint(one) == fingerprint(other)


@law
@given(lists, lists)
def test_the_fingerprint_feels_every_other_change_of_requirements(
    first: list[str], second: list[str]
) -> None:
    one, other = (
        fingerprint(replace(INPUTS, requirements={"dependencies": tuple(found)}).digests())
        for found in (first, second)
    )
    assert (one == other) == (set(first) == set(second))


@law
@given(st.dictionaries(free_text, st.sampled_from(["sha256:0", "sha256:1"]), max_size=4), st.data())
def test_the_fingerprint_feels_a_change_of_any_input(digests: dict[str, str], data: st.DataObject) -> None:
    changed = dict(digests)
    label = data.draw(st.sampled_from([*digests, "another one of more than twelve characters"]))
    changed[label] = "sha256:2"
    assert fingerprint(changed) != fingerprint(digests)
    assert fingerprint(dict(reversed(digests.items()))) == fingerprint(digests)
