"""What an image of environments says of itself, in its labels, and how two of them differ. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from envman.errors import ImageError, Problem

ENVIRONMENTS = "envman.environments"
VERSION = "envman.version"
BASE_DIGEST = "org.opencontainers.image.base.digest"


@dataclass(frozen=True)
class EnvironmentLabels:
    """An environment of an image: its generation, its lock's digest, its Python, its packages' versions."""

    generation: str
    lock: str
    python: str
    packages: Mapping[str, str]


@dataclass(frozen=True)
class ImageLabels:
    """An image of environments; `base` is the digest of the image below."""

    base: str
    envman: str
    environments: Mapping[str, EnvironmentLabels]

    def labels(self) -> dict[str, str]:
        """The facts as labels of an image's configuration."""
        environments = {name: asdict(facts) for name, facts in sorted(self.environments.items())}
        said = json.dumps(environments, separators=(",", ":"), sort_keys=True)
        return {BASE_DIGEST: self.base, VERSION: self.envman, ENVIRONMENTS: said}


def facts_of(config: Mapping[str, Any], where: str) -> ImageLabels:
    """The facts in an image's configuration; raises ImageError where envman has not made it."""
    labels = (config.get("config") or {}).get("Labels") or {}
    try:
        environments = {
            str(name): EnvironmentLabels(**facts) for name, facts in json.loads(labels[ENVIRONMENTS]).items()
        }
        return ImageLabels(str(labels[BASE_DIGEST]), str(labels[VERSION]), environments)
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        what = "does not say which environments it holds: envman has not made it"
        raise ImageError(Problem(where, what, "Name an image that envman image build has made.")) from None


@dataclass(frozen=True)
class LabelChange:
    """One thing that two images differ in; `environment` is empty where it is the image's. '' is nothing."""

    environment: str
    what: str
    old: str
    new: str


def changes(old: ImageLabels, new: ImageLabels) -> Iterator[LabelChange]:
    """What differs, the image's own first, then environment by environment, sorted by name."""
    yield from _differing("", [("base", old.base, new.base), ("envman", old.envman, new.envman)])
    for name in sorted(old.environments.keys() | new.environments.keys()):
        before, after = old.environments.get(name), new.environments.get(name)
        if before is None or after is None:
            yield LabelChange(name, "environment", "there" if before else "", "there" if after else "")
            continue
        own = ("generation", "lock", "python")
        yield from _differing(name, [(key, getattr(before, key), getattr(after, key)) for key in own])
        packages = sorted(before.packages.keys() | after.packages.keys())
        yield from _differing(
            name, [(key, before.packages.get(key, ""), after.packages.get(key, "")) for key in packages]
        )


def _differing(environment: str, values: Iterable[tuple[str, str, str]]) -> Iterator[LabelChange]:
    return (LabelChange(environment, what, old, new) for what, old, new in values if old != new)
