"""The hand-written reference pages agree with the code: JSON results, exit codes, manifest, lock, table."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from envman.adoption.todays_versions import Contradiction, Doubt, LeftOut, VersionDifference
from envman.deployment.finding import Level
from envman.deployment.findings import CHECKS
from envman.errors import ExitCode
from envman.image.labels import EnvironmentLabels, ImageLabels, LabelChange
from envman.lock.lockfile import parse_lock
from envman.packages.moved import Moved
from envman.proof.verdicts import (
    NeedlessUse,
    Proof,
    ProofDifference,
    ProvedBundle,
    ProvedFile,
    VersionChange,
)
from envman.resolver.table import Table
from envman.splitting.held_upgrades import HeldUpgrade
from envman.splitting.proposal import ImportedPackage, ProposedEnvironment, UnneededPackage
from envman.splitting.split_units import MixedFolder, SplitUnit
from envman.store.manifest import Manifest
from envman.usecases.adopt_init import AdoptOutcome, ChangedStart
from envman.usecases.adopt_split import SharedModule, SplitOutcome
from envman.usecases.bisect import BisectOutcome, BisectStep
from envman.usecases.build import BuildStatus
from envman.usecases.dag_diff import DagDifference, DagDifferences
from envman.usecases.group import ConflictingLine, GroupedFiles, GroupOutcome, GroupSplit, UnfitFile
from envman.usecases.images.image_catalog import (
    ImageDiffOutcome,
    InspectOutcome,
    LayerFacts,
    ListedImage,
)
from envman.usecases.images.image_engines import EngineState
from envman.usecases.images.image_outcome import ImageOutcome, LayerOutcome
from envman.usecases.images.image_push import PushOutcome
from envman.usecases.images.image_stage import StageOutcome
from envman.usecases.prune import PruneOutcome, Unused
from envman.usecases.pull import PullStatus
from envman.usecases.revision_diff import (
    EnvironmentDifference,
    PackageRow,
    RevisionDiff,
    VulnerabilityRow,
)
from tests.conftest import Deployment
from tests.ssh_keys import make_key

REFERENCE = Path(__file__).resolve().parents[2] / "docs/reference"

RUNS: dict[str, tuple[str, ...]] = {
    "init": ("init", "new"),
    "lock": ("lock", "env_a", "-P", "frame"),
    "lock --check": ("lock", "--check"),
    "sign": ("sign", "env_b", "--key", "ci"),
    "build": ("build",),
    "resolve": ("resolve", "--bundle", "bundle_b"),
    "add, remove": ("add", "env_a", "tool"),
    "list": ("list",),
    "diff": ("diff", "env_a", "env_b"),
    "verify": ("verify", "env_a"),
    "history": ("history", "env_a"),
    "rollback": ("rollback", "env_a"),
    "hold, unhold": ("hold", "env_a", "frame 2.2 breaks sales"),
    "gc": ("gc", "--keep", "0", "--dry-run"),
    "publish": ("publish",),
    "push": ("push", "oci:release:1"),
    "pull": ("pull", "oci:release:1"),
    "hosts": ("hosts", "oci:release:1"),
    "units": ("units", "deploy"),
    "top": ("top", "--run-folder", "."),
    "doctor": ("doctor",),
    "licenses": ("licenses",),
    "export": ("export", "env_a", "--format", "requirements"),
    "wheelhouse": ("wheelhouse", "env_a", "wheels"),
}
"""Runs whose results have the shape of the page's examples; the heading of the example's section is the key."""


def page(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


def examples(text: str) -> Iterator[tuple[str, Any]]:
    """The JSON examples of a page, by the heading above them."""
    heading = ""
    for match in re.finditer(r"^## ([^\n]+)$|^```json\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if match[1]:
            heading = match[1]
        else:
            yield heading, json.loads(match[2])


def shape(value: Any) -> Any:
    """The keys of a JSON value, at every depth; of a list, those of all its items together."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in sorted(value.items())}
    if isinstance(value, list):
        shapes = {json.dumps(shape(item)): shape(item) for item in value if isinstance(item, (dict, list))}
        return [shapes[key] for key in sorted(shapes)]
    return None


def agree(documented: Any, real: Any) -> bool:
    """Whether two shapes have the same keys, as far as lists on both sides have items."""
    if isinstance(documented, dict) and isinstance(real, dict):
        return documented.keys() == real.keys() and all(agree(documented[k], real[k]) for k in documented)
    if isinstance(documented, list) and isinstance(real, list):
        return not documented or not real or all(agree(documented[0], item) for item in real)
    return documented is real


@pytest.fixture
def altered(two_teams: Deployment) -> Deployment:
    """Two built environments, a second generation of env_a, a file that was changed after the build; a key."""
    two_teams.ok("build", "env_a", "--rebuild")
    (two_teams.root / "env_a" / "added").touch()
    make_key(two_teams.folder, "ci")
    return two_teams


def test_the_json_examples_have_the_fields_of_real_results(altered: Deployment) -> None:
    documented = dict(examples(page("json.md")))
    envelope = documented.pop("The envelope")
    assert set(documented) == set(RUNS)
    problems: list[dict[str, str]] = []
    for heading, arguments in RUNS.items():
        real = altered.run(*arguments, "--json").json
        problems += real["problems"] if heading != "doctor" else []
        assert envelope.keys() == real.keys(), heading
        assert agree(shape(documented[heading]), shape(real["result"])), (heading, real["result"])
        assert real["result"], heading
    assert [problem["where"] for problem in problems] == ["env_a/added"]
    assert envelope["problems"][0].keys() == problems[0].keys()


@pytest.mark.parametrize(
    ("heading", "words"),
    [
        ("build", [one.value for one in BuildStatus]),
        ("pull", [one.value for one in PullStatus]),
        ("doctor", [*CHECKS, *(one.value for one in Level)]),
    ],
)
def test_each_value_that_a_field_may_have_is_told(heading: str, words: list[str]) -> None:
    section = page("json.md").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    assert [word for word in words if f"`{word}`" not in section] == []


def test_commands_without_json_are_told() -> None:
    told = page("json.md").partition("## The envelope")[0]
    sections = page("cli.md").split("\n## envman ")[1:]
    without = [text.partition("\n")[0] for text in sections if "`--json`" not in text]
    assert [name for name in without if f"`{name}`" not in told] == []
    assert "sbom" in without


def test_a_field_that_is_missing_in_an_example_is_found() -> None:
    assert agree(shape({"a": 1, "b": [{"c": 2}]}), shape({"a": 3, "b": []}))
    assert agree(shape([{"c": 2}]), shape([{"c": 1}, {"c": 3}]))
    assert not agree(shape({"a": 1}), shape({"a": 1, "b": 2}))
    assert not agree(shape([{"c": 2}]), shape([{"c": 2, "d": 3}]))
    assert not agree(shape({"a": [{"b": 1}]}), shape({"a": {"b": 1}}))


PROOF = (Proof, ProvedBundle, ProvedFile, ProofDifference, VersionChange, NeedlessUse)

IMAGES: dict[str, tuple[type, ...]] = {
    "adopt split": (
        *(SplitOutcome, ProposedEnvironment, SplitUnit, ImportedPackage, HeldUpgrade, SharedModule),
        *(MixedFolder, UnneededPackage),
    ),
    "group": (GroupOutcome, GroupedFiles, GroupSplit, ConflictingLine, UnfitFile),
    "image build": (ImageOutcome, LayerOutcome),
    "image push": (PushOutcome,),
    "image list": (ListedImage,),
    "image inspect": (InspectOutcome, LayerFacts, ImageLabels, EnvironmentLabels),
    "image diff": (ImageDiffOutcome, LabelChange),
    "image stage": (StageOutcome,),
    "image engines": (EngineState,),
    "prune": (PruneOutcome, Unused),
    "diff --git": (
        *(RevisionDiff, EnvironmentDifference, PackageRow, VulnerabilityRow),
        *(DagDifferences, DagDifference),
    ),
    "bisect": (BisectOutcome, BisectStep, Moved),
    "adopt init": (AdoptOutcome, VersionDifference, LeftOut, Doubt, Contradiction, ChangedStart),
    "adopt prove": PROOF,
}
"""Results of commands that have no example, by the heading of their section."""


@pytest.mark.parametrize(("heading", "types"), IMAGES.items(), ids=IMAGES)
def test_every_field_of_results_without_an_example_is_on_the_page(
    heading: str, types: tuple[type, ...]
) -> None:
    section = page("json.md").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    listed = {words.rpartition(".")[2] for words in re.findall(r"`([^`]+)`", section)}
    assert {field.name for one in types for field in fields(one)} - {"facts"} <= listed


def test_every_exit_code_is_on_its_page() -> None:
    codes = {value for name, value in vars(ExitCode).items() if name.isupper()}
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", page("exit-codes.md"), re.MULTILINE)}
    assert listed == codes | {129, 130, 143}


def test_every_field_of_the_manifest_is_on_its_page() -> None:
    section = page("store.md").partition("## Manifest")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.+?) \|", section, re.MULTILINE)
    listed = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert listed == {"format", *(field.name for field in fields(Manifest))}


def test_the_lock_on_its_page_is_a_lock() -> None:
    text = re.search(r"^```text\n(# Made by.*?)^```$", page("lock-format.md"), re.MULTILINE | re.DOTALL)
    assert text is not None
    lock = parse_lock(text[1], "lock-format.md", "env_a")
    assert [pin.name for pin in lock.pins] == ["attrs", "idna", "six"]


def test_the_table_on_its_page_is_a_table() -> None:
    text = re.search(r"^```text\n(envman-table.*?)^```$", page("store.md"), re.MULTILINE | re.DOTALL)
    assert text is not None
    table = Table(text[1])
    assert table.bundle("bundle_b") == ("", "team_b")
    assert table.environment("env_a") == (["AWS_*"], {"TZ": "UTC"})
    assert table.default() == "env_a"
