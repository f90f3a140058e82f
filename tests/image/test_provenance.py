from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from envman.image.provenance import BaseImage, Builder, Ingredient, Run, Subject, provenance

ONE, TWO, THREE = (f"sha256:{digit * 64}" for digit in "123")
IMAGE = Subject("registry.company.example/team/image_a", ONE)
BASE = BaseImage("registry.company.example:5000/library/debian:12", TWO)
ENV_A = Ingredient("env_a", "3f9c2a7b10de", THREE, ONE, "environments/env_a.lock", TWO)
ENV_B = replace(ENV_A, environment="env_b", lock_file="environments/env_b.lock")
BUILDER = Builder({"uv": "0.9.1", "envman": "0.1.0", "virtualenv": "21.0", "compressor": "libdeflate"})


def statement(**changes: Any) -> Any:
    arguments = {"image": IMAGE, "environments": [ENV_A], "base": BASE, "builder": BUILDER, **changes}
    return json.loads(provenance(**arguments))


def test_it_is_an_in_toto_statement_with_an_slsa_predicate() -> None:
    found = statement()
    assert set(found) == {"_type", "subject", "predicateType", "predicate"}
    assert found["_type"] == "https://in-toto.io/Statement/v1"
    assert found["predicateType"] == "https://slsa.dev/provenance/v1"
    assert found["subject"] == [{"name": IMAGE.name, "digest": {"sha256": "1" * 64}}]
    assert set(found["predicate"]) == {"buildDefinition", "runDetails"}
    definition = found["predicate"]["buildDefinition"]
    assert definition["buildType"].startswith("https://")
    assert definition["externalParameters"] == {
        "environments": {"env_a": {"generation": "3f9c2a7b10de", "lock": ONE, "spec": THREE}},
        "base": {"reference": BASE.reference, "digest": TWO},
    }
    assert definition["resolvedDependencies"] == [
        {
            "name": "base",
            "digest": {"sha256": "2" * 64},
            "uri": f"pkg:oci/debian@sha256%3A{'2' * 64}"
            "?repository_url=registry.company.example:5000/library/debian&tag=12",
        },
        {"name": "environments/env_a.lock", "digest": {"sha256": "2" * 64}},
    ]
    details = found["predicate"]["runDetails"]
    assert details == {"builder": {"id": "https://envman.dev/envman", "version": dict(BUILDER.versions)}}


def test_the_order_in_which_things_are_given_does_not_matter() -> None:
    backwards = Builder(dict(reversed(BUILDER.versions.items())))
    assert provenance(IMAGE, [ENV_A, ENV_B], BASE, BUILDER) == provenance(
        IMAGE, [ENV_B, ENV_A], BASE, backwards
    )
    assert provenance(IMAGE, [ENV_A], BASE, BUILDER) != provenance(IMAGE, [ENV_B], BASE, BUILDER)


def test_what_is_not_given_is_not_said() -> None:
    run = Run(invocation="https://ci.company.example/job/1", started="2026-11-23T09:00:00Z")
    metadata = statement(run=run)["predicate"]["runDetails"]["metadata"]
    assert metadata == {"invocationId": run.invocation, "startedOn": run.started}


def test_a_base_that_is_a_file_has_no_address() -> None:
    local = BaseImage("oci:base", TWO, registry=False)
    dependency = statement(base=local)["predicate"]["buildDefinition"]["resolvedDependencies"][0]
    assert dependency == {"name": "base", "digest": {"sha256": "2" * 64}}


def test_a_base_by_its_digest_alone_has_no_tag() -> None:
    pinned = BaseImage(f"debian@{TWO}", TWO)
    dependency = statement(base=pinned)["predicate"]["buildDefinition"]["resolvedDependencies"][0]
    assert dependency["uri"] == f"pkg:oci/debian@sha256%3A{'2' * 64}?repository_url=debian"
