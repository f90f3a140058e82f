"""The interpreters that tests need of the machine, besides the one that runs them."""

from __future__ import annotations

import functools
import os
import sys

import pytest

from envman.build.interpreters import discover
from envman.errors import BuildError

OWN = f"{sys.version_info.major}.{sys.version_info.minor}"
"""The Python that runs the tests."""

OTHERS = ("3.10", "3.13")
"""The oldest Python that environments may have, and one that is newer than the components'."""

MINORS = (OWN, *(minor for minor in OTHERS if minor != OWN))
"""What tests that hold for the Pythons of all teams run on."""


@functools.cache
def interpreter(minor: str) -> str:
    """The real path of this machine's interpreter of a minor version, such as 3.13.

    It knows nothing of envman. A test that needs one that isn't there fails, and only that test.
    """
    if minor == OWN:
        return os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    try:
        return discover(None, os.environ).choose("a test's", f"=={minor}.*").executable
    except BuildError as error:
        pytest.fail(f"this test needs CPython {minor}, on PATH, pyenv's or uv's: {error}", pytrace=False)
