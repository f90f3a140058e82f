from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

from envman.airflow import upstream
from envman.airflow.upstream import NAMES, OVERRIDDEN, REPEATED, REPLACED, USED, Upstream
from tests.airflow import names_in_use
from tests.airflow.names_in_use import House

COMPONENTS = {"all", "dag-processor", "worker", "triggerer", "standalone", "doctor", "check"}


def test_every_name_stands_there_once_with_its_reason() -> None:
    assert len({str(one) for one in NAMES}) == len(NAMES)
    for one in NAMES:
        assert one.component in COMPONENTS, one
        assert one.module.split(".")[0] == "airflow", one
        assert all(part.isidentifier() for part in str(one).split(".")), one
        assert one.why, one
        assert not one.why.endswith("."), one
        assert not one.without.endswith("."), one


def test_every_component_replaces_something() -> None:
    replaced = {one.component for one in NAMES if one.how == REPLACED}
    assert replaced >= COMPONENTS - {"all", "doctor", "check"}
    assert {one.how for one in NAMES} == {USED, OVERRIDDEN, REPLACED, REPEATED}


# held against envman's own source

PUBLIC = {
    "airflow.__main__.main": "the command `airflow`",
    "airflow.exceptions.AirflowException": "what Dags' code expects of Airflow",
    "airflow.plugins": "the entry points of packages' plugins",
    "airflow.configuration.conf": "how plugins and Dags read the configuration",
    "airflow.dag_processing.bundles.local.LocalDagBundle": "stands in deployments' configuration",
    "airflow.cfg": "the name of its configuration's file",
    "airflow.policies.hookimpl": "cluster policies",
    "airflow.policy": "the entry points of packages' cluster policies",
    "airflow.dag_processing.dagbag.DagBag": "what tests of Dags load them by; `airflow.models.DagBag`, too",
    "airflow.sdk.execution_time.execute_workload": "stands in pods' arguments",
}
"""Names of Airflow's that are documented, or stand in the configuration of deployments."""

OF_PYTHON = {"_exit"}
"""Private by their looks alone: `os._exit`."""


def covers(listed: str, used: str) -> bool:
    """Whether a listed name is the used one, something of it, or an attribute that more is asked of."""
    is_of_a_class = listed.split(".")[-2][:1].isupper()
    return (
        listed == used or listed.startswith(f"{used}.") or (is_of_a_class and used.startswith(f"{listed}."))
    )


def is_listed(used: str) -> bool:
    return any(covers(str(one), used.removesuffix(".model_fields")) for one in NAMES)  # that is pydantic's


def is_public(used: str) -> bool:
    providers = used.startswith("airflow.providers.")
    return providers or any(used == one or used.startswith(f"{one}.") for one in PUBLIC)


@functools.cache
def house() -> House:
    """Envman's own source."""
    return House()


def test_every_name_that_is_used_stands_there() -> None:
    """A private name in envman's source that is not in the list is one that nobody looks for at the start."""
    unlisted = {
        used: sorted(users)
        for used, users in house().names().items()
        if users != {"envman.airflow.upstream"} and not is_listed(used) and not is_public(used)
    }
    assert unlisted == {}, "List them in envman/airflow/upstream.py, with the reason, or as public here"


def test_what_classes_inherit_stands_there() -> None:
    names = {str(one) for one in NAMES}
    unlisted = {
        f"{own.name}: {name} of {' or '.join(bases)}"
        for own, name, bases in house().inherited()
        if not any(f"{base}.{name}" in names for base in bases)
    }
    assert unlisted == set(), "List them in envman/airflow/upstream.py, with the reason"


def test_what_is_private_stands_there_whoever_is_asked_for_it() -> None:
    listed = {str(one).rpartition(".")[2] for one in NAMES} | OF_PYTHON
    assert {(module, name) for module, name in house().privates() if name not in listed} == set()


def test_what_is_overridden_is_said_to_be() -> None:
    in_classes = {f"{base}.{name}" for _, name, bases in house().overridden() for base in bases}
    for one in NAMES:
        if one.how in {USED, OVERRIDDEN}:
            assert (str(one) in in_classes) == (one.how == OVERRIDDEN), one


def test_what_is_listed_is_used() -> None:
    """But for what is repeated, which need not be there."""
    found = {name for name, users in house().names().items() if users != {"envman.airflow.upstream"}}
    found |= {f"{base}.{name}" for _, name, bases in house().inherited() for base in bases}
    found |= {f"{base}.{name}" for _, name, bases in house().overridden() for base in bases}
    attributes = {
        node.attr
        for module in house().modules
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute)
    }
    for one in NAMES:
        is_used = any(name == str(one) or name.startswith(f"{one}.") for name in found)
        assert one.how == REPEATED or is_used or one.name.rpartition(".")[2] in attributes, one


SCANNED = """
from airflow.models import trigger as rows
from airflow.sdk.thing import Base, helper
import airflow.deep.one

WORD = "_said"

class Own(Base):
    given = 1
    def method(self):
        self.set_here = 2
        super().method()
        return self.given, self.asked_for, self._Own__private

def function(process):
    helper("airflow.named.module", getattr(rows, WORD), hasattr(rows, "there"))
    return rows.Trigger.submit(process._hidden)
"""


def test_names_are_found_in_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "envman/airflow"
    folder.mkdir(parents=True)
    (folder / "one.py").write_text(SCANNED)
    monkeypatch.setattr(names_in_use, "HOUSE", tmp_path / "envman")
    scanned = House(["airflow"])
    assert set(scanned.names()) == {
        *("airflow.models.trigger", "airflow.sdk.thing.Base", "airflow.sdk.thing.helper"),
        *("airflow.deep.one", "airflow.named.module", "airflow.models.trigger._said"),
        *("airflow.models.trigger.there", "airflow.models.trigger.Trigger"),
        "airflow.models.trigger.Trigger.submit",
    }
    asked = {(own.name, name, *bases) for own, name, bases in scanned.inherited()}
    own = ("envman.airflow.one.Own",)
    assert asked == {
        (*own, "method", "airflow.sdk.thing.Base"),
        (*own, "set_here", "airflow.sdk.thing.Base"),
        (*own, "asked_for", "airflow.sdk.thing.Base"),
        (*own, "_Own__private", "airflow.sdk.thing.Base"),
    }
    assert ("envman.airflow.one", "_hidden") in set(scanned.privates())


# held against an Airflow


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the place of one of Airflow's."""
    folder = tmp_path / "stand_in_for_airflow"
    folder.mkdir()
    (folder / "__init__.py").touch()
    text = "class Made:\n    declared: int\n    given = 1\n\n    class Inner:\n        deep = 2\n\n\nnothing = None\n"
    (folder / "models.py").write_text(text)
    (folder / "broken.py").write_text("import a_module_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    return f"{folder.name}.models"


@pytest.mark.parametrize(
    ("name", "is_there"),
    [
        ("Made", True),
        ("Made.given", True),
        ("Made.declared", True),
        ("Made.Inner.deep", True),
        ("nothing", True),
        ("nothing.more", False),
        ("Made.gone", False),
        ("Made.Inner.given", False),
        ("", True),
        ("made", False),
        ("Gone.given", False),
    ],
)
def test_a_name_is_there_or_not(stand_in: str, name: str, is_there: bool) -> None:
    assert Upstream("all", stand_in, name, "a reason").is_there() is is_there


def test_a_name_of_a_module_that_is_gone_or_broken_is_not_there(stand_in: str) -> None:
    for module in (f"{stand_in}.deeper", stand_in.replace("models", "broken"), "no_such_module_at_all"):
        assert not Upstream("all", module, "Made", "a reason").is_there()


def test_a_component_misses_its_own_names_and_everybodys(
    stand_in: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = (
        Upstream("all", stand_in, "Made", "is there"),
        Upstream("all", stand_in, "Gone", "for all"),
        Upstream("worker", stand_in, "Made.gone", "for the worker"),
        Upstream("triggerer", stand_in, "lost", "for the triggerer"),
        Upstream("all", stand_in, "optional", "better with it", USED, "something else"),
        Upstream("all", stand_in, "elsewhere", "done here, too", REPEATED),
    )
    monkeypatch.setattr(upstream, "NAMES", names)
    assert [str(one) for one in upstream.missing("worker")] == [f"{stand_in}.Gone", f"{stand_in}.Made.gone"]
    assert [one.name for one in upstream.missing("triggerer")] == ["Gone", "lost"]
    assert [one.name for one in upstream.missing("dag-processor")] == ["Gone"]


def test_without_airflow_all_of_it_is_missing() -> None:
    """Where Airflow is installed, tests/e2e ask it."""
    everything = {str(one) for component in COMPONENTS for one in upstream.missing(component)}
    assert everything == {str(one) for one in NAMES if one.is_needed()}
