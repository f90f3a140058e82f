"""What a pulled generation keeps of the layers that it came in."""

from __future__ import annotations

import json
import random

import pytest

from envman.release.layer_record import LayerFile, parse_head, parse_record, record_text

FILES = {
    "sha256:aa": (LayerFile("b", "100644", "1" * 64, 3), LayerFile("d/é", "100755", "2" * 64, 0)),
    "sha256:bb": (LayerFile("a", "120777", "3" * 64, 0), LayerFile("c", "40755", "-", 0)),
}
SIZES = {"sha256:aa": 100, "sha256:bb": 50}
LISTING = "".join(
    f"{json.dumps([one.mode, one.digest, one.path])}\n"
    for one in sorted((one for each in FILES.values() for one in each), key=lambda one: one.path)
)


def test_what_was_written_is_read() -> None:
    text = record_text("12-34", SIZES, FILES)
    assert parse_record(text, LISTING) == FILES
    head = parse_head(text.partition("\n")[0])
    assert (head.stamp, head.layers) == ("12-34", SIZES)


def test_a_damaged_record_is_none() -> None:
    chance = random.Random(20261128)
    text = record_text("12-34", SIZES, FILES)
    refused = 0
    for _ in range(3000):
        place = chance.randrange(len(text))
        changed = text[:place] + chance.choice(["", "9", "[", '"', "\n", "null"]) + text[place + 1 :]
        try:
            parse_record(changed, LISTING)
        except ValueError:
            refused += 1
    assert refused > 1500
    with pytest.raises(ValueError, match="not a record"):
        parse_record("", LISTING)
