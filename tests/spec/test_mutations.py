"""A few of the changed texts that tests/spec/mutations.py makes; thousands are made by hand."""

from __future__ import annotations

import pytest

from tests.spec import mutations


@pytest.mark.parametrize("seed", range(4))
def test_a_changed_text_is_a_value_or_a_sentence(seed: int) -> None:
    counts = mutations.run(120, seed)
    assert sum(counts.values()) == 120
    assert sum(count for what, count in counts.items() if what.endswith("refused")) > 60
