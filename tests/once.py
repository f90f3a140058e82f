"""What all test processes of a run share: the first that needs it makes it, the others wait for that."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest


def once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], str]) -> str:
    """The text that `make` gave for a new folder, in whichever process of this run it was called.

    A failure is not kept: the next process tries again. What is made has to stay as it is.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    folder = folder / f"once-{name}"
    folder.mkdir(exist_ok=True)
    result = folder / "result"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not result.exists():
            said = make(Path(tempfile.mkdtemp(dir=folder)))
            result.with_suffix(".new").write_text(said, encoding="utf-8")
            result.with_suffix(".new").replace(result)
        return result.read_text(encoding="utf-8")
