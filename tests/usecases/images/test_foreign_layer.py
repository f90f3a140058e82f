"""A layer that a tool has made holds what a stranger's build has put there."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from envman.image.oci_values import LAYER_GZIP, Descriptor
from envman.usecases.images.image_engine_build import _look_into

SITE = "venv/.gen/3f9c2a7b10de/lib/python3.12/site-packages"
OWN = f"{SITE}/own-1.dist-info/METADATA"


def layer(place: Path, entries: list[tuple[str, str]]) -> Path:
    """An archive with a file of its own, and hard links: names with their targets (empty: a file)."""
    with tarfile.open(place, "w:gz") as archive:
        for name, target in [(OWN, ""), *entries]:
            info = tarfile.TarInfo(name)
            if target:
                info.type, info.linkname = tarfile.LNKTYPE, target
                archive.addfile(info)
            else:
                info.size = 4
                archive.addfile(info, io.BytesIO(b"mine"))
    return place


def looked_into(tmp_path: Path, entries: list[tuple[str, str]]) -> list[Path]:
    """The files that were written, wherever."""
    work = tmp_path / "work/found"
    (tmp_path / "secret.dist-info").mkdir(exist_ok=True)
    (tmp_path / "secret.dist-info/METADATA").write_text("secret")
    blob = layer(tmp_path / "blob", entries)
    _look_into(blob, Descriptor(LAYER_GZIP, "sha256:" + "0" * 64, 1), work)
    return sorted(
        path for path in tmp_path.rglob("METADATA") if path.read_text() != "secret" or work in path.parents
    )


@pytest.mark.parametrize("up", ["../..", "{}", "x/../../..", "/../.."])
def test_nothing_is_written_or_read_outside(tmp_path: Path, up: str) -> None:
    up = up.format(tmp_path)
    own = tmp_path / "work/found" / OWN
    assert looked_into(tmp_path, [(f"{up}/new.dist-info/METADATA", "")]) == [own]
    secret = f"{up}/secret.dist-info/METADATA"
    assert looked_into(tmp_path, [(f"{SITE}/x.dist-info/METADATA", secret)]) == [own]
    assert own.read_text() == "mine"


def test_a_link_within_is_the_file(tmp_path: Path) -> None:
    found = looked_into(tmp_path, [(f"{SITE}/x.dist-info/METADATA", OWN)])
    assert [path.read_text() for path in found] == ["mine", "mine"]
