"""Each supported Airflow's source is the one that envman was written against: read as text, never imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from envman.airflow.upstream import NAMES, OVERRIDDEN
from tests.airflow.names_in_use import House
from tests.upstream.digests import COVERED, changed, digests_of, of_version, recorded
from tests.upstream.sources import VERSIONS, Sources, digest, fetch

pytestmark = pytest.mark.registry

REMEDY = (
    "It is not the source that envman was written against. Read it beside the older one, follow in envman "
    "(`git grep` the name), then run: python -m tests.upstream.digests"
)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Sources]:
    """Each version's source, as its wheels have it."""
    folder = tmp_path_factory.mktemp("upstream")
    return {version: fetch(version, folder / version) for version in VERSIONS}


@pytest.mark.parametrize("version", VERSIONS)
def test_what_envman_leans_on_is_what_it_was(sources: dict[str, Sources], version: str) -> None:
    changes = changed(of_version(recorded(), version), digests_of(sources[version]))
    told = [f"Airflow {version}: {one} {what} ({one.how}: {one.why})" for one, what in changes]
    assert not told, "\n".join([*told, REMEDY])


def test_the_file_holds_each_name_and_no_other() -> None:
    assert list(recorded()) == [str(one) for one in COVERED], "Run: python -m tests.upstream.digests"


@pytest.mark.parametrize("version", VERSIONS)
def test_every_name_that_is_needed_is_there(sources: dict[str, Sources], version: str) -> None:
    needed = [one for one in NAMES if one.is_needed()]
    assert [str(one) for one in needed if not sources[version].find(one.module, one.name)] == []


def test_every_name_is_somewhere(sources: dict[str, Sources]) -> None:
    """One that no supported Airflow has is a leftover."""
    lost = [one for one in NAMES if not any(each.find(one.module, one.name) for each in sources.values())]
    assert [str(one) for one in lost] == []


def test_nothing_is_overridden_by_accident(sources: dict[str, Sources]) -> None:
    """A name that a class of envman's has beside Airflow's is said to be overridden, and that with a reason."""
    said = {str(one) for one in NAMES if one.how == OVERRIDDEN}
    accidents = {
        f"{own.name}.{name} overrides {base}.{name}"
        for own, name, bases in House().overridden()
        for base in bases
        if name != "__init__"
        for each in sources.values()
        if each.find(*base.rsplit(".", 1)[:1], f"{base.rsplit('.', 1)[1]}.{name}")
        if not said & {f"{one}.{name}" for one in bases}
    }
    assert accidents == set()


def test_a_name_is_found_through_imports_and_base_classes(tmp_path: Path) -> None:
    for name, text in {
        "airflow/__init__.py": "",
        "airflow/base.py": "class Base:\n    given: int\n    def does(self): return 1\n",
        "airflow/made.py": "import signal\nfrom airflow import base\nfrom airflow.base import Base as Above\n"
        "class Made(Above):\n    class Inner:\n        deep = 2\nclass Other(base.Base): pass\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    read = Sources(tmp_path)
    there = ("Made.does", "Made.given", "Made.Inner.deep", "Other.does", "Above.does", "signal", "base.Base")
    assert [name for name in there if not read.find("airflow.made", name)] == []
    gone = ("Made.Inner.given", "made", "Made.gone", "Above.gone", "base.gone")
    assert [name for name in gone if read.find("airflow.made", name)] == []
    assert read.find("airflow.gone", "Made") is None


def test_a_digest_sees_what_code_does_and_not_how_it_is_written(tmp_path: Path) -> None:
    texts = {
        "plain": "def f(a):\n    return a + 1\n",
        "worded": 'def f(a: int) -> int:\n    """Words."""\n    # more\n    return (a + 1)\n',
        "other": "def f(a):\n    return a + 2\n",
        "asking": "def f(a, b):\n    return a + 1\n",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.py").write_text(text)
    read = Sources(tmp_path)
    taken = {name: digest(found) for name in texts if (found := read.find(name, "f"))}
    assert taken["plain"] == taken["worded"]
    assert len(set(taken.values())) == 3
