"""`envman.layers`: which layers of a release the files of a pulled generation came in. Pure.

    {"format": 1, "stamp": "...", "layers": [["sha256:...", 4711], ...]}     digest and size of each layer
    [[0, 1, 7], [312, 0, 1024]]                                              of the first layer, ...

Below the first line there is a line for each layer: numbers of lines in envman.files, and the sizes of those
files in bytes. By this the next pull finds what the host has already. The first line is enough to know which
layers are there. `stamp` is what the base interpreter's file was on this host (see `build.stamp`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

FORMAT = 1


@dataclass(frozen=True)
class LayerFile:
    """A file of a layer: its path in the generation, type and permission bits as git writes them, SHA-256 in
    hexadecimal as the file list has it, and its size in bytes (0 for a link and an empty folder).
    """

    path: str
    mode: str
    digest: str
    size: int


@dataclass(frozen=True)
class RecordHead:
    """The first line: the interpreter's stamp, and the layers in their order, each with its size."""

    stamp: str
    layers: Mapping[str, int]


def record_text(stamp: str, layers: Mapping[str, int], files: Mapping[str, Sequence[LayerFile]]) -> str:
    """Write a record; `files` are those of each layer, all of which together are the file list."""
    order = sorted(file.path for layer in layers for file in files[layer])
    numbers = {path: number for number, path in enumerate(order)}
    head = {"format": FORMAT, "stamp": stamp, "layers": list(layers.items())}
    lines: list[object] = [head]
    for layer in layers:
        lines.append([[numbers[one.path] for one in files[layer]], [one.size for one in files[layer]]])
    return "".join(f"{json.dumps(line, separators=(',', ':'))}\n" for line in lines)


def parse_head(line: str) -> RecordHead:
    """Read the first line; raises ValueError for anything else."""
    try:
        data = json.loads(line)
        if data["format"] != FORMAT:
            raise ValueError("another format")
        layers: dict[str, int] = dict(data["layers"])
        if not isinstance(data["stamp"], str) or not all(
            isinstance(digest, str) and type(size) is int for digest, size in layers.items()
        ):
            raise TypeError("a field is not of its type")
        return RecordHead(data["stamp"], layers)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a record of layers: {error}") from None


def parse_record(text: str, listing: str) -> dict[str, tuple[LayerFile, ...]]:
    """The files of each layer, from a record and the file list that it is about; raises ValueError."""
    head, *lines = text.splitlines() or [""]
    layers = list(parse_head(head).layers)
    try:
        listed = json.loads(f"[{','.join(listing.splitlines())}]")
        found: dict[str, tuple[LayerFile, ...]] = {}
        for layer, line in zip(layers, lines, strict=True):
            numbers, sizes = json.loads(line)
            files = []
            for number, size in zip(numbers, sizes, strict=True):
                mode, digest, path = listed[number]
                files.append(LayerFile(path, mode, digest, size))
            found[layer] = tuple(files)
        return found
    except (ValueError, TypeError, IndexError, RecursionError) as error:
        raise ValueError(f"not a record of layers: {error}") from None
