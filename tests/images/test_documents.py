"""What goes along with an image: in envman's cache, in a registry, as files."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from envman.image.oci_values import EMPTY, MANIFEST
from tests.conftest import Deployment
from tests.images.test_build import IMAGE_ERROR, build

INDEX = "application/vnd.oci.image.index.v1+json"
BILL, PROVENANCE = "application/vnd.cyclonedx+json", "application/vnd.in-toto+json"


def get(registry: str, repository: str, kind: str, name: str) -> Any:
    """A manifest or blob, as a registry has it."""
    request = urllib.request.Request(f"http://{registry}/v2/{repository}/{kind}/{name}")
    request.add_header("Accept", f"{INDEX}, {MANIFEST}")
    with urllib.request.urlopen(request, timeout=300) as answer:
        return json.loads(answer.read())


def referrers(registry: str, repository: str, digest: str) -> list[dict[str, Any]]:
    """As clients find them in a registry without the referrers API."""
    listed = get(registry, repository, "manifests", digest.replace(":", "-"))
    assert listed["mediaType"] == INDEX
    return list(listed["manifests"])


def test_they_are_pushed_with_the_image(images: Deployment, registry: str) -> None:
    tag = f"{registry}/team/documents:1"
    (outcome,) = build(images, "--all-in-one", "--tag", tag)
    images.ok("image", "push", tag)
    found = referrers(registry, "team/documents", outcome["digest"])
    assert sorted(one["annotations"].get("envman.environment", "") for one in found) == ["", "env_a", "env_b"]
    manifests = [get(registry, "team/documents", "manifests", one["digest"]) for one in found]
    assert [one["artifactType"] for one in manifests] == [BILL, BILL, PROVENANCE]
    for manifest in manifests:
        assert manifest["subject"]["digest"] == outcome["digest"]
        assert manifest["artifactType"] == manifest["layers"][0]["mediaType"]
        assert manifest["config"]["mediaType"] == EMPTY
    provenance = manifests[-1]
    said = get(registry, "team/documents", "blobs", provenance["layers"][0]["digest"])
    assert said["subject"] == [
        {"name": f"{registry}/team/documents", "digest": {"sha256": outcome["digest"].partition(":")[2]}}
    ]
    names = [one["name"] for one in said["predicate"]["buildDefinition"]["resolvedDependencies"]]
    assert names == ["base", "environments/env_a.lock", "environments/env_b.lock"]


def test_what_others_have_attached_stays(images: Deployment, registry: str, tmp_path: Path) -> None:
    """A signature, say: the image is built and pushed again, at the same digest, under another tag."""
    tag = f"{registry}/team/signed:1"
    (outcome,) = build(images, "env_a", "--tag", tag)
    images.ok("image", "push", tag)
    place = outcome["digest"].replace(":", "-")
    words = [
        "skopeo",
        "copy",
        "-q",
        "--all",
        "--src-tls-verify=false",
        f"docker://{registry}/team/signed:{place}",
    ]
    subprocess.run([*words, f"oci:{tmp_path}/layout:it"], check=True)
    index = tmp_path / "layout/index.json"
    named = json.loads(index.read_text())
    blobs = tmp_path / "layout/blobs/sha256"
    ours = json.loads((blobs / named["manifests"][0]["digest"].partition(":")[2]).read_text())
    other = {**ours["manifests"][0], "annotations": {"by": "others"}}
    put(registry, "team/signed", place, {**ours, "manifests": [*ours["manifests"], other]})
    assert build(images, "env_a", "--tag", f"{registry}/team/signed:2")[0]["digest"] == outcome["digest"]
    images.ok("image", "push", f"{registry}/team/signed:2")
    found = referrers(registry, "team/signed", outcome["digest"])
    assert sorted(len(one["annotations"]) for one in found) == [1, 2, 2]
    assert {"by": "others"} in [one["annotations"] for one in found]


def put(registry: str, repository: str, tag: str, index: dict[str, Any]) -> None:
    url = f"http://{registry}/v2/{repository}/manifests/{tag}"
    request = urllib.request.Request(url, json.dumps(index).encode(), {"Content-Type": INDEX}, method="PUT")
    with urllib.request.urlopen(request, timeout=300) as answer:
        assert answer.status == 201


def test_they_are_written_as_files(images: Deployment, tmp_path: Path) -> None:
    folder = tmp_path / "documents"
    build(images, "--all-in-one", "--tag", "team/all:1", "--documents", str(folder))
    names = ["all-in-one.provenance.json", "env_a.cdx.json", "env_b.cdx.json"]
    assert sorted(path.name for path in folder.iterdir()) == names
    bill = (folder / "env_a.cdx.json").read_text(encoding="utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None
    listed = {one["name"]: one.get("version") for one in json.loads(bill)["components"]}
    assert listed["frame"] == "2.2"
    statement = json.loads((folder / names[0]).read_text(encoding="utf-8"))
    versions = statement["predicate"]["runDetails"]["builder"]["version"]
    assert set(versions) == {"envman", "uv", "virtualenv", "compressor"}
    assert str(images.folder) not in bill + json.dumps(statement)


def test_the_same_image_has_the_same_documents(images: Deployment, tmp_path: Path) -> None:
    for number in ("1", "2"):
        folder = str(tmp_path / number)
        cache = {"ENVMAN_CACHE_DIR": f"{tmp_path}/cache{number}"}
        build(images, "env_a", "--tag", "team/a:1", "--documents", folder, **cache)
    for name in ("env_a.cdx.json", "env_a.provenance.json"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_a_folder_that_cant_be_written_is_told(images: Deployment) -> None:
    arguments = ("env_a", "--tag", "team/never:1", "--documents", "/proc/documents")
    result = images.run("image", "build", *arguments)
    assert result.exit_code == 2
    assert "/proc/documents: can't write the documents" in result.stderr


def test_they_are_no_images(images: Deployment) -> None:
    build(images, "env_a", "--tag", "team/a:1")
    listed = images.ok("image", "list", "--json").json["result"]
    assert not [one for one in listed if "sha256-" in one["tag"]]


@pytest.mark.parametrize("library", ["cyclonedx", "deflate"])
def test_a_missing_library_is_told_before_anything_is_built(
    images: Deployment, tmp_path: Path, library: str
) -> None:
    (tmp_path / "hidden").mkdir()
    (tmp_path / f"hidden/{library}.py").write_text("raise ImportError('hidden', name=__name__)\n")
    result = images.run(
        *("image", "build", "env_a", "--tag", "a:1"), variables={"PYTHONPATH": f"{tmp_path}/hidden"}
    )
    assert result.exit_code in {1, IMAGE_ERROR}
    assert "pip install 'envman[images]'" in result.stderr
    assert "fetching" not in result.stderr
