from __future__ import annotations

import json
from dataclasses import replace

import pytest

from envman.errors import ImageError
from envman.image.oci_values import EMPTY, INDEX, MANIFEST, Descriptor, digest_of, parse_manifest
from envman.image.referrers import (
    Document,
    index,
    is_referrers_tag,
    joined,
    parse_index,
    referrer,
    referrers_tag,
)

IMAGE = Descriptor(MANIFEST, f"sha256:{'1' * 64}", 500, {"org.opencontainers.image.ref.name": "team/a:1"})
BILL = Document("env_a.cdx.json", "application/vnd.cyclonedx+json", b"{}\n", {"envman.environment": "env_a"})
NOON = "2026-11-23T12:00:00Z"


def test_a_document_is_a_manifest_about_its_image() -> None:
    made = json.loads(referrer(BILL, IMAGE, NOON).to_json())
    assert made["mediaType"] == MANIFEST
    assert made["artifactType"] == BILL.media_type
    assert made["subject"] == {"mediaType": MANIFEST, "digest": IMAGE.digest, "size": 500}
    assert (made["config"]["mediaType"], made["config"]["size"]) == (EMPTY, 2)
    (layer,) = made["layers"]
    assert (layer["digest"], layer["size"]) == (digest_of(b"{}\n"), 3)
    assert layer["annotations"] == {"org.opencontainers.image.title": "env_a.cdx.json"}
    assert made["annotations"]["envman.environment"] == "env_a"
    parse_manifest(referrer(BILL, IMAGE, NOON).to_json(), "it")


def test_an_index_has_its_type_and_comes_back_as_it_was() -> None:
    listed = [referrer(one, IMAGE, NOON).described() for one in (BILL, replace(BILL, media_type="a/b"))]
    text = index(listed)
    assert json.loads(text)["mediaType"] == INDEX
    assert [one["artifactType"] for one in json.loads(text)["manifests"]] == ["a/b", BILL.media_type]
    assert index(reversed(listed)) == text == index(parse_index(text, "it"))


def test_what_others_have_attached_stays_and_older_ones_of_ours_go() -> None:
    older = referrer(replace(BILL, content=b"old"), IMAGE, "2025-01-01T00:00:00Z").described()
    signature = referrer(Document("s", "application/signature", b"s"), IMAGE, NOON).described()
    other = referrer(replace(BILL, annotations={"envman.environment": "env_b"}), IMAGE, NOON).described()
    ours = referrer(BILL, IMAGE, NOON).described()
    untyped = replace(older, artifact_type="")
    assert joined([ours], [older, untyped, signature, other]) == [ours, signature, other]


def test_their_tag_is_as_the_specification_has_it() -> None:
    assert referrers_tag(IMAGE.digest) == f"sha256-{'1' * 64}"
    assert is_referrers_tag(referrers_tag(IMAGE.digest))
    assert not is_referrers_tag("registry/team/a:1")


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"manifests": [{}]}', b'{"manifests": 3}'])
def test_what_is_no_index_is_told(text: bytes) -> None:
    with pytest.raises(ImageError, match="is no index of referrers"):
        parse_index(text, "registry/team/a:sha256-1")
