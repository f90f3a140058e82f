"""What tests of sources share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Deployment


@pytest.fixture
def sdists(tmp_path: Path, deployment: Deployment) -> Path:
    """A folder that is the deployment's second source of files, and tells no hashes."""
    folder = tmp_path / "sdists"
    folder.mkdir()
    deployment.environment |= {
        "UV_FIND_LINKS": str(folder),
        "ENVMAN_CACHE_DIR": str(tmp_path / "envman-cache"),
    }
    return folder
