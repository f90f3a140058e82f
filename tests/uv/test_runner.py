"""What uv itself says."""

from __future__ import annotations

from pathlib import Path

import pytest

from envman.system.processes import Processes
from envman.uv.runner import Source, Uv


def test_uv_says_where_its_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    assert Uv(Processes(), Source()).cache_folder() == tmp_path / "cache"
