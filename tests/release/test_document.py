"""Releases and hosts' records as values."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import pytest

from envman.errors import ImageError
from envman.image.oci_values import LAYER_GZIP, Descriptor, digest_of
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
    inner[key] = chance.choice(["", "x", "/x", 0, -1, 1.5, None, True, [], {}, [[]], {"x": 1}, "é" * 3])
    return changed


def test_mutated_documents_are_read_or_refused() -> None:
    chance = random.Random(20261128)
    front = page_manifest([Descriptor(DOCUMENT, digest_of(b"x"), 1)], ARTIFACT)
    record = HostRecord("vm_a", "/venv", "2026", "sha256:x", {"env_a": "0123456789ab"}).to_manifest()
    index = release_index(front, [])
    refused: list[str] = []
    for text, parse in (
        (release().to_json(), parse_release),
        (front, parse_front),
        (index, parse_release_index),
        (record, parse_host_record),
    ):
        for _ in range(2000):
            try:
                parse(json.dumps(mutated(json.loads(text), chance)).encode(), "x")
            except ImageError as error:
                refused.append(error.problems[0].what)
    assert len(refused) > 4000
    assert all(refused)


def test_a_hosts_record_has_no_more_than_it_says() -> None:
    record = HostRecord("vm a/ü", "/venv", "2026-11-28T04:21:22+00:00", "sha256:x", {"env_a": "0123456789ab"})
    assert parse_host_record(record.to_manifest(), "x") == record
    assert record.tag.startswith("host-vm-a---")
    assert is_host_tag(record.tag)
    with pytest.raises(ImageError, match="can be shown"):
        parse_host_record(HostRecord("\x1b[2J", "/venv", "", "", {}).to_manifest(), "x")
    other = HostRecord("vm-a--", "/venv", "", "", {})
    assert (other.tag, record.tag == other.tag) == ("host-vm-a--", False)
    assert not is_host_tag("stable")
