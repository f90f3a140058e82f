"""Releases and hosts' records as values."""

from __future__ import annotations

import copy
import json
import random
from dataclasses import asdict, replace
from typing import Any

import pytest

from envman.errors import ImageError
from envman.image.oci_values import LAYER_GZIP, Descriptor, canonical, digest_of
from envman.release.document import (
    ARTIFACT,
    DOCUMENT,
    PAGE,
    Abi,
    HostRecord,
    Release,
    Released,
    is_host_tag,
    page_manifest,
    pages_of,
    parse_front,
    parse_host_record,
    parse_release,
    parse_release_index,
    release_index,
)
from tests.release_edits import HOSTILE_VALUES, json_text

LAYERS = [Descriptor(LAYER_GZIP, digest_of(bytes([number])), number + 1) for number in range(100)]
ABI = Abi("cp312", "glibc 2.36", "linux-x86_64")


def release() -> Release:
    pages = {
        digest_of(page_manifest(page)): {one.digest: one.size for one in page} for page in pages_of(LAYERS)
    }
    one = Released("0123456789ab", "{}", "", ABI, tuple(layer.digest for layer in LAYERS[:5]))
    return Release("/venv", "table", "", {"env_a": one}, pages)


def test_what_was_written_is_read() -> None:
    found = release()
    assert parse_release(found.to_json(), "x") == found
    assert found.layers() == {one.digest: one for one in LAYERS}


def test_pages_are_small_and_have_each_layer_once() -> None:
    pages = pages_of(reversed(LAYERS))
    assert pages == pages_of(LAYERS)
    assert [len(page) for page in pages] == [PAGE, PAGE, 100 - 2 * PAGE]
    assert {one.digest for page in pages for one in page} == {one.digest for one in LAYERS}


def test_an_index_leads_to_the_document() -> None:
    document = Descriptor(DOCUMENT, digest_of(b"x"), 1)
    front = page_manifest([document], ARTIFACT)
    index = release_index(front, [page_manifest(page) for page in pages_of(LAYERS)])
    assert b"artifactType" not in index  # skopeo 1.9 would write it anew, without
    found = parse_release_index(index, "x")
    assert (found.digest, found.size) == (digest_of(front), len(front))
    assert parse_front(front, "x") == document
    with pytest.raises(ImageError, match="an artifact of another type"):
        parse_front(page_manifest(LAYERS[:1]).replace(b"envman.release", b"other"), "x")


def mutated(data: Any, chance: random.Random) -> Any:
    changed = copy.deepcopy(data)
    inner = changed
    while True:
        key = chance.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
        if not isinstance(inner[key], (dict, list)) or not inner[key] or chance.random() < 0.2:
            break
        inner = inner[key]
    plain = ("", "x", "/x", 0, -1, 1.5, None, True, [], {}, [[]], {"x": 1}, "é" * 3)
    inner[key] = chance.choice(plain + HOSTILE_VALUES)
    return changed


def test_mutated_documents_are_read_or_refused() -> None:
    chance = random.Random(20261128)
    front = page_manifest([Descriptor(DOCUMENT, digest_of(b"x"), 1)], ARTIFACT)
    record = host_record().to_manifest()
    index = release_index(front, [])
    refused: list[str] = []
    for text, parse in (
        (release().to_json(), parse_release),
        (front, parse_front),
        (index, parse_release_index),
        (record, lambda text, where: parse_host_record(text, host_record().tag, where)),
        (canonical(asdict(host_record())), recorded),
    ):
        for _ in range(1000):
            try:
                found = parse(json_text(mutated(json.loads(text), chance)), "x")
                json.dumps(asdict(found), ensure_ascii=False, allow_nan=False).encode()
            except ImageError as error:
                refused.append(error.problems[0].what)
    assert len(refused) > 3000
    assert all(refused)


def test_a_page_has_the_digest_of_its_layers() -> None:
    """By a page that names more, skopeo would fetch more than the document lists."""
    found = release()
    (first, layers), *others = found.pages.items()
    fewer = dict(list(layers.items())[5:])
    for pages in ({first: {**layers, digest_of(b"x"): 9}}, {first: fewer}, {digest_of(b""): layers}):
        changed = replace(found, pages={**pages, **dict(others)})
        with pytest.raises(ImageError, match=r"does not name the layers|in no page"):
            parse_release(changed.to_json(), "x")


HOST = HostRecord(
    "vm a/ü", "/venv", "2026-11-28T04:21:22+00:00", digest_of(b"x"), {"env_a": "0123456789ab", "env_b": ""}
)


def host_record(**changes: Any) -> HostRecord:
    return replace(HOST, **changes)


def recorded(said: bytes, where: str) -> HostRecord:
    """Read a record by what it says."""
    data = json.loads(host_record().to_manifest())
    data["annotations"]["io.envman.host"] = said.decode()
    return parse_host_record(json.dumps(data).encode(), host_record().tag, where)


def test_a_hosts_record_has_no_more_than_it_says() -> None:
    assert parse_host_record(HOST.to_manifest(), HOST.tag, "x") == HOST
    assert HOST.tag.startswith("host-vm-a---")
    assert is_host_tag(HOST.tag)
    other = HostRecord("vm-a--", "/venv", "", "", {})
    assert (other.tag, HOST.tag == other.tag) == ("host-vm-a--", False)
    assert not is_host_tag("stable")


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"host": "\x1b[2J"}, "can be shown"),
        ({"root": "/\x07"}, "can be shown"),
        ({"host": "x" * 1000}, "can be shown"),
        ({"at": "yesterday"}, "and when"),
        ({"at": "2026-11-28T04:21:22+00:00 or so"}, "and when"),
        ({"release": "sha256:x"}, "what was pulled"),
        ({"environments": {"../x": "0123456789ab"}}, r"environment '\.\./x'"),
        ({"environments": {"env_a": "newest"}}, "'newest' is not the name of a generation"),
        ({"environments": {"env_a": None}}, "can be shown"),
    ],
)
def test_a_record_of_what_no_host_has_is_refused(changes: dict[str, Any], part: str) -> None:
    record = host_record(**changes)
    with pytest.raises(ImageError, match=part):
        parse_host_record(record.to_manifest(), record.tag, "x")


def test_a_record_stands_under_its_own_hosts_tag() -> None:
    with pytest.raises(ImageError, match="is the record of vm") as caught:
        parse_host_record(HOST.to_manifest(), "host-zzz", "x")
    assert "Find out who has pushed it" in caught.value.problems[0].remedy


def test_a_release_whose_tag_is_like_that_of_a_host_is_not_to_be_removed() -> None:
    with pytest.raises(ImageError, match="something else") as caught:
        parse_host_record(release_index(page_manifest(LAYERS[:1]), []), "host-2026", "x")
    assert "give it a tag that does not begin with host-" in caught.value.problems[0].remedy
