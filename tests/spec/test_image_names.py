from __future__ import annotations

import pytest

from envman.spec.image_names import Reference, filled_in, parse_reference, placeholders

DIGEST = "sha256:" + "3f" * 32


@pytest.mark.parametrize(
    ("text", "transport", "loopback"),
    [
        ("apache/airflow:slim-3.3.2-python3.12", "docker://apache/airflow:slim-3.3.2-python3.12", False),
        ("debian", "docker://debian", False),
        (f"team/image_a@{DIGEST}", f"docker://team/image_a@{DIGEST}", False),
        ("localhost:5000/a:1", "docker://localhost:5000/a:1", True),
        ("127.0.0.1:5000/a:1", "docker://127.0.0.1:5000/a:1", True),
        ("[::1]:5000/a:1", "docker://[::1]:5000/a:1", True),
        ("registry.example:443/a/b__c/d-e:v1", "docker://registry.example:443/a/b__c/d-e:v1", False),
        ("docker://debian:12", "docker://debian:12", False),
        ("oci:bases/debian:12", "oci:bases/debian:12", False),
        ("docker-archive:/tmp/base.tar", "docker-archive:/tmp/base.tar", False),
    ],
)
def test_a_name_is_where_an_image_is(text: str, transport: str, loopback: bool) -> None:
    reference = parse_reference(text)
    assert reference.transport() == transport
    assert reference.is_loopback is loopback
    assert reference.is_local is not transport.startswith("docker://")
    assert parse_reference(str(reference)) == reference


@pytest.mark.parametrize(
    "text",
    ["", "Debian", "debian:", "debian:12:13", "a b", "oci:", "debian@sha256:12", "team//a", "a:" + "x" * 129],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not the name of an image"):
        parse_reference(text)


def test_a_registrys_image_may_be_named_by_its_digest_or_another_tag() -> None:
    image = parse_reference("localhost:5000/team/a:1")
    assert str(image.with_digest(DIGEST)) == f"localhost:5000/team/a@{DIGEST}"
    assert str(image.with_tag("2")) == "localhost:5000/team/a:2"
    assert str(Reference("docker", "debian").with_digest(DIGEST)) == f"debian@{DIGEST}"


def test_placeholders_are_filled_in() -> None:
    template = "team/{environment}:{digest}"
    assert placeholders(template) == {"environment", "digest"}
    assert filled_in(template, {"environment": "env_a", "digest": "3f"}) == "team/env_a:3f"
