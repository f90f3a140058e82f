"""A base's Python that is older than what virtualenv needs, as it is installed beside envman, can run."""

from __future__ import annotations

import platform
from dataclasses import replace
from pathlib import Path

import pytest

from envman.build.interpreters import Interpreters
from envman.build.venv import portable_virtualenv, unfit_for
from envman.errors import BuildError
from envman.oci.bases import Base
from envman.store.manifest import BaseInterpreter
from envman.system.processes import Processes
from envman.usecases.images.base_machine import BaseMachine
from tests.usecases.images.test_foreign_base import MANIFEST, parse_manifest

PYTHON = BaseInterpreter("CPython", platform.python_version(), "linux-x86_64", "/usr/bin/python3", "1-2")
OLD = replace(PYTHON, version="3.7.17")


@pytest.fixture
def machine(tmp_path: Path) -> BaseMachine:
    base = Base("a-base", "sha256:" + "0" * 64, tmp_path, parse_manifest(MANIFEST, "it"), {})
    found = Interpreters((PYTHON, OLD))
    return BaseMachine(base, tmp_path, Processes({}), found, "/virtualenv", tmp_path, links=True)


def test_it_is_refused_with_what_is_too_new_for_it(machine: BaseMachine) -> None:
    assert machine.virtualenv(PYTHON) == ("/usr/bin/python3", "/virtualenv")
    with pytest.raises(BuildError) as caught:
        machine.virtualenv(OLD)
    assert "can't be run by the base's CPython 3.7.17: virtualenv " in str(caught.value)
    assert "such as an installation for Python 3.7 gets" in str(caught.value)


def test_each_part_that_is_too_new_is_named() -> None:
    assert unfit_for(platform.python_version()) == []
    named = {line.split()[0] for line in unfit_for("3.7.17")}
    assert {"virtualenv", "filelock", "platformdirs"} <= named


def test_versions_of_its_parts_have_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = portable_virtualenv(tmp_path)
    assert portable_virtualenv(tmp_path) == first
    monkeypatch.setattr("importlib.metadata.Distribution.version", "0")
    assert portable_virtualenv(tmp_path) != first
