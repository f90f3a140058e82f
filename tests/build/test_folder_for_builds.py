"""Where builds from source work: where the user that root's builds run as can get to."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from envman.build.generation_builder import folder_for_builds


def test_root_builds_where_other_users_can_get_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sandbox shows it to them wherever it is; here there is none."""
    tmp_path.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    with folder_for_builds(tmp_path / "sources") as folder:
        is_there = folder == tmp_path / "sources"
        assert is_there == (os.geteuid() != 0)
        assert folder.stat().st_mode & 0o777 == 0o755
    assert not folder.exists()
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        closed = any(not above.stat().st_mode & 0o001 for above in (Path(name), *Path(name).parents))
        with folder_for_builds(Path(name, "sources")) as folder:
            assert (folder == Path(name, "sources")) == (os.geteuid() != 0 or not closed)
