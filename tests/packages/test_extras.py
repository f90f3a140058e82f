"""Without an extra's library the message says which one to install."""

from __future__ import annotations

import sys

import pytest

from envman.errors import EnvmanError
from envman.packages.bill_of_materials import Contents, bill_of_materials
from envman.packages.license import License
from envman.packages.policy import make_policy
from envman.store.manifest import BaseInterpreter, Manifest

PYTHON = BaseInterpreter("CPython", "3.12.1", "linux-x86_64", "/usr/bin/python3", "")
MANIFEST = Manifest("3f9c2a7b10de", "env_a", "", 0.0, PYTHON, "", "", "", "", "", 0, 0, {}, {})


def test_bills_need_cyclonedx(monkeypatch: pytest.MonkeyPatch) -> None:
    assert bill_of_materials(Contents(MANIFEST, (), ()), 0)
    for module in [name for name in sys.modules if name.partition(".")[0] == "cyclonedx"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "cyclonedx", None)
    with pytest.raises(EnvmanError, match=r"pip install 'envman\[images\]'"):
        bill_of_materials(Contents(MANIFEST, (), ()), 0)


def test_rules_need_license_expression_and_the_list_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "license_expression", None)
    mit = License(("MIT",))
    assert make_policy([], [], [mit]).allows(mit)
    with pytest.raises(EnvmanError, match=r"pip install 'envman\[audit\]'"):
        make_policy(["MIT"], [], [mit])
