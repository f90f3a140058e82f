"""A base image made of this machine's own Python and libraries, in a few seconds."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from uv import find_uv_bin

from envman.image.entries import Entry, Kind, folder, in_order, written
from envman.image.oci_values import CONFIG, MANIFEST, Descriptor, ImageManifest, Layer
from envman.oci.bases import host_architecture
from envman.oci.image_layout import Layout
from envman.oci.layer import Compression, entries_below
from envman.oci.layers import LayerStore
from envman.system.digests import Digests

_LIBRARY = re.compile(r"(?:=> )?(/\S+) \(0x")
_LEFT_OUT = re.compile(
    r"(site-packages|test|idlelib|tkinter|ensurepip|lib2to3|turtledemo|config-.*)(/|$)|.*(\.a|\.opt-[12]\.pyc)$"
)
CREATED = "2024-01-01T00:00:00Z"
PASSWD = b"root:x:0:0:root:/root:/bin/sh\n"


def make_base(
    place: Path,
    python: str,
    environ: Iterable[str] = (),
    user: str = "",
    changed: Mapping[str, bytes] | None = None,
    links: Mapping[str, str] | None = None,
) -> str:
    """Make an OCI layout at a place; returns its name. `changed` are files with other contents, by path, and
    `links` the targets of links that stand in the place of what was there.
    """
    entries = {entry.path: entry for entry in _entries(Path(python))}
    for path, content in (changed or {}).items():
        entries[path.lstrip("/")] = written(path.lstrip("/"), content, 0o755)
    for path, target in (links or {}).items():
        entries[path.lstrip("/")] = Entry(path.lstrip("/"), Kind.SYMBOLIC_LINK, 0o777, target=target)
    layout = Layout(place)
    layer, _ = LayerStore(layout, 1_700_000_000, Compression.GZIP, 2).layer(
        list(in_order(entries.values())), "this machine's Python"
    )
    layout.name("base", add_image(layout, layer, [f"PATH={Path(python).parent}:/bin", *environ], user))
    return f"oci:{place}:base"


def make_base_of(place: Path, pythons: Iterable[str], programs: Iterable[str], name: str = "base") -> str:
    """The same with several Pythons, and further programs with the libraries that these need; `name` is its tag."""
    digests = Digests()
    paths = {*programs, *_libraries(list(programs))}
    entries = {entry.path: entry for path in paths for entry in _with_links(path, digests)}
    for python in pythons:
        entries |= {entry.path: entry for entry in _entries(Path(python))}
    layout = Layout(place)
    layer, _ = LayerStore(layout, 1_700_000_000, Compression.GZIP, 2).layer(
        list(in_order(entries.values())), "this machine's Pythons"
    )
    search = ":".join(str(Path(python).parent) for python in pythons)
    layout.name(name, add_image(layout, layer, [f"PATH={search}:/usr/bin:/bin"]))
    return f"oci:{place}:{name}"


def make_base_without_python(place: Path) -> str:
    """The same with a shell and its libraries alone: a few files, quick to fetch and to unpack."""
    digests = Digests()
    entries = [one for path in {"/bin/sh", *_libraries(["/bin/sh"])} for one in _with_links(path, digests)]
    layout = Layout(place)
    layer, _ = LayerStore(layout, 1_700_000_000, Compression.GZIP, 2).layer(
        list(in_order(entries)), "a shell"
    )
    layout.name("base", add_image(layout, layer, ["PATH=/bin"]))
    return f"oci:{place}:base"


def add_image(layout: Layout, layer: Layer, environ: list[str], user: str = "", arch: str = "") -> Descriptor:
    config = {
        "architecture": arch or host_architecture(),
        "os": "linux",
        "created": CREATED,
        "config": {"Env": environ, "User": user},
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]},
        "history": [{"created": CREATED, "created_by": layer.note}],
    }
    blob = layout.put(CONFIG, json.dumps(config).encode())
    return layout.put(MANIFEST, ImageManifest(blob, (layer.blob,)).to_json())


def _entries(python: Path) -> Iterator[Entry]:
    digests = Digests()
    prefix = python.parent.parent
    version = python.name.removeprefix("python")
    library = prefix / "lib" / f"python{version}"
    programs = [str(python), find_uv_bin(), "/bin/sh", *map(str, (library / "lib-dynload").glob("*.so"))]
    for path in {str(python), "/bin/sh", *_libraries(programs)}:
        yield from _with_links(path, digests)
    yield from entries_below(
        library, str(library).lstrip("/"), digests, lambda path: bool(_LEFT_OUT.match(path))
    )
    for name in ("python3", "python"):
        yield Entry(f"{python.parent}/{name}".lstrip("/"), Kind.SYMBOLIC_LINK, 0o777, target=python.name)
    for path in ("tmp", "proc", "dev", "etc", "root"):
        yield folder(path)
    yield written("etc/passwd", PASSWD)


def _with_links(path: str, digests: Digests) -> Iterator[Entry]:
    """A file where it really is, and the links that lead there."""
    at, left = "/", path.strip("/").split("/")
    while left:
        at = os.path.normpath(f"{at}/{left.pop(0)}")
        if Path(at).is_symlink():
            target = str(Path(at).readlink())
            yield Entry(at.lstrip("/"), Kind.SYMBOLIC_LINK, 0o777, target=target)
            left = [*target.strip("/").split("/"), *left]
            at = "/" if target.startswith("/") else str(Path(at).parent)
    yield Entry(at.lstrip("/"), Kind.FILE, 0o755, at, digests.of(at), Path(at).stat().st_size)


def _libraries(programs: list[str]) -> set[str]:
    told = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=False, timeout=300).stdout
    found = set(_LIBRARY.findall(told))
    assert found, told
    return found


assert sysconfig.get_platform().startswith("linux")
