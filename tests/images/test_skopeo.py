"""A layout that is written here, read by the tool that others read it with."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from envman.image.entries import in_order, written
from envman.image.oci_values import CONFIG, MANIFEST, ImageManifest
from envman.oci.image_layout import Layout
from envman.oci.layer import Compression
from envman.oci.layers import LayerStore


def test_skopeo_reads_what_is_written(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layer, _ = LayerStore(layout, 0, Compression.GZIP, 1).layer(list(in_order([written("a", b"1")])), "")
    rootfs = {"type": "layers", "diff_ids": [layer.diff_id]}
    config = layout.put(
        CONFIG, json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs}).encode()
    )
    layout.name("team/a:1", layout.put(MANIFEST, ImageManifest(config, (layer.blob,)).to_json()))
    command = ["skopeo", "copy", "--quiet", f"oci:{tmp_path}:team/a:1", f"dir:{tmp_path}/copy"]
    subprocess.run(command, check=True, timeout=300)
    assert (tmp_path / "copy" / layer.blob.digest.partition(":")[2]).is_file()
