from __future__ import annotations

from pathlib import Path

import pytest

from envman.airflow import upstream
from envman.airflow.upstream import NAMES, Upstream

COMPONENTS = {"all", "dag-processor", "worker", "triggerer", "check"}


def test_every_name_stands_there_once_with_its_reason() -> None:
    assert len({str(one) for one in NAMES}) == len(NAMES)
    for one in NAMES:
        assert one.component in COMPONENTS, one
        assert one.module.split(".")[0] == "airflow", one
        assert all(part.isidentifier() for part in f"{one.module}.{one.name}".split(".")), one
        assert one.why, one
        assert not one.why.endswith("."), one


def test_every_component_replaces_something() -> None:
    assert {one.component for one in NAMES if one.replaced} >= COMPONENTS - {"all", "check"}


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
    )
    monkeypatch.setattr(upstream, "NAMES", names)
    assert [str(one) for one in upstream.missing("worker")] == [f"{stand_in}.Gone", f"{stand_in}.Made.gone"]
    assert [one.name for one in upstream.missing("triggerer")] == ["Gone", "lost"]
    assert [one.name for one in upstream.missing("dag-processor")] == ["Gone"]


def test_without_airflow_all_of_it_is_missing() -> None:
    """Where Airflow is installed, tests/e2e ask it."""
    everything = {str(one) for component in COMPONENTS for one in upstream.missing(component)}
    assert everything == {str(one) for one in NAMES}
