"""How an image came to be: an in-toto Statement v1 with an SLSA provenance v1 predicate. Pure.

The same image, made in the same way, gives the same bytes: times stand in it only where they are given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from envman.image.oci_values import canonical

MEDIA_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "https://envman.dev/image-build/v1"
"""What the parameters mean: `envman image build` with these environments on this base."""

BUILDER = "https://envman.dev/envman"
"""Who built, where no builder of one's own is named: envman, on a machine that it does not vouch for."""


@dataclass(frozen=True)
class Subject:
    """The image: its name, and its manifest's digest (`sha256:…`)."""

    name: str
    digest: str


@dataclass(frozen=True)
class Ingredient:
    """An environment of the image: digests (`sha256:…`) of its spec and of its lock's pins.

    `lock_text` is the digest of the lock as a file, and `lock_file` its path relative to the project.
    """

    environment: str
    generation: str
    spec: str
    lock: str
    lock_file: str
    lock_text: str


@dataclass(frozen=True)
class BaseImage:
    """The base as it was asked for, and the digest that was found there; `registry`: not a file here."""

    reference: str
    digest: str
    registry: bool = True


@dataclass(frozen=True)
class Builder:
    """Who built: a URI, and the versions of what decides the bytes (envman, uv, virtualenv, compressor)."""

    versions: Mapping[str, str]
    identifier: str = BUILDER


@dataclass(frozen=True)
class Run:
    """What is said of one run: times in RFC 3339, and an identifier; empty: not said."""

    invocation: str = ""
    started: str = ""
    finished: str = ""


def provenance(
    image: Subject,
    environments: Sequence[Ingredient],
    base: BaseImage,
    builder: Builder,
    run: Run | None = None,
) -> bytes:
    """The statement as JSON, to be signed and attached to the image (in-toto Statement v1, SLSA v1.0)."""
    ordered = sorted(environments, key=lambda one: one.environment)
    definition = {
        "buildType": BUILD_TYPE,
        "externalParameters": {
            "environments": {
                one.environment: {"generation": one.generation, "lock": one.lock, "spec": one.spec}
                for one in ordered
            },
            "base": {"reference": base.reference, "digest": base.digest},
        },
        "internalParameters": {},
        "resolvedDependencies": [_base(base), *(_lock(one) for one in ordered)],
    }
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": image.name, "digest": _digest(image.digest)}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {"buildDefinition": definition, "runDetails": _details(builder, run or Run())},
    }
    return canonical(statement)


def _base(base: BaseImage) -> dict[str, Any]:
    found: dict[str, Any] = {"name": "base", "digest": _digest(base.digest)}
    if base.registry:
        found["uri"] = _package_url(base)
    return found


def _package_url(base: BaseImage) -> str:
    """A package URL of the type oci: the digest is the version, the tag is said beside it."""
    name = base.reference.partition("@")[0]
    folder, slash, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    qualifiers = {"repository_url": f"{folder}{slash}{last}"} | ({"tag": tag} if tag else {})
    return f"pkg:oci/{last.lower()}@{quote(base.digest, safe='')}?{urlencode(qualifiers, safe='/:')}"


def _lock(one: Ingredient) -> dict[str, Any]:
    return {"name": one.lock_file, "digest": _digest(one.lock_text)}


def _details(builder: Builder, run: Run) -> dict[str, Any]:
    said = {"invocationId": run.invocation, "startedOn": run.started, "finishedOn": run.finished}
    metadata = {key: value for key, value in said.items() if value}
    versions = dict(sorted(builder.versions.items()))
    details: dict[str, Any] = {"builder": {"id": builder.identifier, "version": versions}}
    return details | ({"metadata": metadata} if metadata else {})


def _digest(text: str) -> dict[str, str]:
    algorithm, _, value = text.partition(":")
    return {algorithm: value}
