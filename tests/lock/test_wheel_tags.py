"""Which wheels an interpreter takes, and which packages have only a source for it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from packaging.tags import Tag, sys_tags

from envman.inside.protocol import SCRIPTS
from envman.lock.source_only import SourceFile, source_files
from envman.lock.wheel_tags import interpreter_tags


def said(**facts: object) -> str:
    return json.dumps({"abi": "cp312", "libc": "glibc 2.17", "platform": "linux-x86_64", **facts})


def test_of_this_interpreter_they_are_those_that_packaging_has() -> None:
    words = [sys.executable, "-I", "-S", f"{SCRIPTS}/python_tags.py"]
    finished = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    assert interpreter_tags(finished.stdout) == frozenset(sys_tags())


@pytest.mark.parametrize(
    ("facts", "taken", "refused"),
    [
        ({}, "cp312-cp312-manylinux_2_17_x86_64", "cp312-cp312-manylinux_2_28_x86_64"),
        ({}, "cp39-abi3-manylinux2014_x86_64", "cp313-abi3-manylinux2014_x86_64"),
        ({}, "py3-none-any", "py2-none-any"),
        ({"libc": "musl 1.2"}, "cp312-cp312-musllinux_1_2_x86_64", "cp312-cp312-manylinux_2_17_x86_64"),
        ({"abi": "cp313t"}, "cp313-cp313t-linux_x86_64", "cp313-cp313-linux_x86_64"),
        ({"abi": "cp313t"}, "py3-none-any", "cp39-abi3-linux_x86_64"),
        ({"platform": "linux-aarch64"}, "cp312-none-linux_aarch64", "cp312-none-linux_x86_64"),
    ],
)
def test_they_follow_from_what_it_says(facts: dict[str, str], taken: str, refused: str) -> None:
    tags = interpreter_tags(said(**facts))
    assert Tag(*taken.split("-")) in tags
    assert Tag(*refused.split("-")) not in tags


@pytest.mark.parametrize(
    "text",
    ["", "1", "[]", "[" * 99999, said(abi="pypy39"), said(abi=1), said(libc="2"), said(platform="a b"), "{}"],
)
def test_whatever_else_it_says_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="does not say"):
        interpreter_tags(text)


def package(**more: Any) -> dict[str, Any]:
    sdist = {"url": "https://a.example/x-1.tar.gz", "hashes": {"sha256": "ab"}, "size": 7}
    return {"packages": [{"name": "x", "version": "1", "sdist": sdist, **more}]}


def test_a_source_is_taken_where_no_wheel_fits() -> None:
    tags = interpreter_tags(said())
    one = SourceFile("x", "1", "https://a.example/x-1.tar.gz", "ab", 7)
    assert source_files(package(), tags) == (one,)
    assert source_files(package(wheels=[{"url": "https://a.example/x-1-cp313-cp313-win32.whl"}]), tags) == (
        one,
    )
    assert source_files(package(wheels=[{"url": "https://a.example/x-1-py3-none-any.whl"}]), tags) == ()
    assert source_files(package(sdist={}), tags) == ()
    path = package(sdist={"path": "/a b/x-1.tar.gz", "hashes": {"sha256": "ab"}})
    assert source_files(path, tags)[0].url == "file:///a%20b/x-1.tar.gz"
