from __future__ import annotations

import pytest

from envman.errors import ImageError
from envman.image.labels import EnvironmentLabels, ImageLabels, LabelChange, changes, facts_of


def environment(**packages: str) -> EnvironmentLabels:
    return EnvironmentLabels("3f9c2a7b10de", "sha256:1", "3.12.1", packages)


def image(**environments: EnvironmentLabels) -> ImageLabels:
    return ImageLabels("sha256:b", "0.1.0", environments)


def test_an_image_says_of_itself_what_it_was_told() -> None:
    facts = image(env_a=environment(pandas="1.5.3"), env_b=environment(pandas="2.2.3"))
    assert facts_of({"config": {"Labels": facts.labels()}}, "image_a") == facts


@pytest.mark.parametrize(
    "config",
    [{}, {"config": None}, {"config": {"Labels": {"envman.environments": "{"}}}, {"config": {"Labels": {}}}],
)
def test_an_image_of_others_says_nothing(config: dict[str, object]) -> None:
    with pytest.raises(ImageError, match="image_a: does not say which environments it holds"):
        facts_of(config, "image_a")


def test_nothing_differs_between_the_same() -> None:
    assert not list(changes(image(env_a=environment(six="1")), image(env_a=environment(six="1"))))


def test_each_difference_is_told() -> None:
    old = image(env_a=environment(six="1", pytz="1"), gone=environment())
    new = ImageLabels(
        "sha256:c",
        "0.2.0",
        {
            "env_a": EnvironmentLabels("2", "sha256:2", "3.12.1", {"six": "2", "tzdata": "1"}),
            "new": environment(),
        },
    )
    assert list(changes(old, new)) == [
        LabelChange("", "base", "sha256:b", "sha256:c"),
        LabelChange("", "envman", "0.1.0", "0.2.0"),
        LabelChange("env_a", "generation", "3f9c2a7b10de", "2"),
        LabelChange("env_a", "lock", "sha256:1", "sha256:2"),
        LabelChange("env_a", "pytz", "1", ""),
        LabelChange("env_a", "six", "1", "2"),
        LabelChange("env_a", "tzdata", "", "1"),
        LabelChange("gone", "environment", "there", ""),
        LabelChange("new", "environment", "", "there"),
    ]
