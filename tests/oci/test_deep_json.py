"""JSON that is nested without end, or whose numbers are: a sentence wherever envman reads some."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from envman.deployment.gathering import _importers
from envman.errors import EnvmanError
from envman.image.labels import ENVIRONMENTS, facts_of
from envman.image.oci_values import parse_config, parse_manifest
from envman.image.referrers import parse_index
from envman.launch.airflow_configuration import _entries
from envman.oci.bases import _for_this_machine
from envman.oci.image_layout import Layout
from envman.packages.audit_report import parse_report
from envman.store.folder import Store
from envman.store.manifest import parse_manifest as parse_generation
from envman.store.root import LARGEST_PROJECT, find_root

TEXTS = ["[" * 100_000, '{"a":' * 100_000, "9" * 5000, "null", "[]", '"x"', "[[]]", "{}"]


def names(text: str, folder: Path) -> object:
    layout = Layout(folder / "layout")
    (folder / "layout/index.json").write_text(text)
    return layout.names()


def history(text: str, folder: Path) -> object:
    (folder / ".state").mkdir()
    (folder / ".state/env_a.history").write_text(text)
    return Store(str(folder)).history("env_a")


READERS: dict[str, Callable[[str, Path], object]] = {
    "manifest of an image": lambda text, _: parse_manifest(text.encode(), "it"),
    "configuration of an image": lambda text, _: parse_config(text.encode(), "it"),
    "referrers": lambda text, _: parse_index(text.encode(), "it"),
    "labels": lambda text, _: facts_of({"config": {"Labels": {ENVIRONMENTS: text}}}, "it"),
    "names of a layout": names,
    "history": history,
    "manifest": lambda text, _: parse_generation(text, "it"),
    "report": lambda text, _: parse_report(text, []),
    "bundles": lambda text, _: _entries(f"[{text}]", "it"),
}


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
@pytest.mark.parametrize("what", READERS)
def test_it_is_refused(tmp_path: Path, what: str, text: str) -> None:
    with pytest.raises(EnvmanError) as caught:
        READERS[what](text, tmp_path)
    assert all(problem.remedy for problem in caught.value.problems)


@pytest.mark.parametrize("text", TEXTS[:3], ids=range(3))
def test_what_may_be_anything_else_is_refused_where_it_has_no_end(text: str) -> None:
    for read in (lambda: _importers(text), lambda: _for_this_machine(text.encode(), "it")):
        with pytest.raises(EnvmanError):
            read()


def test_a_project_file_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "envman.toml").write_text("#" * (LARGEST_PROJECT + 1))
    with pytest.raises(EnvmanError, match="has more than 1048576 characters"):
        find_root({}, None, str(tmp_path))
