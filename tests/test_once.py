"""What test processes share is made once, and again where that failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.once import once


def test_it_is_made_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    made: list[Path] = []

    def make(folder: Path) -> str:
        made.append(folder)
        return f"number {len(made)}"

    assert [once(tmp_path_factory, "made-once", make) for _ in range(2)] == ["number 1", "number 1"]
    assert len(made) == 1


def test_a_failure_is_not_kept(tmp_path_factory: pytest.TempPathFactory) -> None:
    def fail(_folder: Path) -> str:
        raise RuntimeError("no luck")

    with pytest.raises(RuntimeError, match="no luck"):
        once(tmp_path_factory, "failing-once", fail)
    assert once(tmp_path_factory, "failing-once", lambda _: "made") == "made"
