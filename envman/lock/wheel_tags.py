"""Which wheels (PEP 425, PEP 600, PEP 656) an interpreter takes, by what it says of itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from packaging.tags import Tag, compatible_tags, cpython_tags

_ABI = re.compile("cp3([0-9]{1,2})[a-z]{0,3}")
_LIBC = re.compile("(glibc|musl) ([0-9]{1,2})[.]([0-9]{1,3})")
_PLATFORM = re.compile("[A-Za-z0-9._-]{1,60}")
_LEGACY = {5: "manylinux1", 12: "manylinux2010", 17: "manylinux2014"}
"""Names of three versions of glibc (PEP 513, PEP 571, PEP 599)."""

_FIRST_GLIBC = 5


def interpreter_tags(text: str) -> frozenset[Tag]:
    """The tags of wheels that an interpreter takes, from what `python_tags.py` has printed in it.

    Raises ValueError for anything else, and for an interpreter that is not CPython 3.
    """
    try:
        facts = json.loads(text)
        abi, libc, platform = (_ABI, _LIBC, _PLATFORM)
        found = abi.fullmatch(facts["abi"]), libc.fullmatch(facts["libc"])
        if found[0] and found[1] and platform.fullmatch(facts["platform"]):
            python = (3, int(found[0][1]))
            version = int(found[1][2]), int(found[1][3])
            platforms = list(_platforms(facts["platform"], found[1][1], version))
            tags = cpython_tags(python, [found[0][0]], platforms)
            return frozenset({*tags, *compatible_tags(python, f"cp3{python[1]}", platforms)})
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    raise ValueError("it does not say which wheels it takes")


def _platforms(platform: str, libc: str, version: tuple[int, int]) -> Iterator[str]:
    system, _, machine = re.sub("[.-]", "_", platform).partition("_")
    if system == "linux":
        for minor in range(version[1], -1, -1):
            if libc == "musl":
                yield f"musllinux_{version[0]}_{minor}_{machine}"
            elif minor >= _FIRST_GLIBC:
                yield f"manylinux_{version[0]}_{minor}_{machine}"
                if minor in _LEGACY:
                    yield f"{_LEGACY[minor]}_{machine}"
    yield f"{system}_{machine}"
