"""`envman licenses` and `envman sbom` on real generations."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from envman.lock.lockfile import parse_lock
from envman.store.folder import Store
from envman.usecases.sbom import generation_bill
from tests.conftest import Deployment
from tests.kept import KeptFolder
from tests.wheels import make_wheel

EPOCH = 1_700_000_000


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, clean_environment: dict[str, str]) -> KeptFolder:
    """The project of `built`, locked and built once."""
    folder = tmp_path_factory.mktemp("licenses")
    wheels = folder / "wheels"
    deployment = Deployment(folder / "project", dict(clean_environment))
    pep_639 = "License-Expression: MIT OR GPL-3.0-only"
    core = ["extra_part ; extra == 'more'", "windows-only ; sys_platform == 'win32'"]
    make_wheel(wheels, "app", "1.0", ["core[more]", "plain"], fields=[pep_639])
    make_wheel(wheels, "core", "2.0", core, fields=["Classifier: License :: OSI Approved :: BSD License"])
    make_wheel(wheels, "extra-part", "3.0", fields=["License: Company License\n  All rights reserved."])
    make_wheel(wheels, "plain", "1.0")
    make_wheel(wheels, "plain", "1.1", fields=["License-Expression: GPL-3.0-only AND MIT"])
    deployment.write("uv.toml", f"no-index = true\nfind-links = [{json.dumps(str(wheels))}]\n")
    deployment.write(
        "envman.toml",
        'root = "venv"\n[bundles]\nbundle_a = { environment = "env_a" }\n'
        'bundle_b = { team = "team_b" }\n[teams]\nteam_b = { environment = "env_b" }\n',
    )
    deployment.spec("env_a", ["app", "plain<1.1"])
    deployment.spec("env_b", ["plain"])
    deployment.ok("lock")
    deployment.ok("build")
    return KeptFolder(deployment.folder)


@pytest.fixture
def built(kept: KeptFolder, clean_environment: dict[str, str]) -> Deployment:
    """env_a and env_b with packages under several kinds of licenses; app asks for an extra of core."""
    kept.put_back()
    return Deployment(kept.folder, dict(clean_environment))


def test_licenses_are_those_of_the_metadata_with_what_they_hit(built: Deployment) -> None:
    rows = built.ok("licenses", "--json").json["result"]
    shown = [(row["package"], row["versions"], row["license"], row["environments"]) for row in rows]
    assert shown == [
        ("app", ["1.0"], "MIT OR GPL-3.0-only", ["env_a"]),
        ("core", ["2.0"], "BSD License", ["env_a"]),
        ("extra-part", ["3.0"], "Company License", ["env_a"]),
        ("plain", ["1.1"], "GPL-3.0-only AND MIT", ["env_b"]),
        ("plain", ["1.0"], "unknown", ["env_a"]),
    ]
    assert all(row["allowed"] for row in rows)
    assert [row["bundles"] for row in rows if row["environments"] == ["env_b"]] == [["bundle_b"]]


def test_what_is_denied_is_found_with_the_bundles_that_it_hits(built: Deployment) -> None:
    result = built.run("licenses", "--deny", "GPL-3.0-only", "--json")
    assert (result.exit_code, result.json["ok"]) == (1, False)
    denied = [row for row in result.json["result"] if not row["allowed"]]
    assert [(row["package"], row["versions"]) for row in denied] == [("plain", ["1.1"])]
    (problem,) = result.json["problems"]
    assert problem["where"] == "plain 1.1"
    assert problem["what"].endswith("is not allowed; it is in env_b, used by bundle_b")
    assert built.ok("licenses", "env_a", "--deny", "GPL-3.0-only").stdout.count("\n") == 5


def test_only_what_is_allowed_may_be_there(built: Deployment) -> None:
    allow = ("--allow", "MIT", "--allow", "BSD License", "--allow", "company license")
    result = built.run("licenses", "env_a", *allow)
    assert result.exit_code == 1
    assert "error: plain 1.0: its license, unknown, is not allowed; it is in env_a" in result.stderr
    assert result.stderr.count("error:") == 1
    built.ok("licenses", "env_a", *allow, "--allow", "unknown")


def test_an_environment_that_is_not_built_names_the_build(built: Deployment) -> None:
    for name in ("env_c", "env_d"):
        built.spec(name, [])
    result = built.run("licenses")
    assert result.exit_code == 7
    assert "Run: envman build env_c" in result.stderr
    assert "Run: envman build env_d" in result.stderr
    assert built.run("licenses", "env_x").exit_code == 2


def test_what_is_published_can_be_looked_at_without_a_project(built: Deployment, tmp_path: Path) -> None:
    elsewhere = Deployment(tmp_path / "elsewhere", built.environment)
    elsewhere.folder.mkdir()
    rows = elsewhere.ok("licenses", "--root", str(built.root), "--json").json["result"]
    assert {name for row in rows for name in row["environments"]} == {"env_a", "env_b"}
    bill = elsewhere.ok("sbom", "env_b", "--root", str(built.root)).stdout
    assert bill == built.ok("sbom", "env_b").stdout


def bill_of(built: Deployment, name: str, epoch: int = EPOCH) -> Any:
    return json.loads(bill_text(built, name, epoch))


def bill_text(built: Deployment, name: str, epoch: int = EPOCH) -> str:
    return built.ok("sbom", name, variables={"SOURCE_DATE_EPOCH": str(epoch)}).stdout


def test_a_bill_follows_the_schema_of_cyclonedx_1_6(built: Deployment) -> None:
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    for name in ("env_a", "env_b"):
        assert validator.validate_str(bill_text(built, name)) is None


def test_a_bill_names_the_environment_the_interpreter_and_every_package(built: Deployment) -> None:
    bill = bill_of(built, "env_a")
    manifest = json.loads((built.root / "env_a/envman.json").read_text())
    lock = parse_lock((built.root / "env_a/envman.lock").read_text(), "envman.lock", "env_a")
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["timestamp"] == "2023-11-14T22:13:20+00:00"
    assert [tool["name"] for tool in bill["metadata"]["tools"]["components"]] == ["envman"]
    assert bill["metadata"]["component"]["name"] == "env_a"
    assert bill["metadata"]["component"]["properties"] == [
        {"name": "envman:generation", "value": built.current("env_a")},
        {"name": "envman:lock", "value": manifest["lock"]},
    ]
    components = {one["name"]: one for one in bill["components"]}
    assert set(components) == {"python", *manifest["packages"]}
    version = manifest["interpreter"]["version"]
    assert components["python"]["purl"] == f"pkg:generic/python@{version}"
    assert components["extra-part"]["purl"] == "pkg:pypi/extra-part@3.0"
    for pin in lock.pins:
        if pin.name in components:
            hashes = [f"sha256:{one['content']}" for one in components[pin.name]["hashes"]]
            assert hashes == list(pin.hashes)
    declared = {"acknowledgement": "declared"}
    assert components["app"]["licenses"] == [{**declared, "expression": "MIT OR GPL-3.0-only"}]
    assert components["core"]["licenses"] == [{"license": {**declared, "name": "BSD License"}}]
    assert "licenses" not in components["plain"]


def test_a_bill_says_which_package_needs_which(built: Deployment) -> None:
    bill = bill_of(built, "env_a")
    python = next(one["bom-ref"] for one in bill["components"] if one["name"] == "python")
    needs = {one["ref"]: one.get("dependsOn", []) for one in bill["dependencies"]}
    assert needs == {
        "environment:env_a": [python, "pkg:pypi/app@1.0"],
        python: [],
        "pkg:pypi/app@1.0": ["pkg:pypi/core@2.0", "pkg:pypi/plain@1.0"],
        "pkg:pypi/core@2.0": ["pkg:pypi/extra-part@3.0"],
        "pkg:pypi/extra-part@3.0": [],
        "pkg:pypi/plain@1.0": [],
    }


def test_the_same_generation_gives_the_same_bytes(built: Deployment) -> None:
    first = bill_text(built, "env_a")
    seeded = built.ok(
        "sbom", "env_a", variables={"SOURCE_DATE_EPOCH": str(EPOCH), "PYTHONHASHSEED": "7"}
    ).stdout
    assert first == seeded
    built.ok("sbom", "env_a", "--output", "a.json", variables={"SOURCE_DATE_EPOCH": str(EPOCH)})
    assert (built.folder / "a.json").read_text() == first
    assert built.ok("sbom", "env_a").stdout == built.ok("sbom", "env_a").stdout
    serial = json.loads(first)["serialNumber"]
    assert re.fullmatch(
        r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", serial
    )
    later, other = bill_of(built, "env_a", EPOCH + 1), bill_of(built, "env_b")
    assert len({serial, later["serialNumber"], other["serialNumber"]}) == 3
    assert str(built.root) not in first
    assert str(Path.home()) not in first


def test_the_image_builder_gets_the_same_bill_of_a_generation(built: Deployment) -> None:
    manifest = Store(str(built.root)).manifest(built.current("env_a"))
    assert manifest is not None
    folder = (built.root / "env_a").resolve()
    text = (folder / "envman.lock").read_text()
    assert generation_bill(manifest, text, folder, EPOCH) == bill_text(built, "env_a").encode()


def test_a_bill_of_what_is_not_built_is_an_error(built: Deployment) -> None:
    result = built.run("sbom", "env_x")
    assert (result.exit_code, result.stdout) == (7, "")
    assert "Did you mean" in result.stderr or "Known: env_a, env_b" in result.stderr
